"""Events of another server's stream: what cannot be a message of MCP goes no further.

The SDK writes a traceback for each of them, and the text of each message, wanted or not.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import httpx2

from mcp_mount.remotes.bounds import MAX_UNASKED, Pace, begins_answer

_HEAD: Final = 1_000
"""Bytes in which a large event must begin as an answer does."""

_MAX_LINES: Final = 10_000
"""Lines of an event; the SDK looks at each, and a message needs only one."""

_KINDS: Final = {b"message", b""}

_MAX_DIGITS: Final = 9
"""Of the milliseconds until a stream is resumed: eleven days. The SDK's session ends with a number
that no clock has."""


@dataclass(slots=True, eq=False)
class EventStream:
    """The stream of a session on which a server speaks by itself, which it need not have."""

    was_open: bool = False
    ended: anyio.Event = field(default_factory=anyio.Event)


class Events:
    """The events of a stream while it arrives; each is given whole, or `dropped` and empty."""

    def __init__(self) -> None:
        self.dropped = 0
        self._text = bytearray()
        self._is_dropping = False
        self._is_after_return = False

    def add(self, chunk: bytes) -> Iterator[bytearray]:
        """Yield the events that a chunk ends."""
        if self._is_after_return:
            chunk = chunk.removeprefix(b"\n")
        self._is_after_return = chunk.endswith(b"\r")
        begin = max(len(self._text) - 1, 0)
        self._text += chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = self._text.find(b"\n\n", begin)
        if end >= 0:
            # What began before this chunk may be very large, and is not copied.
            event, rest = self._text, self._text[end + 2 :]
            del event[end + 2 :]
            *others, self._text = rest.split(b"\n\n")
            for each in (event, *(other + b"\n\n" for other in others)):
                yield each if self._is_wanted(each) else bytearray()
        if len(self._text) > MAX_UNASKED and not _begins_answer(self._text):
            self._is_dropping = True
            # The end may come in two parts.
            del self._text[:-1]

    def rest(self) -> bytes:
        """Return the event that is left at the end of the stream, which nothing has ended.

        A large one is left out: it is no message to the SDK, which would copy it several times.
        """
        is_small = len(self._text) <= MAX_UNASKED
        return bytes(self._text) if is_small and self._is_wanted(self._text) else b""

    def _is_wanted(self, event: bytearray) -> bool:
        is_dropped, self._is_dropping = self._is_dropping, False
        if event.count(b"\n") > _MAX_LINES:
            self.dropped += 1
            return False
        data = [*values_of(event, b"data:")]
        begin = data[0][0] if data else len(event)
        head = event[begin : begin + _HEAD].lstrip()
        is_message = not head or head.startswith(b"{")
        beside = len(event) - sum(end - begin for begin, end in data)
        is_large = len(event) > MAX_UNASKED and not (
            beside <= MAX_UNASKED and _begins_answer(event)
        )
        kinds = {bytes(event[begin:end]) for begin, end in values_of(event, b"event:")}
        is_late = any(end - begin > _MAX_DIGITS for begin, end in values_of(event, b"retry:"))
        if is_dropped or is_large or not is_message or kinds - _KINDS or is_late:
            self.dropped += 1
            return False
        return True


def values_of(event: bytes | bytearray, field: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each value of a field begins and ends: `field` is such as ``b"data:"``."""
    # From line to line: to look for several characters takes a hundred times as long as for one.
    begin = 0
    while begin < len(event):
        found = event.find(b"\n", begin)
        end = len(event) if found < 0 else found
        if event.startswith(field, begin):
            value = begin + len(field)
            yield value + event.startswith(b" ", value), end
        begin = end + 1


def _begins_answer(event: bytes | bytearray) -> bool:
    head = bytes(event[:_HEAD])
    data = next(values_of(head, b"data:"), None)
    return data is not None and begins_answer(head[slice(*data)])


_LINES: Final = 2
"""A message is so many lines of a stream at the least. Others, as comments, cost no less."""


class PacedStream(httpx2.AsyncByteStream):
    """What a server says by itself, in all of its streams together, at a pace."""

    def __init__(self, stream: Any, pace: Pace) -> None:
        self._stream = stream
        self._pace = pace

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            lines = max(chunk.count(b"\n"), chunk.count(b"\r"))
            await self._pace.keep(max(1, lines / _LINES), len(chunk))
            yield chunk

    async def aclose(self) -> None:
        """End the stream."""
        await self._stream.aclose()
