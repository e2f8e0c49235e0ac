"""How much structure JSON has, counted before it is parsed. Pure.

A parser takes a document in one step, in which nothing else in the process runs, whichever thread
it is in. Bytes alone do not bound how long: a megabyte of ``{},{},`` takes as long as thirty of
text, and so does a number with thousands of digits.
"""

import math
import re
from typing import Final

MAX_VALUES: Final = 200_000
"""What one document may have: parsed in some 30 ms, whatever it is made of.

A text, a short number and the like count one each, a name in an object two, a list or an object
three, and a number that is longer than any processor's as many as it has digits.
"""

_NAME: Final = 2
_CONTAINER: Final = 3
_LONG_NUMBER: Final = re.compile(rb"[0-9]{20,}")
_STRING: Final = re.compile(rb'"[^"\r\n]*"?')

_SLICE: Final = 64 * 1024
"""Characters that are looked at in one step; so short a text cannot take long."""


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
        text = chunk[: len(chunk) - is_cut].replace(b"\\\\", b"").replace(b'\\"', b"")
        if self._in_string:
            text = b'"' + text
        # No string goes beyond its line, in JSON or in an event stream.
        last_line = text[max(text.rfind(b"\n"), text.rfind(b"\r")) + 1 :]
        self._in_string = last_line.count(b'"') % 2 == 1
        self._count(_STRING.sub(b"", text))
        return self.values <= MAX_VALUES and self._lines <= MAX_VALUES

    def _count(self, text: bytes) -> None:
        """Count what stands outside strings; the blank line after an event begins another one."""
        text = text.replace(b"\r\n", b"\n")
        self._lines += text.count(b"\n") + text.count(b"\r")
        _, blank, last = text.rpartition(b"\n\n") if self._is_stream else (b"", b"", text)
        values = last.count(b",") + _CONTAINER * (last.count(b"[") + last.count(b"{"))
        values += _NAME * last.count(b":")
        values += sum(map(len, _LONG_NUMBER.findall(last)))
        self.values = values if blank else self.values + values


def is_simple(text: str) -> bool:
    """Whether a text, if it is JSON, may be parsed: it has no more than `MAX_VALUES`."""
    if len(text) <= _SLICE:
        return True
    meter = Meter(math.inf)
    return all(
        meter.add(text[start : start + _SLICE].encode("utf-8", "surrogatepass"))
        for start in range(0, len(text), _SLICE)
    )
