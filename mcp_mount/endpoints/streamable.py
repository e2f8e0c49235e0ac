"""Streamable HTTP: one request, one answer, at one path.

An app whose lifespan is never run gets an MCP server for each request.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.access.auth import replay_message
from mcp_mount.access.sessions import SessionSeal
from mcp_mount.backends.request import APP_KEY, RequestContext, request_context
from mcp_mount.endpoints.collapse import collapse_single_event
from mcp_mount.endpoints.hosting import MountContext, RunningApp, check, scope_gate
from mcp_mount.fastlane.lane import FastLane


@dataclass(frozen=True, slots=True)
class Streamable:
    """The transport of every version since 2025-03-26, which older ones may use too."""

    service: MountContext
    path: str
    lane: FastLane | None = None
    running: RunningApp = field(default_factory=RunningApp)

    @property
    def methods(self) -> tuple[str, ...]:
        """What it serves: see `Transport`."""
        # Without sessions there is no stream to GET and nothing to DELETE (MCP "Transports").
        return ("GET", "POST", "DELETE") if self.service.door.sessions else ("POST",)

    async def serve(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Serve one request: see `Transport`."""
        recognized = self.lane.recognize(scope, body) if self.lane is not None else None
        if self.lane is not None and recognized is not None and await self.lane.is_open():
            served = RequestContext(
                scope=scope,
                tasks=None,
                disconnect_ends_call=recognized.is_modern,
                forward_cookies=self.service.door.forward_cookies,
            )
            if await self.lane.answer(recognized, served, receive, send):
                return
            send = self.lane.learning(recognized, send)
        whole = {"type": "http.request", "body": body, "more_body": False}
        async with AsyncExitStack() as stack:
            # Before the task group, which would hide a `MountError` in a group of exceptions.
            app = self.running.here() or await self.start(stack)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            served = self._incoming(scope, tasks)
            token = request_context.set(served)
            try:
                # The MCP app knows its path without a slash behind it.
                path = scope["path"].removesuffix("/")
                inner = {**scope, "path": path, APP_KEY: self.service.app}
                # The stream that a GET opens has no answer, and begins at once.
                answer = collapse_single_event(send) if scope["method"] == "POST" else send
                await app(
                    inner,
                    replay_message(whole, receive),
                    force_200_for_unknown_tool(served, answer),
                )
            finally:
                request_context.reset(token)

    def _incoming(self, scope: Scope, tasks: TaskGroup) -> RequestContext:
        version = Request(scope).headers.get("mcp-protocol-version")
        handshake = version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
        return RequestContext(
            scope=scope,
            tasks=tasks,
            disconnect_ends_call=self.service.door.sessions or not handshake,
            forward_cookies=self.service.door.forward_cookies,
        )

    async def start(self, stack: AsyncExitStack) -> ASGIApp:
        """Start an MCP app: see `StartableTransport`."""
        service, sessions = self.service, self.service.door.sessions
        check(service, self.path)
        inner: list[Middleware] = []
        if sessions:
            inner.append(Middleware(SessionSeal, credentials=service.provider.credentials))
        inner += scope_gate(service, self.path)
        app = service.server.http_app(path=self.path, stateless_http=not sessions, middleware=inner)
        await stack.enter_async_context(app.router.lifespan_context(app))
        return app


def force_200_for_unknown_tool(served: RequestContext, send: Send) -> Send:
    """Answer a call of an unknown tool with 200: the request was in order, its tool was not.

    The SDK derives the status from the code of the error, which an envelope that lacks a field has
    too.
    """

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start" and served.named_no_tool:
            message = {**message, "status": 200}
        await send(message)

    return tell
