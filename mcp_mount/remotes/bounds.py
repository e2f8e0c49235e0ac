"""What another server may send beside what it is asked for, and what stands for what is too large.

The SDK parses a message in one step, which holds the event loop: how large one may be is counted
while it arrives, with a `mcp_mount.conversion.structure.Meter`.
"""

import re
import time
from typing import Final

import anyio
from mcp_types import ErrorData, JSONRPCMessage, JSONRPCRequest

TOO_LARGE: Final = -32098
"""The code of the error that stands for an answer which was dropped."""

ASKS_TOO_MUCH: Final = -32097
"""The code of the error that stands for a question which was dropped."""

MAX_UNASKED: Final = 256 * 1024
"""Characters of a notification or a request of a server; a result may have many more."""

MAX_PAGE: Final = 8 * 1024 * 1024
"""Bytes of a page of a list, where they are counted for each answer: it is read in one step."""

MAX_DATA: Final = 10_000
"""Characters of what an error has beside its message, each value counting four."""

MAX_INTEGER: Final = 2**53 - 1
"""The largest that every client of JSON reads to the last digit (RFC 8259, 6)."""

_BURST: Final = 2_000.0
_RATE: Final = 500.0
"""Messages that nobody asked for, at once and a second; beyond that they are read more slowly."""

JUNK: Final = 0.1
"""What a line or an event that is no message counts."""

_BYTES: Final = 4_096
"""So many count as one message."""

_WAIT: Final = 0.02
"""Seconds that are owed before they are waited: each wait costs as much as some messages."""

_HOUR: Final = 3_600.0

# Few blanks: of a line that arrives byte by byte, they are looked at with each.
_ANSWER: Final = re.compile(
    rb'\s{0,99}\{\s{0,99}(?:"(?:jsonrpc|id)"\s{0,99}:\s{0,99}(?:"[^"]{0,60}"|[0-9]{1,18})'
    rb'\s{0,99},\s{0,99}){0,2}"(?:result|error)"'
)


def begins_answer(text: bytes | bytearray) -> bool:
    """Whether a message begins as an answer does, and not as what nobody asked for."""
    return _ANSWER.match(text) is not None


def too_large_error() -> ErrorData:
    """Return what a request is answered with in place of a message that was dropped."""
    return ErrorData(code=TOO_LARGE, message="The answer is too large.")


class Pace:
    """How fast what a server says by itself is read: a flood leaves the event loop to others.

    `expected` answers are waited for, or were once; they cost nothing.
    """

    def __init__(self, now: float | None = None) -> None:
        self.expected = 0
        self._left = _BURST
        self._at = time.monotonic() if now is None else now

    def asked(self, message: JSONRPCMessage) -> None:
        """Expect the answer, if a message is a request."""
        self.expected += isinstance(message, JSONRPCRequest)

    def owe(self, units: float, now: float) -> float:
        """Count what was read; return for how many seconds nothing more is to be."""
        self._left = min(_BURST, self._left + (now - self._at) * _RATE) - units
        self._at = now
        return max(0.0, -self._left / _RATE)

    async def keep(self, messages: float, size: int) -> None:
        """Wait for what is owed, if it is worth it, for so many messages of so many bytes."""
        seconds = self.owe(messages + size / _BYTES, time.monotonic())
        if seconds > _WAIT:
            await anyio.sleep(seconds)


class Allowance:
    """How many lines somebody may write into the log: many at once, and as many each hour."""

    def __init__(self, lines: int, now: float | None = None) -> None:
        self._most = lines
        self._left = float(lines)
        self._at = time.monotonic() if now is None else now
        self._is_told = False

    def is_spent(self, now: float | None = None) -> bool:
        """Whether there is no line left now."""
        now = time.monotonic() if now is None else now
        self._left = min(self._most, self._left + (now - self._at) * self._most / _HOUR)
        self._at = now
        self._is_told = self._is_told and self._left < self._most / 2
        return self._left < 1

    def take(self) -> None:
        """Spend one."""
        self._left -= 1

    def is_news(self) -> bool:
        """Whether it is to be told that they are spent: once, until half of them are back."""
        was, self._is_told = self._is_told, True
        return not was
