"""Writes the large parts of what FastMCP answers, beside what the SDK writes.

The SDK copies and writes an answer in one step of the event loop. So it gets a mark for each large
part, and the part, which is written in turns, is put where the mark is in the response.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.backends.request import Headers
from mcp_mount.fastpath.writer import joined, to_one_line, write_members
from mcp_mount.loops import Turns

_LARGE: Final = 16 * 1024
"""Bytes from which on a part is put aside; smaller ones an idle session may keep."""


class _Aside:
    """The large parts of the answer to one request."""

    def __init__(self) -> None:
        # Nobody else knows it, so that nothing in an answer can be taken for a mark.
        self._name = secrets.token_hex()
        self._mark = re.compile(rb'"%s-(\d+)"' % self._name.encode())
        self._parts: list[list[bytes]] = []
        self._is_over = False

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(map(len, (piece for part in self._parts for piece in part)))

    def close(self) -> None:
        """Keep nothing: contexts that the SDK keeps hold this."""
        self._is_over = True
        self._parts.clear()

    async def put(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return a result with marks; nothing of it where its client has gone meanwhile."""
        marked = dict(result)
        for name, value in result.items():
            part = await _written(value) if isinstance(value, dict | list) else None
            if part is not None:
                marked[name] = f"{self._name}-{len(self._parts)}"
                self._parts.append(part)
        if self._is_over:
            self._parts.clear()
            return {}
        return marked

    def around(self, send: Send) -> Send:
        """Return a `send` that puts the parts where their marks are."""
        start: Message | None = None

        async def send_whole(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                # How long the body is, is known with it.
                start = message
                return
            body = message.get("body", b"")
            texts = self._mark.split(body) if self._parts else [body]
            if len(texts) > 1:
                message = {**message, "body": await joined(self._pieces(texts))}
            if start is not None:
                begin, start = start, None
                headers = _resized(begin["headers"], len(message.get("body", b"")))
                await send({**begin, "headers": headers})
            await send(message)

        return send_whole

    def _pieces(self, texts: list[bytes]) -> Iterator[bytes]:
        for is_mark, text in enumerate(texts):
            if is_mark % 2:
                yield from self._parts[int(text)]
            else:
                yield text


_aside: ContextVar[_Aside | None] = ContextVar("mcp_mount_written_aside", default=None)
"""That of the request that is served."""


class WritesAside:
    """Puts what `put_aside` has put aside into the response. Pure ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            # The stream that a GET opens has no answer, and begins at once.
            await self._app(scope, receive, send)
            return
        aside = _Aside()
        _aside.set(aside)
        try:
            await self._app(scope, receive, aside.around(send))
        finally:
            # The context may be that of the next request, on the same connection.
            _aside.set(None)
            aside.close()


def size_aside() -> int:
    """Return the bytes that have been put aside for the request that is served."""
    aside = _aside.get()
    return aside.size if aside is not None else 0


async def put_aside(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Put the large parts of a result aside. Middleware of the SDK's server."""
    result, aside = await call_next(ctx), _aside.get()
    if aside is None or ctx.request_id is None or not isinstance(result, dict):
        return result
    return await aside.put(result)


async def _written(value: dict[str, Any] | list[Any]) -> list[bytes] | None:
    """Write a value as JSON in pieces; None where it is small, or the SDK has to say what it is."""
    pieces, turns = list[bytes](), Turns()
    try:
        for piece in write_members(value):
            # An event is of lines.
            pieces.append(to_one_line(piece).encode())
            await turns.take()
    except (ValueError, RecursionError):
        # It holds half of a character, or too many levels.
        return None
    return pieces if sum(map(len, pieces)) > _LARGE else None


def _resized(headers: Headers, size: int) -> Iterable[tuple[bytes, bytes]]:
    length = b"content-length"
    return [(name, b"%d" % size if name == length else value) for name, value in headers]
