"""HTTP with SSE, the transport of protocol 2024-11-05: answers come in a stream of their own.

A GET opens the stream, whose first event says where to POST messages; each POST is answered with
202. A message is handled in the context of its POST, and so as the caller of that (the SDK's
context streams).
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

from fastmcp.server.http import create_sse_app
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount.access.auth import check_with_care
from mcp_mount.backends.request import APP_KEY, RequestContext, request_context
from mcp_mount.endpoints.dispatcher import Dispatcher
from mcp_mount.endpoints.guard import refuse
from mcp_mount.endpoints.hosting import MountContext, RunningApp, check_can_start
from mcp_mount.endpoints.outbox import CountedStream
from mcp_mount.endpoints.streams import StreamGate, Streams, current_outbox
from mcp_mount.search.surface import UnknownSurface, asked_surface
from mcp_mount.server import low_level_server


@dataclass(frozen=True, slots=True)
class Sse:
    """What both paths of the transport have in common.

    `streamable_path` is where the same server is with Streamable HTTP, for the error that names it.
    """

    mount: MountContext
    path: str
    streamable_path: str
    running: RunningApp = field(default_factory=RunningApp)

    def __post_init__(self) -> None:
        """Have what is written to each stream counted."""
        low_level = low_level_server(self.mount.server)
        run = low_level.run

        async def run_counted(read: Any, write: Any, *arguments: Any, **options: Any) -> None:
            outbox = current_outbox.get()
            counted = write if outbox is None else CountedStream(write, outbox)
            await run(read, counted, *arguments, **options)

        # FastMCP's app for this transport takes nothing that stands between.
        low_level.run = run_counted  # type: ignore[method-assign, assignment]

    @property
    def messages(self) -> str:
        """The path that messages are POSTed to, e.g. ``"/sse/messages"``."""
        return f"{self.path}/messages"

    async def start(self, stack: AsyncExitStack) -> ASGIApp:
        """Start an MCP app: see `StartableTransport`."""
        mount = self.mount
        for path in (self.path, self.messages):
            check_can_start(mount, path, "sse_path")
        streams = Streams()
        dispatcher = Middleware(Dispatcher, mount=mount, path=self.path)
        gate = Middleware(StreamGate, streams=streams, credentials=mount.provider.credentials)
        app = create_sse_app(
            mount.server,
            message_path=f"{self.messages}/",
            sse_path=self.path,
            auth=mount.server.auth,
            middleware=[dispatcher, gate],
        )
        check_with_care(app)
        await stack.enter_async_context(app.router.lifespan_context(app))
        stack.push_async_callback(streams.stop)
        return app


@dataclass(frozen=True, slots=True)
class SsePart:
    """One path of the transport: that of the streams, or that of the messages."""

    sse: Sse
    method: Literal["GET", "POST"]

    @property
    def methods(self) -> tuple[str, ...]:
        """What it serves: see `Transport`."""
        return (self.method,)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: see `Transport`."""
        app = self.sse.running.here()
        if app is None:
            message = (
                "SSE needs the app's lifespan, which has not been run in this event loop: run it "
                "(servers do; a TestClient does in a with block), or use Streamable HTTP at "
                f"{self.sse.streamable_path!r}."
            )
            await refuse(503, message)(scope, receive, send)
            return
        try:
            surface = asked_surface(scope)
        except UnknownSurface as unknown:
            await refuse(400, str(unknown))(scope, receive, send)
            return
        await self.sse.mount.provider.refresh()
        token = request_context.set(self._context(scope, surface))
        try:
            await app(self._inner(scope), receive, send)
        finally:
            request_context.reset(token)

    def _context(self, scope: Scope, surface: str | None) -> RequestContext | None:
        if self.method == "GET":
            # Nothing is called on behalf of who opened the stream.
            return None
        return RequestContext(
            scope=scope,
            disconnect_ends_call=True,
            forward_cookies=self.sse.mount.guard.forward_cookies,
            surface=surface,
        )

    def _inner(self, scope: Scope) -> Scope:
        """Return the scope with the path as the MCP app knows it, and no session but the stream."""
        slash = "/" if self.method == "POST" else ""
        # FastMCP would keep a tool's state under the name that this header gives it.
        headers = [(name, value) for name, value in scope["headers"] if name != b"mcp-session-id"]
        path = scope["path"].removesuffix("/") + slash
        return {**scope, "path": path, "headers": headers, APP_KEY: self.sse.mount.app}
