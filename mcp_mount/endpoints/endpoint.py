"""A route that serves MCP: it guards the endpoint, and hands each request to its transport."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Mount, NoMatchFound
from starlette.types import Message, Receive, Scope, Send

from mcp_mount.backends.asgi import ResolvedRoute
from mcp_mount.backends.request import BOUND_KEY
from mcp_mount.backends.scope import route_path
from mcp_mount.endpoints.guard import (
    RequestGuard,
    dependency_route,
    handle_within_limit,
    reject_head,
)
from mcp_mount.errors import MountError
from mcp_mount.page.document import page_response
from mcp_mount.page.negotiation import about_endpoint, wanted

logger = logging.getLogger("mcp_mount")

_GONE: Final = 499
"""What logs say of a request whose client did not wait, as in nginx. Nobody receives it."""


class Transport(Protocol):
    """Serves the requests that were let in, in one of the ways in which MCP is spoken."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it serves, e.g. ``("POST",)``."""

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and stay until what its calls began has ended."""


@dataclass(slots=True)
class Endpoint(BaseRoute):
    """The route of an endpoint, for exactly its path with or without a slash behind it."""

    app: FastAPI
    path: str
    guard: RequestGuard
    transport: Transport
    has_page: bool = False
    is_main: bool = False
    methods: tuple[str, ...] = field(init=False)
    guarded: APIRoute | None = field(init=False)
    paths: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Work out what each request is compared with."""
        self.paths = frozenset({self.path, f"{self.path}/"})
        self.methods = self.transport.methods
        self.guarded = dependency_route(
            self.guard,
            self.path,
            {*self.methods, "GET"} if self.has_page else self.methods,
            self.app,
            self.transport.serve,
        )

    @property
    def path_format(self) -> str:
        """The path, under the name that telemetry and `Routing` look for."""
        return self.path

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match every method, so that what is not served is refused here and not elsewhere.

        A call of an operation whose route is known is matched with that route alone, as it would be
        in the end: an app with a thousand routes is not searched for it.
        """
        bound = self._bound(scope)
        if bound is not None:
            if (scope["path"], scope["method"]) != (bound.path, bound.method):
                return (Match.NONE if bound.may_reach(scope) else Match.FULL), {}
            # FastAPI's own telemetry asks the route that its router found for its path. Who asks
            # before the router, such as a tracer among the middleware, names a request by it too.
            is_routed = "router" in scope and "fastapi.telemetry" not in scope
            if bound.route is not None and is_routed:
                match, child = bound.route.matches(scope)
                return (match, child) if match is Match.FULL else (Match.NONE, {})
            return Match.NONE, {}
        if scope["type"] == "http" and route_path(scope) in self.paths:
            return Match.FULL, {"endpoint": self}
        return Match.NONE, {}

    def _bound(self, scope: Scope) -> ResolvedRoute | None:
        """Return where a call of this app is bound; None for every other request."""
        bound: ResolvedRoute | None = scope.get(BOUND_KEY)
        if bound is None or bound.app is not self.app or scope["type"] != "http":
            return None
        return bound if route_path(scope) not in self.paths else None

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """Answer no name: the app's own names stay the app's own."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: see `Transport`."""
        bound = self._bound(scope) if BOUND_KEY in scope else None
        if bound is not None:
            del scope[BOUND_KEY]
            if bound.route is not None and (scope["path"], scope["method"]) == (
                bound.path,
                bound.method,
            ):
                await bound.route.handle(scope, receive, send)
            else:
                # Middleware has sent the call to what is no tool.
                await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
            return
        is_answered = False

        async def answer(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        is_get = scope["method"] == "GET"
        asked = wanted(scope) if is_get and self.has_page else None
        about = about_endpoint(scope, has_page=self.has_page) if is_get and self.is_main else None
        refused = reject_head(
            self.guard, self.methods, scope, is_page=asked is not None, about=about
        )
        if refused is None and asked == "page":
            await page_response()(scope, receive, send)
            return
        if refused is not None:
            await refused(scope, receive, send)
        elif self.guarded is not None:
            await handle_within_limit(self.guard, self.guarded, scope, receive, answer)
        else:
            await self.transport.serve(scope, receive, answer)
        if not is_answered and refused is None:
            # The client has gone. Middleware that waits for a response would call it an error.
            with suppress(OSError):
                await Response(status_code=_GONE)(scope, receive, send)


def check_path_is_free(app: FastAPI, path: str, option: str = "path") -> None:
    """Refuse a path that a route or a mount of the app has; one for every path is no such route.

    Raises:
        MountError: there is one; another value of `option` is needed.
    """
    for route in iter_route_contexts(app.router.routes):
        if isinstance(route.original_route, Endpoint):
            continue
        if _is_at(route, path):
            message = f"The app has a route of its own at {route.path!r}: choose another {option}=."
            raise MountError(message)
        if isinstance(route.original_route, Mount) and route.path == path:
            raise MountError(
                f"The app has mounted something at {path!r}, which the endpoint would hide: choose "
                f"another {option}=, or mount that elsewhere."
            )


def warn_of_hidden_mount(app: FastAPI, path: str) -> None:
    """Tell the log where the endpoint hides a route of an app that is mounted in this one."""
    for route in iter_route_contexts(app.router.routes):
        if isinstance(route.original_route, Mount) and _serves([route], path):
            logger.warning(
                "The endpoint at %r hides what is mounted at %r and serves that path too, such as "
                "another MCP server. Give one of the two another path.",
                path,
                route.path or "/",
            )


def _serves(routes: Sequence[BaseRoute | RouteContext], path: str) -> bool:
    """Whether routes, or those of what is mounted among them, have exactly this path."""
    for route in iter_route_contexts(routes):
        prefix, mount = route.path or "", route.original_route
        if not isinstance(mount, Mount):
            found = _is_at(route, path)
        elif path.startswith(f"{prefix}/"):
            found = _serves(mount.routes, path.removeprefix(prefix))
        else:
            found = prefix == path
        if found:
            return True
    return False


def _is_at(route: RouteContext, path: str) -> bool:
    return route.path_format in {path, f"{path}/"}
