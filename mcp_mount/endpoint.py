"""The route that serves MCP: it lets in, bounds and hands on one request at a time.

In this order: the method, the ``Origin``, the app's dependencies, the size of the body, the auth
provider, the session, the scopes; then FastMCP. An app whose lifespan is never run gets an MCP
server for each request.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import EventLoopToken, current_token
from fastapi import FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute, iter_route_contexts
from fastmcp import FastMCP
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.auth import ScopeGate, ScopesOf, given_on, metadata_url
from mcp_mount.call import APP_KEY, Headers, Incoming, incoming
from mcp_mount.errors import MountError
from mcp_mount.fastlane import FastLane
from mcp_mount.inprocess import BOUND_KEY, Bound
from mcp_mount.origin import Origins
from mcp_mount.remotes import RemoteProvider
from mcp_mount.scope import route_path
from mcp_mount.server import OperationProvider
from mcp_mount.sessions import SessionSeal

_INVALID_REQUEST = -32600


@dataclass(frozen=True, slots=True)
class Door:
    """Who is let in, and with how much. See `mount_mcp`."""

    origins: Origins
    max_request_bytes: int
    dependencies: Sequence[Depends] = ()
    scopes_of: ScopesOf | None = None
    sessions: bool = False
    forward_cookies: bool = False


@dataclass(slots=True)
class Endpoint(BaseRoute):
    """The route of the endpoint, for exactly its path with or without a slash behind it.

    A class because it holds the running server while the app's lifespan lasts.
    """

    app: FastAPI
    path: str
    server: FastMCP[Any]
    provider: OperationProvider
    door: Door
    lane: FastLane | None = None
    remotes: RemoteProvider | None = None
    running: tuple[ASGIApp, EventLoopToken] | None = field(default=None, init=False)
    guarded: APIRoute | None = field(default=None, init=False)
    paths: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Work out what each request is compared with."""
        self.paths = frozenset({self.path, f"{self.path}/"})

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
            if scope["path"] != bound.path:
                return (Match.NONE if bound.may_reach(scope) else Match.FULL), {}
            # FastAPI's own telemetry asks the route that its router found for its path.
            if bound.route is not None and "fastapi.telemetry" not in scope:
                match, child = bound.route.matches(scope)
                return (match, child) if match is Match.FULL else (Match.NONE, {})
            return Match.NONE, {}
        if scope["type"] == "http" and route_path(scope) in self.paths:
            return Match.FULL, {"endpoint": self, "path_params": {}}
        return Match.NONE, {}

    def _bound(self, scope: Scope) -> Bound | None:
        """Return where a call of this app is bound; None for every other request."""
        bound: Bound | None = scope.get(BOUND_KEY)
        if bound is None or bound.app is not self.app or scope["type"] != "http":
            return None
        return bound if route_path(scope) not in self.paths else None

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """Answer no name: the app's own names stay the app's own."""
        raise NoMatchFound(name, path_params)

    def guard(self, app: FastAPI) -> None:
        """Let FastAPI solve the door's dependencies first, with the overrides of `app`."""
        if not self.door.dependencies:
            return

        async def let_in(request: Request, response: Response) -> Response:
            # `response` has the headers that the dependencies set.
            return _Handover(admit, request, response.raw_headers)

        async def admit(request: Request, send: Send) -> None:
            await self._admit(request.scope, request.receive, send, request)

        self.guarded = APIRoute(
            self.path,
            let_in,
            methods=[*self._methods],
            dependencies=self.door.dependencies,
            dependency_overrides_provider=app,
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and stay until what its call began has ended."""
        bound = self._bound(scope) if BOUND_KEY in scope else None
        if bound is not None:
            del scope[BOUND_KEY]
            if bound.route is not None and scope["path"] == bound.path:
                await bound.route.handle(scope, receive, send)
            else:
                # Middleware has sent the call to what is no tool.
                await JSONResponse({"detail": "Not Found"}, 404)(scope, receive, send)
            return
        origin = host = None
        for name, value in scope["headers"]:
            if name == b"origin":
                # Several are one list (RFC 9110 §5.3), which is no origin.
                text = value.decode("latin-1")
                origin = text if origin is None else f"{origin}, {text}"
            elif name == b"host" and host is None:
                host = value.decode("latin-1")
        if scope["method"] not in self._methods:
            allow = {"allow": ", ".join(self._methods)}
            refusal: Response = PlainTextResponse("Method Not Allowed", 405, headers=allow)
            await refusal(scope, receive, send)
        elif not self.door.origins.allow(origin, host):
            refusal = _refusal(
                403,
                f"The origin {origin!r} is not allowed. The server's public_url= and "
                "allowed_origins= say which are.",
            )
            await refusal(scope, receive, send)
        elif self.guarded is not None:
            await self.guarded.handle(scope, receive, send)
        else:
            await self._admit(scope, receive, send)

    async def _admit(
        self, scope: Scope, receive: Receive, send: Send, request: Request | None = None
    ) -> None:
        """Read the request and serve it; `request` is where dependencies may have read it."""
        limit, body = self.door.max_request_bytes, None
        try:
            if not _is_announced_larger(scope, limit):
                reading = (
                    _read_again(request, limit) if request is not None else _read(receive, limit)
                )
                body = await reading
        except ClientDisconnect:
            return
        if body is None:
            await _refusal(413, f"The request is larger than {limit} bytes.")(scope, receive, send)
            return
        recognized = self.lane.recognize(scope, body) if self.lane is not None else None
        if self.lane is not None and recognized is not None and await self.lane.is_open():
            served = Incoming(
                scope=scope,
                tasks=None,
                disconnect_ends_call=recognized.is_modern,
                forward_cookies=self.door.forward_cookies,
            )
            if await self.lane.answer(recognized, served, receive, send):
                return
            send = self.lane.learning(recognized, send)
        whole = {"type": "http.request", "body": body, "more_body": False}
        async with AsyncExitStack() as stack:
            # Before the task group, which would hide a `MountError` in a group of exceptions.
            app = self._running_here() or await self.start(stack)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            served = self._incoming(scope, tasks)
            token = incoming.set(served)
            try:
                # The MCP app knows its path without a slash behind it.
                path = scope["path"].removesuffix("/")
                inner = {**scope, "path": path, APP_KEY: self.app}
                await app(inner, given_on(whole, receive), _told(served, send))
            finally:
                incoming.reset(token)

    @property
    def _methods(self) -> tuple[str, ...]:
        # Without sessions there is no stream to GET and nothing to DELETE (MCP "Transports").
        return ("GET", "POST", "DELETE") if self.door.sessions else ("POST",)

    def _incoming(self, scope: Scope, tasks: TaskGroup) -> Incoming:
        version = Request(scope).headers.get("mcp-protocol-version")
        handshake = version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
        return Incoming(
            scope=scope,
            tasks=tasks,
            disconnect_ends_call=self.door.sessions or not handshake,
            forward_cookies=self.door.forward_cookies,
        )

    def run(self, app: ASGIApp | None) -> None:
        """Use an MCP app that runs in this event loop; None: it has ended."""
        self.running = (app, current_token()) if app is not None else None

    def _running_here(self) -> ASGIApp | None:
        """Return the running MCP app, unless it runs in another event loop: tests may have two."""
        if self.running is None or self.running[1] != current_token():
            return None
        return self.running[0]

    async def start(self, stack: AsyncExitStack) -> ASGIApp:
        """Start an MCP app that runs until `stack` is closed.

        Raises:
            MountError: the operations cannot be offered as they are.
        """
        self.provider.tools()
        check_path_is_free(self.app, self.path)
        _check_middleware(self.server)
        auth = self.server.auth
        inner: list[Middleware] = []
        if self.door.sessions:
            inner.append(Middleware(SessionSeal, credentials=self.provider.credentials))
        if auth is not None or self.door.scopes_of is not None:
            gate = Middleware(
                ScopeGate,
                needs=self._scopes,
                scopes_of=self.door.scopes_of,
                auth=auth,
                metadata_url=metadata_url(auth, self.path) if auth is not None else None,
            )
            inner.append(gate)
        app = self.server.http_app(
            path=self.path, stateless_http=not self.door.sessions, middleware=inner
        )
        await stack.enter_async_context(app.router.lifespan_context(app))
        return app

    def _scopes(self, tool: str) -> Sequence[frozenset[str]]:
        """Return the alternatives of scopes that a tool asks for, whoever offers it."""
        others = self.remotes.scopes(tool) if self.remotes is not None else ()
        return self.provider.scopes(tool) or others


def check_path_is_free(app: FastAPI, path: str) -> None:
    """Refuse a path at which the app has a route of its own; one for every path is none.

    Raises:
        MountError: there is such a route.
    """
    for route in iter_route_contexts(app.router.routes):
        is_ours = isinstance(route.original_route, Endpoint)
        if not is_ours and route.path_format in {path, f"{path}/"}:
            message = f"The app has a route of its own at {route.path!r}: choose another path=."
            raise MountError(message)


def _check_middleware(server: FastMCP[Any]) -> None:
    """Refuse FastMCP's cache of responses where it cannot tell callers apart.

    Raises:
        MountError: it is there, and no auth provider names the callers to it.
    """
    if server.auth is None and any(
        type(each).__name__ == "ResponseCachingMiddleware" for each in server.middleware
    ):
        message = (
            "ResponseCachingMiddleware would serve one caller's results to another: it knows "
            "callers by the token of auth= only. Remove it, or use auth=."
        )
        raise MountError(message)


class _Handover(Response):
    """A response that FastAPI sends by letting the endpoint answer."""

    def __init__(
        self, admit: Callable[[Request, Send], Awaitable[None]], request: Request, headers: Headers
    ) -> None:
        super().__init__()
        self._admit = admit
        self._request = request
        self._added = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._added]}
            await send(message)

        await self._admit(self._request, send_with_headers)
        if self.background is not None:
            await self.background()


def _refusal(status: int, message: str) -> JSONResponse:
    """Refuse a request before it is read, in the words of JSON-RPC 2.0 §5.1."""
    error = {"code": _INVALID_REQUEST, "message": message}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=status)


def _is_announced_larger(scope: Scope, limit: int) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return value.isdigit() and int(value[:20]) > limit
    return False


async def _read(receive: Receive, limit: int) -> bytes | None:
    """Receive the whole body; None as soon as it is larger than `limit` bytes.

    Raises:
        ClientDisconnect: the client went while it was sending.
    """
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            return None
    return bytes(body)


async def _read_again(request: Request, limit: int) -> bytes | None:
    """Return what `_read` does, of a request that a dependency may have read before.

    Starlette's requests remember what they gave.

    Raises:
        ClientDisconnect: the client went while it was sending.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            return None
    return bytes(body)


def _told(served: Incoming, send: Send) -> Send:
    """Answer a call of an unknown tool with 200: the request was in order, its tool was not.

    The SDK derives the status from the code of the error, which an envelope that lacks a field has
    too.
    """

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start" and served.named_no_tool:
            message = {**message, "status": 200}
        await send(message)

    return tell
