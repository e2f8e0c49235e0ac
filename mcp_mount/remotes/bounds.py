"""How large one message of another server may be, counted while it arrives.

The SDK parses a message in one step, which holds the event loop. Bytes alone do not bound how long:
a megabyte of ``{},{},`` takes as long as thirty of text.
"""

import re
from typing import Final

from mcp_types import ErrorData

MAX_VALUES: Final = 100_000
"""JSON values in one message, and lines in one response; they are parsed in some 50 ms."""

TOO_LARGE: Final = -32098
"""The code of the error that stands for an answer which was dropped."""

_STRING: Final = re.compile(rb'"[^"\r\n]*"?')


class Meter:
    """Counts the bytes and values of a message, or of a stream of events, chunk by chunk.

    Attributes:
        size: Bytes until now.
    """

    def __init__(self, max_bytes: int, *, is_stream: bool = False) -> None:
        self.size = 0
        self._max_bytes = max_bytes
        self._is_stream = is_stream
        self._values = 0
        self._lines = 0
        self._in_string = False
        self._escape = b""

    def add(self, chunk: bytes) -> bool:
        """Count a chunk; False if the message is too large."""
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
        return self._values <= MAX_VALUES and self._lines <= MAX_VALUES

    def _count(self, text: bytes) -> None:
        """Count what stands outside strings; the blank line after an event begins another one."""
        text = text.replace(b"\r\n", b"\n")
        self._lines += text.count(b"\n") + text.count(b"\r")
        _, blank, last = text.rpartition(b"\n\n") if self._is_stream else (b"", b"", text)
        values = last.count(b",") + last.count(b"[") + last.count(b"{")
        self._values = values if blank else self._values + values


def too_large_error() -> ErrorData:
    """Return what a request is answered with in place of a message that was dropped."""
    return ErrorData(code=TOO_LARGE, message="The answer is too large.")
