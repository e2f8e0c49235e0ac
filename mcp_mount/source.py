"""Where the operations of a mount come from: the app itself, or an API elsewhere."""

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
from mcp_mount.errors import MountError
from mcp_mount.openapi.document import is_url, load_document
from mcp_mount.openapi.servers import upstream_of
from mcp_mount.tools.provider import OperationProvider

OpenAPI = Mapping[str, Any] | str | Path
"""An OpenAPI document: itself, a path, or a URL."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where operations come from, how they are called, and what the API says of itself.

    `backend` is given what looks up what is offered, which is there when calls are made.
    `changes` returns another object when the routes are others, or None where the document is
    another one then. `credentials` are what the model is not asked for; see `Operation`.
    """

    name: str
    version: str
    instructions: str | None
    document: Callable[[], Mapping[str, Any]]
    backend: Callable[[Callable[[], OperationProvider]], Backend]
    credentials: frozenset[tuple[str, str]] = frozenset()
    changes: Callable[[], object] = lambda: None


def source_of(app: FastAPI, openapi: OpenAPI | None, upstream: str | Upstream | None) -> Source:
    """Return the app as the source; the API that `openapi` describes, where it is given.

    Raises:
        MountError: the document cannot be used, or it is not clear where its API is.
    """
    if openapi is None and upstream is None:
        return Source(
            name=app.title,
            version=app.version,
            instructions=app.description or app.summary or None,
            document=lambda: app.openapi(),  # noqa: PLW0108 - an app may set one of its own later
            backend=lambda provider: ASGIBackend(app, provider),
            changes=Changes(app),
        )
    if openapi is None:
        raise MountError("upstream= needs openapi=: the document of the API that is there.")
    document = load_document(openapi)
    api = upstream if isinstance(upstream, Upstream) else Upstream(upstream or "")
    if not api.url:
        if not is_url(openapi):
            message = "Where is the API? Give upstream=, for example 'http://localhost:9000'."
            raise MountError(message)
        api = replace(api, url=upstream_of(document, str(openapi)))
    info = document.get("info") or {}
    return Source(
        name=str(info.get("title") or "API"),
        version=str(info.get("version") or ""),
        instructions=str(info.get("description") or info.get("summary") or "") or None,
        document=lambda: document,
        backend=lambda provider: HTTPBackend(document, api, provider),
        credentials=frozenset(("header", name.lower()) for name in _own_names(api)),
    )


def _own_names(upstream: Upstream) -> list[str]:
    """Return the headers that the proxy or its callers set, which are not the model's to fill."""
    return [*upstream.headers, *upstream.forward_headers]
