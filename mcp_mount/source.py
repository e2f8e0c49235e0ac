"""Where operations come from: the app itself, or an API elsewhere."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from mcp_mount.backends.asgi import ASGIBackend
from mcp_mount.backends.backend import Backend
from mcp_mount.backends.changes import Changes
from mcp_mount.backends.http import HTTPBackend
from mcp_mount.backends.upstream import Upstream
from mcp_mount.checks import SOURCES, check_app
from mcp_mount.errors import MountError
from mcp_mount.openapi.document import is_url, load_document
from mcp_mount.openapi.servers import upstream_of
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.validation import check_options

OpenAPI = Mapping[str, Any] | str | Path
"""An OpenAPI document: itself, a path, or a URL."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where operations come from, and what sends requests to them.

    `backend` makes the backend; it gets a function that returns the provider, which does not exist
    yet. `changes` returns another object as soon as there are other routes, or None if `document`
    then returns another document. `watch` returns another object then too, and never asks for the
    document. `credentials` are not arguments of a tool; see `Operation`.
    """

    name: str
    version: str
    instructions: str | None
    document: Callable[[], Mapping[str, Any]]
    backend: Callable[[Callable[[], OperationProvider]], Backend]
    credentials: frozenset[tuple[str, str]] = frozenset()
    changes: Callable[[], object] = lambda: None
    watch: Callable[[], object] = lambda: None


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
    changes = Changes(app, is_described=document is None)
    return Source(
        name=str(info.get("title") or app.title),
        version=str(info.get("version") or app.version),
        instructions=_instructions(info) or app.description or app.summary or None,
        # An app may set an `openapi` of its own later.
        document=lambda: app.openapi() if document is None else document,
        backend=lambda provider: ASGIBackend(app, provider),
        changes=changes,
        watch=changes.watch if document is None else lambda: None,
    )


def read_upstream(openapi: OpenAPI, upstream: str | Upstream | None) -> Source:
    """Return the API that a document describes as a source, called over HTTP.

    Raises:
        MountError: the document cannot be used, or it is not clear where its API is.
    """
    check_options({"openapi": openapi, "upstream": upstream}, SOURCES)
    document = load_document(openapi)
    api = upstream if isinstance(upstream, Upstream) else Upstream(upstream or "")
    if not api.url:
        if not is_url(openapi):
            message = "Where is the API? Give upstream=, for example 'http://localhost:9000'."
            raise MountError(message)
        api = replace(api, url=upstream_of(document, str(openapi)))
    info = document.get("info") or {}
    # What the proxy or its callers set is not the model's to fill.
    own = (*api.headers, *api.forward_headers)
    return Source(
        name=str(info.get("title") or "API"),
        version=str(info.get("version") or ""),
        instructions=_instructions(info),
        document=lambda: document,
        backend=lambda provider: HTTPBackend(document, api, provider),
        credentials=frozenset(("header", name.lower()) for name in own),
    )


def _instructions(info: Mapping[str, Any]) -> str | None:
    return str(info.get("description") or info.get("summary") or "") or None
