"""What each option of a mount must be, and what must hold between them."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from fastapi import FastAPI
from fastapi.params import Depends
from fastmcp.server.auth import AuthProvider
from mcp.server.streamable_http import EventStore

from mcp_mount.access.rates import RateLimit
from mcp_mount.backends.upstream import Upstream
from mcp_mount.endpoints.endpoint import Endpoint, check_path_is_free
from mcp_mount.errors import MountError
from mcp_mount.limits import Limits
from mcp_mount.openapi.servers import origin_of
from mcp_mount.remotes.remote import Remote
from mcp_mount.search.surface import SURFACES
from mcp_mount.tasks.options import Tasks
from mcp_mount.validation import Rule, instance_of, list_of, optional


def _is_path(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"(/[^/{}?#%\s]+)+", value) is not None


def _is_url(value: object) -> bool:
    return isinstance(value, str) and origin_of(value) is not None


def _is_event_store(value: object) -> bool:
    if not isinstance(value, str):
        return value is None or isinstance(value, EventStore)
    return value == "memory://" or value.startswith(("redis://", "rediss://", "unix://"))


_FLAG: Final = Rule(instance_of(bool), "True or False")

OPTIONS: Final = {
    "path": Rule(_is_path, "a path written like '/mcp'"),
    "sse_path": Rule(optional(_is_path), "a path written like '/sse', or None"),
    "include": Rule(list_of(str | Callable), "a list such as ['tag:kb', 'GET *']"),
    "exclude": Rule(list_of(str | Callable), "a list such as ['tag:internal', 'DELETE *']"),
    "fields": Rule(list_of(str | Callable), "a list such as ['tag:kb', 'GET *']"),
    "resources": Rule(list_of(str | Callable), "a list such as ['tag:kb', 'GET /articles*']"),
    "tools": Rule(
        instance_of(Mapping | None), "a mapping such as {'POST /search*': {'title': 'Search'}}"
    ),
    "remotes": Rule(list_of(Remote), 'a list such as [Remote("wiki", url="https://…")]'),
    "limits": Rule(instance_of(Limits), "Limits(…)"),
    "auth": Rule(
        instance_of(AuthProvider | None),
        "a FastMCP auth provider such as JWTVerifier(…)",
        is_secret=True,
    ),
    "dependencies": Rule(list_of(Depends), "a list such as [Depends(current_user)]"),
    "scopes_of": Rule(optional(callable), "a function that takes the request"),
    "public_url": Rule(optional(_is_url), "a URL such as 'https://kb.example/mcp'"),
    "allowed_origins": Rule(list_of(str), "a list such as ['https://app.example']"),
    "rate_limit": Rule(instance_of(RateLimit | None), 'RateLimit("60/minute")'),
    "confirm": Rule(lambda value: value in (None, "destructive"), "'destructive' or None"),
    "state_key": Rule(instance_of(str | None), "a string of 32 characters or more", is_secret=True),
    "state_store": Rule(
        instance_of(str | None), "a URL such as 'redis://host:6379'", is_secret=True
    ),
    "tasks": Rule(instance_of(Tasks | None), "Tasks(…)"),
    "sessions": _FLAG,
    "event_store": Rule(
        _is_event_store,
        "'memory://', a URL such as 'redis://host:6379', or an EventStore of the MCP SDK",
        is_secret=True,
    ),
    "forward_cookies": _FLAG,
    "surface": Rule(lambda value: value in SURFACES, "'tools', 'search' or 'auto'"),
    "pinned": Rule(list_of(str | Callable), "a list such as ['tag:kb', 'GET *']"),
    "page": _FLAG,
}
"""What the options of `mount_mcp` must be; `proxy_app` and `gateway_app` take them too."""

SOURCES: Final = {
    "openapi": Rule(instance_of(Mapping | str | Path), "a mapping, a path or a URL"),
    "upstream": Rule(instance_of(str | Upstream | None), "a URL or Upstream(…)"),
}
"""What says where the operations of a document are."""


def check_app(app: object) -> None:
    """Refuse everything but a FastAPI application.

    Raises:
        MountError: it is something else.
    """
    if not isinstance(app, FastAPI):
        raise MountError(
            f"mount_mcp takes a FastAPI application, not {app!r}. For a router, give the app that "
            "includes it; an API in another framework is offered by proxy_app."
        )


class Guarded(Protocol):
    """What callers need scopes for, by its name."""

    @property
    def name(self) -> str:
        """E.g. ``"wiki"``."""

    @property
    def scopes(self) -> Sequence[str]:
        """All of them are needed."""


def check_scopes(remotes: Sequence[Guarded], *, are_known: bool) -> None:
    """Refuse the scopes of a remote if nothing tells those of a caller: it would be open to all.

    Raises:
        MountError: there is such a remote.
    """
    for remote in remotes:
        if remote.scopes and not are_known:
            raise MountError(
                f"scopes= of the remote {remote.name!r} guard it only where callers are known: "
                "give auth= or scopes_of= as well."
            )


def check_state(key: str | None, store: str | None, *, shares_tasks: bool = False) -> None:
    """Refuse stores for several processes that cannot read what the others have sealed.

    Raises:
        MountError: there is no key that they share.
    """
    if shares_tasks and key is None:
        raise MountError(
            "tasks= in Redis would keep the credentials of callers there, so they are sealed: give "
            "state_key= a secret of 32 characters or more, the same in all processes."
        )
    if store is not None and key is None:
        raise MountError(
            "state_store= is for several processes, which need the same key too: give state_key= "
            "a secret of 32 characters or more."
        )


def check_event_store(store: str | EventStore | None, key: str | None, *, sessions: bool) -> None:
    """Refuse to keep events that nobody could fetch, and those in Redis that are not sealed.

    Raises:
        MountError: there are no sessions, or there is no key.
    """
    if store is not None and not sessions:
        raise MountError("event_store= keeps the events of sessions: give sessions=True as well.")
    if isinstance(store, str) and store != "memory://" and key is None:
        raise MountError(
            "event_store= in Redis would keep the results of callers there, so they are sealed: "
            "give state_key= a secret of 32 characters or more."
        )


def check_sse_path(app: FastAPI, sse_path: str, path: str) -> None:
    """Refuse an SSE path that is taken, or that is inside of `path` or around it.

    Raises:
        MountError: it is.
    """
    check_path(app, sse_path, "sse_path")
    if f"{sse_path}/".startswith(f"{path}/") or f"{path}/".startswith(f"{sse_path}/"):
        message = (
            f"sse_path={sse_path!r} and path={path!r} cannot be one path, or one inside the other: "
            "choose another sse_path=, e.g. '/sse'."
        )
        raise MountError(message)
    check_path(app, f"{sse_path}/messages", "sse_path")


def check_path(app: FastAPI, path: str, option: Literal["path", "sse_path"] = "path") -> None:
    """Refuse a path that is taken, and an app that has started.

    Raises:
        MountError: the path is taken, or the app has started.
    """
    if any(isinstance(route, Endpoint) and route.path == path for route in app.router.routes):
        message = f"There is an MCP endpoint at {path!r} already: choose another {option}=."
        raise MountError(message)
    check_path_is_free(app, path, option)
    if app.middleware_stack is not None:
        message = "The app has already started: call mount_mcp where the app is built."
        raise MountError(message)


def check_public_url(auth: AuthProvider | None, path: str, public_url: str | None) -> None:
    """Refuse a provider whose base URL is not that of `public_url`.

    Clients compare the two, and drop the server if they differ (RFC 9728 §3.3).

    Raises:
        MountError: they differ.
    """
    base = (auth.resource_base_url or auth.base_url) if auth is not None else None
    if base is None or public_url is None:
        return
    resource = f"{str(base).rstrip('/')}{path}"
    if resource != public_url:
        message = (
            f"public_url={public_url!r}, but the auth provider's base URL makes it {resource!r}. "
            "Give the provider the base URL that clients see."
        )
        raise MountError(message)
