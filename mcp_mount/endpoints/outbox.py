"""What waits to be sent on the event streams of HTTP+SSE, and how much that may be.

Whoever opens a stream need not read it, and can have any number of results made for it meanwhile.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Self

import anyio
from mcp.shared.message import SessionMessage
from starlette.types import Message, Scope, Send

from mcp_mount.endpoints.amount import values_of
from mcp_mount.endpoints.aside import size_aside

_MOST_OF_A_STREAM: Final = 32 * 1024 * 1024
"""Bytes that may wait on one stream; it is closed when more do."""

_MOST: Final = 128 * 1024 * 1024
"""Bytes that may wait on all streams; the one on which most do is closed when more do."""

EACH: Final = 32 * 1024
"""Bytes that a message takes beside its text: the task that sends it."""

_EACH_VALUE: Final = 64
"""Bytes that a value of a request takes, beside twice the request's own."""

_PIECE: Final = 64 * 1024
"""Bytes that are handed to the server at once, which holds what the client has not read."""

_PATIENCE: Final = 30.0
"""Seconds that a client may take to read a piece."""


request_size: ContextVar[int] = ContextVar("mcp_mount_request_size", default=0)
"""Bytes that the request takes which is handled: it is there as long as its answer waits."""


@dataclass(slots=True, eq=False)
class Outbox:
    """The messages that wait on one stream; it is closed when they are too much, or not read."""

    _others: Collection["Outbox"]
    is_closed: anyio.Event = field(default_factory=anyio.Event)
    waiting: int = 0

    def has_room(self, size: int) -> bool:
        """Whether so much more may wait on this stream."""
        return self.waiting + capped(size) <= _MOST_OF_A_STREAM

    def close(self) -> None:
        """Take and send nothing any more."""
        self.is_closed.set()

    def bound(self) -> None:
        """Close this one where too much waits, or the one on which most does."""
        if self.waiting > _MOST_OF_A_STREAM:
            self.close()
        elif sum(each.waiting for each in self._others) > _MOST:
            max(self._others, key=lambda each: each.waiting).close()

    @asynccontextmanager
    async def counted(self, size: int) -> AsyncIterator[None]:
        """Count what waits for as long as it does.

        Raises:
            BrokenResourceError: the stream is closed, which this may be the reason for.
        """
        size = capped(size)
        self.waiting += size
        try:
            self.bound()
            if self.is_closed.is_set():
                raise anyio.BrokenResourceError
            yield
        finally:
            self.waiting -= size


def capped(size: int) -> int:
    """Return what a message counts: where limits let in larger ones, one alone is not too much."""
    return min(size, _MOST_OF_A_STREAM // 2)


async def size_of_request(scope: Scope, body: bytes) -> int:
    """Return the bytes that a request takes, as it came and as it was parsed."""
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + 2 * len(body) + _EACH_VALUE * await values_of(scope, body)


class CountedStream:
    """The SDK's stream of messages to a client, by way of an outbox."""

    def __init__(self, inner: Any, outbox: Outbox) -> None:
        """Wrap `inner`, which takes a message when the one before it has been sent."""
        self._inner = inner
        self._outbox = outbox

    async def send(self, item: SessionMessage) -> None:
        """Send a message, when its turn has come."""
        text = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode()
        size = EACH + request_size.get() + len(text) + size_aside(text)
        del text
        async with self._outbox.counted(size):
            await self._inner.send(item)

    async def aclose(self) -> None:
        """Close the stream."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        """Use the stream."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the stream."""
        await self.aclose()


async def send_in_pieces(send: Send, message: Message, on_stall: Callable[[], None]) -> None:
    """Send a part of a body, as fast as its client reads.

    Raises:
        OSError: the client has gone, or takes too long.
    """
    body, more = message.get("body", b""), message.get("more_body", False)
    for start in range(0, max(len(body), 1), _PIECE):
        end = start + _PIECE
        piece = {**message, "body": body[start:end], "more_body": more or end < len(body)}
        try:
            with anyio.fail_after(_PATIENCE):
                await send(piece)
        except TimeoutError:
            on_stall()
            raise
