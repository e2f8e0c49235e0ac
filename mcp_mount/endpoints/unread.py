"""The streams of a session that its client does not read.

The SDK hands the messages of a session to its streams one after the other. While one of them is not
read, all other answers wait with their requests, also those whose own clients have gone.
"""

import asyncio
import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakSet, WeakValueDictionary

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from pydantic_core import PydanticSerializationError, to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.endpoints.aside import size_aside
from mcp_mount.endpoints.guard import replay_body
from mcp_mount.endpoints.outbox import EACH, Outbox, capped, request_size, size_of_request

logger = logging.getLogger("mcp_mount")

_SESSION_ID: Final = b"mcp-session-id"


@dataclass(slots=True, eq=False, weakref_slot=True)
class SessionOutbox(Outbox):
    """The answers that wait in a session, and the streams that are not read meanwhile.

    When too much waits, those streams are closed, and the session goes on.
    """

    unread: dict[object, Callable[[], None]] = field(default_factory=dict)

    def close(self) -> None:
        """Close the streams that are not read."""
        for close in [*self.unread.values()]:
            close()

    def hold(self, size: int, task: "asyncio.Task[Any]") -> None:
        """Count an answer until the task that hands it over has ended."""
        size = capped(size)
        self.waiting += size

        def release(_: object) -> None:
            self.waiting -= size

        task.add_done_callback(release)
        self.bound()


_outbox: ContextVar[SessionOutbox | None] = ContextVar("mcp_mount_session_outbox", default=None)
"""That of the session in which the current request is made."""


class UnreadStreams:
    """Closes the streams that hold too much up. Pure ASGI middleware around the MCP app."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app
        self._by_session: WeakValueDictionary[bytes, SessionOutbox] = WeakValueDictionary()
        self._outboxes: WeakSet[Outbox] = WeakSet()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and watch how its answer is read."""
        headers = scope["headers"] if scope["type"] == "http" else ()
        session = next((value for name, value in headers if name == _SESSION_ID), None)
        if session is None:
            # The context may be that of the request before, on the same connection.
            _outbox.set(None)
            await self._app(scope, receive, send)
            return
        size = 0
        if scope["method"] == "POST":
            body = (await receive()).get("body", b"")
            size = await size_of_request(scope, body)
            receive = replay_body(body, receive)
        # As long as anything of the session is served, or waits.
        outbox = self._by_session.setdefault(session, SessionOutbox(self._outboxes))
        self._outboxes.add(outbox)
        stream = _Watched(outbox, receive, send)
        outbox_token, size_token = _outbox.set(outbox), request_size.set(size)
        try:
            await self._app(scope, stream.receive, stream.send)
        finally:
            request_size.reset(size_token)
            _outbox.reset(outbox_token)


class _Watched:
    """A request whose answer may be given up."""

    def __init__(self, outbox: SessionOutbox, receive: Receive, send: Send) -> None:
        self._outbox = outbox
        self._receive = receive
        self._send = send
        self._is_given_up = anyio.Event()

    async def send(self, message: Message) -> None:
        """Send a message, unless the client does not read and too much waits for that."""
        if self._is_given_up.is_set():
            return
        with anyio.CancelScope() as sending:
            self._outbox.unread[self] = sending.cancel
            try:
                await self._send(message)
            finally:
                self._outbox.unread.pop(self, None)
        if sending.cancelled_caught:
            # The server closes the connection, since the answer is not complete.
            self._is_given_up.set()
            logger.warning("A stream of a session was closed: its client does not read it")

    async def receive(self) -> Message:
        """Return what comes from the client, who counts as gone when its answer is given up."""
        message: Message = {"type": "http.disconnect"}

        async def stop() -> None:
            await self._is_given_up.wait()
            either.cancel_scope.cancel()

        async with anyio.create_task_group() as either:
            either.start_soon(stop)
            message = await self._receive()
            either.cancel_scope.cancel()
        return message


async def count_answer(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Count a request and its answer where a stream of its session is not read.

    Middleware of the SDK's server, within the task that hands over the answer, and what is said
    before it: that waits as well.
    """
    outbox, task = _outbox.get(), asyncio.current_task()
    # The first request is handled by what handles all others.
    is_own = ctx.request_id is not None and ctx.method != "initialize"
    if outbox is None or task is None or not is_own:
        return await call_next(ctx)
    size, result = EACH + request_size.get(), None
    if was_unread := bool(outbox.unread):
        outbox.hold(size, task)
    try:
        result = await call_next(ctx)
    finally:
        if outbox.unread:
            outbox.hold(_size(result) + (0 if was_unread else size), task)
    return result


def _size(result: HandlerResult) -> int:
    try:
        text = to_json(result, inf_nan_mode="constants") if result is not None else b""
    except PydanticSerializationError:
        # Half a character is in it, which the SDK refuses.
        return 0
    return len(text) + size_aside(text)
