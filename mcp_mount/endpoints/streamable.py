"""Streamable HTTP: one request, one answer, at one path.

An app whose lifespan is never run gets an MCP server for each request that needs one.
"""

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import anyio
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.access.auth import check_with_care
from mcp_mount.access.sessions import SessionSeal
from mcp_mount.access.shares import SessionShare
from mcp_mount.backends.request import (
    APP_KEY,
    RequestContext,
    request_context,
    wait_for_tasks,
)
from mcp_mount.endpoints.aside import WritesAside, answer_aside
from mcp_mount.endpoints.collapse import collapse_single_event
from mcp_mount.endpoints.dispatcher import Dispatcher
from mcp_mount.endpoints.guard import refuse
from mcp_mount.endpoints.hosting import MountContext, RunningApp, check_can_start
from mcp_mount.endpoints.idle import IdleSessions
from mcp_mount.endpoints.unread import UnreadStreams, count_answer
from mcp_mount.fastpath.responder import FastPath
from mcp_mount.page.details import PageDetails
from mcp_mount.search.surface import UnknownSurface, asked_surface
from mcp_mount.server import low_level_server

_EVENT_ID: Final = re.compile(rb"[!-~]{1,300}")
"""An id of an event, ours or of a store of the user's: FastMCP writes it into the log as it is."""


@dataclass(slots=True)
class Streamable:
    """The transport of every version since 2025-03-26, which older ones may use too."""

    mount: MountContext
    path: str
    fast_path: FastPath
    page: PageDetails | None = None
    running: RunningApp = field(default_factory=RunningApp)
    _entry: ASGIApp = field(init=False)

    def __post_init__(self) -> None:
        """Put the dispatcher in front of FastMCP's app; with ``auth=`` it runs inside that."""
        low_level = low_level_server(self.mount.server)
        answer_aside(low_level)
        if self.mount.guard.sessions:
            low_level.middleware.insert(0, count_answer)
        # With `auth=`, FastMCP's app finds out first who calls.
        has_auth = self.mount.server.auth is not None
        self._entry = self._serve_with_fastmcp if has_auth else self._wrap(self._serve_with_fastmcp)

    @property
    def methods(self) -> tuple[str, ...]:
        """What it serves: see `Transport`."""
        # Without sessions there is no stream to GET and nothing to DELETE (MCP "Transports").
        return ("GET", "POST", "DELETE") if self.mount.guard.sessions else ("POST",)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: see `Transport`."""
        if self.mount.guard.sessions:
            # What a session is sealed with is asked for before the body.
            await self.mount.provider.refresh()
        try:
            surface = asked_surface(scope)
        except UnknownSurface as unknown:
            await refuse(400, str(unknown))(scope, receive, send)
            return
        if not all(map(_EVENT_ID.fullmatch, _last_event_ids(scope))):
            message = "Last-Event-ID is no id of an event: send one as it was received."
            await refuse(400, message)(scope, receive, send)
            return
        ctx = RequestContext(
            scope=scope,
            disconnect_ends_call=self.mount.guard.sessions or not _is_handshake(scope),
            forward_cookies=self.mount.guard.forward_cookies,
            surface=surface,
        )
        token = request_context.set(ctx)
        try:
            await self._entry(scope, receive, send)
        except asyncio.CancelledError:
            if not ctx.disconnect_ends_call:
                # The server ends this request, so nothing is left to wait for until the deadline.
                for task in ctx.tasks:
                    task.cancel()
            raise
        finally:
            request_context.reset(token)
            if ctx.abandon is not None:
                # In a session, a call outlives the request that made it.
                ctx.abandon()
            if ctx.tasks:
                with anyio.CancelScope(shield=True):
                    await wait_for_tasks(ctx.tasks)

    async def start(self, stack: AsyncExitStack) -> ASGIApp:
        """Start FastMCP's app: see `StartableTransport`."""
        mount = self.mount
        check_can_start(mount, self.path)
        app = mount.server.http_app(
            path=self.path,
            stateless_http=not mount.guard.sessions,
            event_store=mount.open_events(stack) if mount.open_events is not None else None,
            middleware=self._inner_middleware() if mount.server.auth is not None else self._bound(),
        )
        check_with_care(app)
        await stack.enter_async_context(app.router.lifespan_context(app))
        return app

    def _inner_middleware(self) -> list[Middleware]:
        return [*self._seal(), Middleware(Dispatcher, **self._dispatch_options()), *self._bound()]

    def _wrap(self, app: ASGIApp) -> ASGIApp:
        wrapped: ASGIApp = Dispatcher(app, **self._dispatch_options())
        for cls, args, options in reversed(self._seal()):
            wrapped = cls(wrapped, *args, **options)
        return wrapped

    def _dispatch_options(self) -> dict[str, Any]:
        return {
            "mount": self.mount,
            "path": self.path,
            "fast_path": self.fast_path,
            "page": self.page,
        }

    def _seal(self) -> list[Middleware]:
        if not self.mount.guard.sessions:
            return []
        return [Middleware(SessionSeal, credentials=self.mount.provider.credentials)]

    def _bound(self) -> list[Middleware]:
        """Return what bounds how answers are written, how they wait, and what a session keeps.

        It has to see what opens a session where nobody is left to hear of it, too.
        """
        # A store of events keeps what the SDK writes.
        aside = [Middleware(WritesAside)] if self.mount.open_events is None else []
        if not self.mount.guard.sessions:
            return aside
        credentials = self.mount.provider.credentials
        return [
            *aside,
            Middleware(UnreadStreams),
            Middleware(IdleSessions),
            Middleware(SessionShare, credentials=credentials, refuse=partial(refuse, 400)),
        ]

    async def _serve_with_fastmcp(self, scope: Scope, receive: Receive, send: Send) -> None:
        running = self.running.here()
        if running is None and self.mount.guard.sessions and _is_handshake(scope):
            message = (
                "Sessions need the app's lifespan, which has not been run in this event loop: "
                "run it (servers do; a TestClient does in a with block), or leave out sessions=."
            )
            await refuse(503, message)(scope, receive, send)
            return
        async with AsyncExitStack() as stack:
            app = running or await self.start(stack)
            # FastMCP's app knows its path without a slash behind it.
            path = scope["path"].removesuffix("/")
            inner = {**scope, "path": path, APP_KEY: self.mount.app}
            if not (self.mount.guard.sessions and _is_handshake(scope)):
                # FastMCP would keep a tool's state under the name that this header gives it.
                headers = [each for each in scope["headers"] if each[0] != b"mcp-session-id"]
                inner["headers"] = headers
            # The stream that a GET opens has no answer, and begins at once.
            answer = collapse_single_event(send) if scope["method"] == "POST" else send
            await app(inner, receive, force_200_for_unknown_tool(answer))


def _last_event_ids(scope: Scope) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == b"last-event-id"]


def _is_handshake(scope: Scope) -> bool:
    """Whether a request speaks a version that opens with ``initialize``."""
    for name, value in scope["headers"]:
        if name == b"mcp-protocol-version":
            return value.decode("latin-1") in HANDSHAKE_PROTOCOL_VERSIONS
    return True


def force_200_for_unknown_tool(send: Send) -> Send:
    """Answer a call of an unknown tool with 200: the request was in order, its tool was not.

    The SDK derives the status from the code of the error, which an envelope that lacks a field has
    too.
    """
    ctx = request_context.get()

    async def send_200(message: Message) -> None:
        if message["type"] == "http.response.start" and ctx is not None and ctx.unknown_tool:
            message = {**message, "status": 200}
        await send(message)

    return send_200
