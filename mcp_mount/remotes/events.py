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
    """The events of a stream while it arrives; each is given whole, or `dropped`."""

    def __init__(self) -> None:
        self.dropped = 0
        self._text = bytearray()
        self._is_dropping = False
        self._is_after_return = False

    def add(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the events that a chunk ends."""
        if self._is_after_return:
            chunk = chunk.removeprefix(b"\n")
        self._is_after_return = chunk.endswith(b"\r")
        begin = max(len(self._text) - 1, 0)
        self._text += chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        end = self._text.rfind(b"\n\n", begin)
        if end >= 0:
            whole = bytes(self._text[:end])
            del self._text[: end + 2]
            yield from (each + b"\n\n" for each in whole.split(b"\n\n") if self._is_wanted(each))
        if len(self._text) > MAX_UNASKED and not _begins_answer(self._text):
            self._is_dropping = True
            # The end may come in two parts.
            del self._text[:-1]

    def rest(self) -> bytes:
        """Return the event that is left at the end of the stream, which nothing has ended."""
        return bytes(self._text) if self._is_wanted(bytes(self._text)) else b""

    def _is_wanted(self, event: bytes) -> bool:
        is_dropped, self._is_dropping = self._is_dropping, False
        if event.count(b"\n") > _MAX_LINES:
            self.dropped += 1
            return False
        data = next(values_of(event, b"data:"), None)
        is_message = data is None or event[data[0] : data[0] + _HEAD].lstrip()[:1] in {b"{", b""}
        is_large = len(event) > MAX_UNASKED and not _begins_answer(event)
        kinds = {event[begin:end] for begin, end in values_of(event, b"event:")}
        is_late = any(end - begin > _MAX_DIGITS for begin, end in values_of(event, b"retry:"))
        if is_dropped or is_large or not is_message or kinds - _KINDS or is_late:
            self.dropped += 1
            return False
        return True


def values_of(event: bytes, field: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each value of a field begins and ends: `field` is such as ``b"data:"``."""
    # Not by an expression, which looks at each character of a large event.
    begin = 0
    while begin >= 0:
        if event.startswith(field, begin):
            end = event.find(b"\n", begin)
            value = begin + len(field)
            yield value + event.startswith(b" ", value), len(event) if end < 0 else end
        following = event.find(b"\n" + field, begin)
        begin = following + 1 if following >= 0 else -1


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
