"""Puts the endpoint and its lifespan onto an app.

* The endpoint is one route of the app, for exactly ``path`` and ``path + "/"``; the app's
  middleware runs on it as on every other.
* The MCP server starts after the app's own start-up and stops before its own shutdown. An app whose
  lifespan is never run gets a server for each request.
"""

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import anyio
from fastapi import FastAPI
from fastmcp import FastMCP
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.call import Incoming, InProcess, incoming, route_path
from mcp_mount.errors import MountError
from mcp_mount.reading import Limits
from mcp_mount.selection import Selector
from mcp_mount.server import OperationProvider, build_server, warn_of_many_tools

_VERSION = b"mcp-protocol-version"


@dataclass(frozen=True, slots=True)
class Mounted:
    """What `mount_mcp` put onto an app.

    Attributes:
        server: The FastMCP server; add tools, prompts, resources and middleware of your own.
        path: The endpoint's path in the app, e.g. ``"/mcp"``.
    """

    server: FastMCP[Any]
    path: str


def mount_mcp(
    app: FastAPI,
    *,
    path: str = "/mcp",
    include: Sequence[Selector] = (),
    exclude: Sequence[Selector] = (),
    limits: Limits = Limits(),  # noqa: B008 - frozen
    sessions: bool = False,
    forward_cookies: bool = False,
) -> Mounted:
    """Offer every operation of `app` as an MCP tool at `path`, in the same process.

    Call it before or after routes, routers and middleware are added, and before the app starts.

    Args:
        app: The application. Its title, version and description become the server's.
        path: Where the endpoint is, e.g. ``"/mcp"``; ``"/mcp/"`` is the same endpoint.
        include: Selectors of the operations to offer; none: all. A string is an operation id or
            tool name (``"get_article"``, globs allowed), a tag (``"tag:kb"``), a path
            (``"/admin/*"``) or a method and path (``"DELETE *"``); a callable takes the
            `Operation`.
        exclude: Selectors of the operations to leave out of those.
        limits: What one call may take.
        sessions: Keep a session for each client of the handshake versions, for tools of your own
            that need one. Needs sticky routing where several processes serve.
        forward_cookies: Pass the caller's ``Cookie`` header to the routes. Leave it off unless
            browsers cannot reach the endpoint from other sites.

    Returns:
        The mounted server.

    Raises:
        MountError: the path is not of that form or is taken, or the app has already started.
    """
    _check_path(app, path)
    provider = OperationProvider(
        lambda: app.openapi(),  # noqa: PLW0108 - an app may set one of its own after this
        InProcess(app),
        include=include,
        exclude=exclude,
        limits=limits,
    )
    server = build_server(
        provider,
        name=app.title,
        version=app.version,
        instructions=app.description or app.summary or None,
    )
    endpoint = Endpoint(path, server, provider, sessions=sessions, forward_cookies=forward_cookies)
    # First, so that no catch-all route of the app takes the path before it.
    app.router.routes.insert(0, endpoint)
    app.add_middleware(LifespanMiddleware, endpoint=endpoint)
    return Mounted(server=server, path=path)


def _check_path(app: FastAPI, path: str) -> None:
    if not re.fullmatch(r"(/[^/{}?#%\s]+)+", path):
        message = f"The path {path!r} cannot be the endpoint's: write it like '/mcp'."
        raise MountError(message)
    if any(isinstance(route, Endpoint) and route.path == path for route in app.router.routes):
        message = f"There is an MCP endpoint at {path!r} already: choose another path=."
        raise MountError(message)
    if app.middleware_stack is not None:
        message = "The app has already started: call mount_mcp where the app is built."
        raise MountError(message)


@dataclass(slots=True)
class Endpoint(BaseRoute):
    """The route that serves MCP, for exactly its path with or without a slash behind it.

    A class because it holds the running server while the app's lifespan lasts.
    """

    path: str
    server: FastMCP[Any]
    provider: OperationProvider
    sessions: bool
    forward_cookies: bool
    running: ASGIApp | None = field(default=None, init=False)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match every method, so that what is not served is refused here and not elsewhere."""
        if scope["type"] == "http" and route_path(scope) in {self.path, f"{self.path}/"}:
            return Match.FULL, {"endpoint": self}
        return Match.NONE, {}

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        """Answer no name: the app's own names stay the app's own."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and stay until what its call began has ended."""
        if scope["method"] not in self._methods:
            headers = {"allow": ", ".join(self._methods)}
            response = PlainTextResponse("Method Not Allowed", status_code=405, headers=headers)
            await response(scope, receive, send)
            return
        async with AsyncExitStack() as stack:
            # Before the task group, which would hide a `MountError` in a group of exceptions.
            served = self.running or await self.start(stack)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            token = incoming.set(self._incoming(scope, tasks))
            try:
                # The MCP app knows its path without a slash behind it.
                path = scope["path"].removesuffix("/")
                await served({**scope, "path": path}, receive, send)
            finally:
                incoming.reset(token)

    @property
    def _methods(self) -> tuple[str, ...]:
        # Without sessions there is no stream to GET and nothing to DELETE (MCP "Transports").
        return ("GET", "POST", "DELETE") if self.sessions else ("POST",)

    def _incoming(self, scope: Scope, tasks: anyio.abc.TaskGroup) -> Incoming:
        version = next(
            (value.decode("latin-1") for name, value in scope["headers"] if name == _VERSION), None
        )
        handshake = version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
        return Incoming(
            scope=scope,
            tasks=tasks,
            disconnect_ends_call=self.sessions or not handshake,
            forward_cookies=self.forward_cookies,
        )

    async def start(self, stack: AsyncExitStack) -> ASGIApp:
        """Start an MCP app that runs until `stack` is closed.

        Raises:
            MountError: the operations cannot be offered as they are.
        """
        self.provider.tools()
        app = self.server.http_app(path=self.path, stateless_http=not self.sessions)
        await stack.enter_async_context(app.router.lifespan_context(app))
        return app


class LifespanMiddleware:
    """Runs the MCP server inside the app's lifespan, whichever way that is declared.

    It listens to the messages of the lifespan protocol: the app has started when it says so, and is
    about to stop when it is told to.
    """

    def __init__(self, app: ASGIApp, endpoint: Endpoint) -> None:
        """Wrap `app`, and start and stop `endpoint` with it."""
        self._app = app
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; in a lifespan, start and stop between the app's own doing."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        stack = AsyncExitStack()

        async def stop() -> None:
            self._endpoint.running = None
            await stack.aclose()

        async def send_started(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._endpoint.running = await self._endpoint.start(stack)
                warn_of_many_tools(len(self._endpoint.provider.tools()))
            try:
                await send(message)
            except BaseException:
                await stop()
                raise

        async def receive_stopping() -> Message:
            if self._endpoint.running is None:
                return await receive()
            try:
                return await receive()
            finally:
                await stop()

        await self._app(scope, receive_stopping, send_started)
