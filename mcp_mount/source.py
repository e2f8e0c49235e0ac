"""Where operations come from: the app itself, or an API elsewhere."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from mcp_mount.backends.asgi import ASGIBackend
from mcp_mount.backends.backend import Backend
from mcp_mount.backends.changes import Changes
from mcp_mount.backends.http import HTTPBackend
from mcp_mount.backends.upstream import Upstream, encode_headers
from mcp_mount.checks import OPTIONS, SOURCES, check_app
from mcp_mount.errors import MountError
from mcp_mount.halves import mend_document, mend_text
from mcp_mount.openapi.document import is_url, load_document
from mcp_mount.openapi.fetching import Access
from mcp_mount.openapi.nodes import get_mapping, get_text
from mcp_mount.openapi.operations import Operation, read_operations
from mcp_mount.openapi.servers import Bases, origin_of, read_base, upstream_of
from mcp_mount.remotes.text import clean_description, clean_title
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.marks import Selector
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.tools.selection import select
from mcp_mount.validation import check_options

logger = logging.getLogger("mcp_mount")

OpenAPI = Mapping[str, Any] | str | Path
"""An OpenAPI document: itself, a path, or a URL."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where operations come from, and what sends requests to them.

    `backend` makes the backend; it gets a function that returns the provider, which does not exist
    yet. `changes` returns another object as soon as there are other routes, or None if `document`
    then returns another document. `watch` returns another object then too, and never asks for the
    document. `credentials` are not arguments of a tool; see `Operation`. `serves` says whether an
    operation is there, and not on another host.
    """

    name: str
    version: str
    instructions: str | None
    document: Callable[[], Mapping[str, Any]]
    backend: Callable[[Callable[[], OperationProvider]], Backend]
    credentials: frozenset[tuple[str, str]] = frozenset()
    changes: Callable[[], object] = lambda: None
    serves: Callable[[Operation], bool] = lambda _: True
    watch: Callable[[], object] = lambda: None


class _Written:
    """The document that an app writes: the same object as long as the app's own is the same."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._last: tuple[object, Mapping[str, Any]] = object(), {}

    def __call__(self) -> Mapping[str, Any]:
        # An app may set an `openapi` of its own later.
        document = self._app.openapi()
        written, mended = self._last
        if document is not written:
            mended = mend_document(document)
            self._last = document, mended
        return mended


def read_app(app: FastAPI, openapi: OpenAPI | None) -> Source:
    """Return the app's routes as a source, described by `openapi` or else by the app itself.

    Raises:
        MountError: `app` is no FastAPI application, or the document cannot be used.
    """
    check_app(app)
    document: Mapping[str, Any] | None = None
    info: Mapping[str, Any] = {}
    if openapi is not None:
        check_options({"openapi": openapi}, SOURCES)
        document = load_document(openapi)
        info = document.get("info") or {}
    said = str(info.get("description") or info.get("summary") or "")
    changes = Changes(app, is_described=document is None)
    return Source(
        name=mend_text(str(info.get("title") or app.title)),
        version=mend_text(str(info.get("version") or app.version)),
        instructions=said or mend_text(app.description or app.summary or "") or None,
        document=_Written(app) if document is None else lambda: document,
        backend=lambda provider: ASGIBackend(app, provider),
        changes=changes,
        watch=changes.watch if document is None else lambda: None,
    )


def read_upstream(openapi: OpenAPI, upstream: str | Upstream | None) -> Source:
    """Return the API that a document describes as a source, called over HTTP.

    A document on the API's own origin is fetched as the API is called: with the proxy's own
    headers, token and TLS.

    Raises:
        MountError: the document cannot be used, or it is not clear where its API is.
    """
    check_options({"openapi": openapi, "upstream": upstream}, SOURCES)
    api = upstream if isinstance(upstream, Upstream) else Upstream(upstream or "")
    is_there = is_url(openapi) and origin_of(str(openapi)) == origin_of(api.url or str(openapi))
    access = Access(encode_headers(api.headers), api.auth, api.tls) if is_there else Access()
    document = load_document(openapi, access)
    if not api.url:
        if not is_url(openapi):
            raise MountError(
                "Where is the API? Give upstream= (or --upstream), for example "
                "'http://localhost:9000'."
            )
        api = replace(api, url=upstream_of(document, str(openapi)))
    # Others wrote it, and each answer repeats it.
    info = get_mapping(document, "info")
    said = get_text(info, "description") or get_text(info, "summary")
    # What the proxy or its callers set is not the model's to fill.
    own = (*api.headers, *api.forward_headers)
    bases = Bases(document, read_base(api.url), api.base_path)
    return Source(
        name=clean_title(get_text(info, "title")) or "API",
        version=clean_title(get_text(info, "version")) or "",
        instructions=clean_description(said) or None,
        document=lambda: document,
        backend=lambda provider: HTTPBackend(document, api, provider),
        credentials=frozenset(("header", name.lower()) for name in own),
        # With `strict`, what is elsewhere is refused, and not left out.
        serves=(lambda _: True) if api.strict else bases.serves,
    )


def provide(
    source: Source, policy: CallPolicy, **chosen: Any
) -> tuple[OperationProvider, HTTPBackend | None]:
    """Return the operations of a source, and what sends requests to it if it is elsewhere.

    `chosen` says which of them, and how they are offered; see `OperationProvider`.

    Raises:
        MountError: as `OperationProvider.tools` does; or some are on another host.
    """
    backend = source.backend(lambda: provider)
    provider = OperationProvider(
        source.document,
        backend,
        credentials=source.credentials,
        changes=source.changes,
        watch=source.watch,
        policy=policy,
        trusts_marks=not isinstance(backend, HTTPBackend),
        **chosen,
    )
    if not isinstance(backend, HTTPBackend):
        return provider, None
    # Now, because nothing about it changes later.
    backend.check(tool.binding.operation for tool in provider.tools().values())
    return provider, backend


def leave_out_elsewhere(
    source: Source, include: Sequence[Selector], exclude: Sequence[Selector]
) -> list[Selector]:
    """Return `exclude`, and what is on another host than the upstream, which the log names.

    Raises:
        MountError: as `select` does.
    """
    check_options({"include": include, "exclude": exclude}, OPTIONS)
    operations = read_operations(source.document())
    if all(map(source.serves, operations)):
        return [*exclude]
    chosen = (each.operation for each in select(operations, include=include, exclude=exclude))
    away = [each for each in chosen if not source.serves(each)]
    if not away:
        return [*exclude]
    names = ", ".join(f"{each} ({each.server})" for each in away)
    logger.warning("Left out, for they are on another host than the upstream: %s", names)
    # One selector, which is soon compared with each operation.
    elsewhere = frozenset(map(str, away))
    return [*exclude, lambda operation: str(operation) in elsewhere]
