"""What an idle session keeps: the message that came last, and the answer that went last.

The SDK's loops hold both until the next ones come. So after large ones a ``ping`` comes at once.
"""

import asyncio
from contextvars import Context
from itertools import count
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.endpoints.guard import replay_body
from mcp_mount.endpoints.outbox import request_size

_LARGE: Final = 16 * 1024
"""Bytes; what a thousand idle sessions of one caller may keep of each."""

_PATIENCE: Final = 5.0
"""Seconds that a ping may wait for others of its session; it has had its effect before."""

_PING: Final = b'{"jsonrpc":"2.0","id":"mcp_mount.idle.%d","method":"ping"}'


class IdleSessions:
    """Pings a session that has had a large message. Pure ASGI middleware around the MCP app."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app
        self._pings: set[asyncio.Task[None]] = set()
        # By session, while it is pinged; with the request after which that is to be done again.
        self._next: dict[bytes, Scope | None] = {}
        self._ids = count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and a ping after a large one."""
        is_message = scope["type"] == "http" and scope["method"] == "POST"
        headers = scope["headers"] if is_message else ()
        session = next((value for name, value in headers if name == b"mcp-session-id"), None)
        if session is None:
            await self._app(scope, receive, send)
            return
        size, is_complete = 0, False

        async def send_and_measure(message: Message) -> None:
            nonlocal size, is_complete
            size += len(message.get("body", b""))
            await send(message)
            if message["type"] == "http.response.body":
                is_complete = not message.get("more_body", False)

        try:
            await self._app(scope, receive, send_and_measure)
        finally:
            # Where the client has gone, the answer might have been large.
            if max(size, request_size.get()) > _LARGE or not is_complete:
                is_pinged = session in self._next
                self._next[session] = scope
                if not is_pinged:
                    # The SDK keeps the context of what came last, too.
                    ping = asyncio.create_task(self._ping_on(session), context=Context())
                    self._pings.add(ping)
                    ping.add_done_callback(self._pings.discard)

    async def _ping_on(self, session: bytes) -> None:
        """Ping a session, and again where a large message has come meanwhile."""
        try:
            while (scope := self._next[session]) is not None:
                self._next[session] = None
                await self._ping(scope)
        finally:
            del self._next[session]

    async def _ping(self, scope: Scope) -> None:
        # Several may wait at once.
        body = _PING % next(self._ids)

        async def stay() -> Message:
            await anyio.sleep_forever()
            raise AssertionError

        async def ignore(message: Message) -> None:
            """The session may have ended meanwhile."""

        with anyio.move_on_after(_PATIENCE):
            await self._app(scope, replay_body(body, stay), ignore)
