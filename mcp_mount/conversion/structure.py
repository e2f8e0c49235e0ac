"""How much structure JSON has, counted before it is parsed.

A parser takes a document in one step, in which nothing else in the process runs, whichever thread
it is in. Bytes alone do not bound how long: a megabyte of ``{},{},`` takes as long as thirty of
text, and so do a number with thousands of digits and ten kilobytes of ``1e308,``.
"""

import math
import re
from collections.abc import Iterator
from typing import Final

from mcp_mount.turns import Turns

MAX_VALUES: Final = 200_000
"""What one document may have: parsed in some 30 ms, whatever it is made of.

A text, a short number and the like count one each, a name in an object two, a list or an object
three, and a number that is longer than any processor's twenty for each twenty digits. What a
fraction or escapes take more is said below.
"""

MOST_ASIDE: Final = 10_000
"""Values of a message beside a call's arguments, nothing that clients say having a tenth of them;
and with these, of a call about which a question is asked."""

VALUES_KEY: Final = "mcp_mount.values"
"""Where the scope of a large request says how many values were counted in it."""

NAME: Final = 2
CONTAINER: Final = 3
_LONG_NUMBER: Final = 20

# Found without a pattern, which takes a tenth of a second for what the parser never reaches.
_NO_DIGITS: Final = bytes(each if each in b"0123456789" else ord(",") for each in range(256))
_ZEROS: Final = b",000"

# A fraction is read in 0.03 µs, unless it may lie in the middle between two that a processor knows
# (0.5 µs), or at the end of what it knows, near 1e308 and 1e-308 (14 µs).
_MIDDLE: Final = 3
_FAR: Final = 100
_ALIKE: Final = bytes.maketrans(b"123456789E", b"000000000e")
_MANY_DIGITS: Final = b"0" * 11
_ESCAPES: Final = 16
"""So many in strings count as one value, and half as many of those with digits (``\\u4e2d``): they
take 12 and 20 ns each."""

_STRING: Final = re.compile(rb'"[^"\r\n]*"?')

SLICE: Final = 64 * 1024
"""Characters that are looked at in one step; without exponents, so short a text is read soon."""

_ANY_TEXT: Final = ("utf-8", "surrogatepass")
"""How a text is encoded that may hold half a character."""

_SMALL: Final = 1024
"""Characters of a text that is read in 3 ms, whatever it is."""


class Meter:
    """Counts the bytes and values of a document, or of a stream of events, chunk by chunk.

    Attributes:
        size: Bytes until now.
        values: Values until now, of the last event where it is a stream.
    """

    def __init__(self, max_bytes: float, *, is_stream: bool = False) -> None:
        """Take the most bytes, and whether each event is a document of its own."""
        self.size = 0
        self._max_bytes = max_bytes
        self._is_stream = is_stream
        self.values = 0
        self._lines = 0
        # Strings that follow nothing: to leave them out takes as long, though no parser reads them.
        self._strings = 0
        self._escapes = 0
        self._in_string = False
        self._escape = b""

    def add(self, chunk: bytes) -> bool:
        """Count a chunk; False if there is too much."""
        self.size += len(chunk)
        if self.size > self._max_bytes:
            return False
        chunk = self._escape + chunk
        # A backslash escapes what comes next, which may be in the next chunk.
        is_cut = (len(chunk) - len(chunk.rstrip(b"\\"))) % 2
        self._escape = b"\\" * is_cut
        text = chunk[: len(chunk) - is_cut]
        escapes = 0
        if b"\\" in text:
            size = len(text)
            text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
            escapes = (size - len(text)) // 2 + text.count(b"\\") + text.count(b"\\u")
        was_in_string = self._in_string
        if was_in_string:
            text = b'"' + text
        # No string goes beyond its line, in JSON or in an event stream.
        last_line = text[max(text.rfind(b"\n"), text.rfind(b"\r")) + 1 :]
        self._in_string = last_line.count(b'"') % 2 == 1
        outside, strings = _STRING.subn(b"", text)
        self._strings += strings - was_in_string
        self._count(outside, escapes)
        values = self.values + self._escapes // _ESCAPES
        return max(values, self._lines, self._strings) <= MAX_VALUES

    def _count(self, text: bytes, escapes: int) -> None:
        """Count what stands outside strings, and the escapes in them.

        The blank line after an event begins another one.
        """
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n")
        self._lines += text.count(b"\n") + text.count(b"\r")
        self._strings -= sum(map(text.count, (b",", b"[", b"{", b":")))
        _, blank, last = text.rpartition(b"\n\n") if self._is_stream else (b"", b"", text)
        values = last.count(b",") + CONTAINER * (last.count(b"[") + last.count(b"{"))
        values += NAME * last.count(b":")
        values += _weigh_numbers(last)
        self.values = values if blank else self.values + values
        self._escapes = escapes if blank else self._escapes + escapes


def _weigh_numbers(text: bytes) -> int:
    """Return what numbers count beside the one of every value."""
    # Blanks are no part of a number, and looking for one among them takes long.
    text = text.translate(None, b" \t")
    alike = text.translate(_ALIKE, b"+")
    middle = far = 0
    # To look for one byte takes a tenth of what several take.
    if b"." in alike:
        middle += alike.count(_MANY_DIGITS + b".")
    if b"e" in alike:
        middle += alike.count(b"e0") + alike.count(_MANY_DIGITS + b"e")
        far = alike.translate(None, b"-").count(b"e000")
    return _MIDDLE * middle + _FAR * far + _weigh_digits(alike, text)


def _weigh_digits(alike: bytes, text: bytes) -> int:
    """Return what numbers count that are too long, their points aside."""
    long = b"0" * _LONG_NUMBER
    if long not in alike.translate(None, b"."):
        return 0
    # The zeros that a fraction begins with are no digits of it: 0.0000012345678901234567.
    text = b"," + text.translate(_NO_DIGITS, b".")
    for _ in range(2):
        text = text.replace(_ZEROS, b"," * len(_ZEROS))
        alike = text.translate(_ALIKE)
        if long not in alike:
            return 0
    return _LONG_NUMBER * alike.count(long)


def is_small(data: bytes) -> bool:
    """Whether JSON is read in some milliseconds, whatever it is made of."""
    if len(data) <= _SMALL:
        return True
    return len(data) <= SLICE and b"e000" not in data.translate(_ALIKE, b"+-")


def is_simple(text: str) -> bool:
    """Whether a text, if it is JSON, may be parsed: it has no more than `MAX_VALUES`."""
    if len(text) <= _SMALL:
        return True
    is_short = len(text) <= SLICE and is_small(text.encode(*_ANY_TEXT))
    return is_short or max(_weighed(text)) <= MAX_VALUES


async def weigh_values(data: str | bytes, turns: Turns | None = None) -> int:
    """Return what the values of a text count; where that is too much, some number above that.

    Others run from time to time; `turns` says since when they have waited.
    """
    values, turns = 0, turns or Turns()
    for weighed in _weighed(data):
        values = weighed
        await turns.take()
    return values


def _weighed(data: str | bytes) -> Iterator[int]:
    """Yield what is counted after each slice, until that is too much."""
    meter = Meter(math.inf)
    for start in range(0, len(data), SLICE):
        part = data[start : start + SLICE]
        if not meter.add(part if isinstance(part, bytes) else part.encode(*_ANY_TEXT)):
            yield MAX_VALUES + 1
            return
        yield meter.values
