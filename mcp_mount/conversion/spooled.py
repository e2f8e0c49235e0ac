"""A long text in pieces: in memory, and beyond that in a temporary file."""

import errno
import json
import logging
import math
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from itertools import islice
from tempfile import TemporaryFile
from typing import Final

logger = logging.getLogger("mcp_mount")

SLICE: Final = 64 * 1024
"""Characters of a text that are handled at once."""

_MOST_IN_MEMORY: Final = 1024 * 1024
"""Characters of a text that stay in memory.

Few texts are longer, and those take milliseconds anyway, beside which a file costs little. A
thousand calls at once, as many as there may be, then hold a gigabyte where all texts are long.
"""

_LONGEST_CHARACTER: Final = 12
"""Bytes that a character takes as JSON in ASCII at the most, e.g. ``\\ud83d\\ude80``."""


class SpooledText:
    """A text that grows piece by piece. A class because of its file, which `close` closes.

    The file has no name and no buffer. What cannot be written to it, because there is no place or
    the disk is full, stays in memory: nothing is lost.

    It is written and read in the event loop: a slice is copied to the system's cache, or from it,
    in some 20 microseconds, and to hand it to a thread takes longer.
    """

    __slots__ = ("_file", "_is_closed", "_length", "_parts", "_room", "_small")

    def __init__(self) -> None:
        """Begin without any text."""
        # Small pieces are put together: each alone takes more than its characters.
        self._small: list[str] = []
        self._length = 0
        # Of the other parts each is in memory, or in the file, and then it is its length in bytes.
        self._parts: list[str | int] = []
        self._room: float = _MOST_IN_MEMORY
        self._file: FileIO | None = None
        self._is_closed = False

    def append(self, piece: str) -> None:
        """Add to the end of the text; once it is closed, nobody reads what is added."""
        self._small.append(piece)
        self._length += len(piece)
        if self._length >= SLICE:
            text = "".join(self._small)
            self._small, self._length = [], 0
            if not self._is_closed:
                self._parts += map(self._put_away, sliced(text))

    def text(self) -> "str | SpooledText":
        """Return the text as one where it is short, otherwise this, which gives it in slices."""
        return self if self._parts else "".join(self._small)

    def shorten(self, most: int) -> bool:
        """Keep the beginning that takes no more than `most` bytes as JSON; False where all does."""
        for number, part in enumerate(self):
            length = json_length(part)
            if length > most:
                kept = [*islice(self, number), _beginning(part, most)]
                self.close()
                self._small = kept
                return True
            most -= length
        return False

    def __iter__(self) -> Iterator[str]:
        """Read the text from its beginning, in slices."""
        if self._file is not None:
            self._file.seek(0)
        for part in self._parts:
            if isinstance(part, str):
                yield part
            elif self._file is not None:
                yield self._file.read(part).decode("utf-8", "surrogatepass")
        if self._small:
            yield "".join(self._small)

    def close(self) -> None:
        """Close the file, and forget the text."""
        self._is_closed = True
        self._small, self._parts = [], []
        if self._file is not None:
            # What may come too late to be written is no longer needed.
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _put_away(self, part: str) -> str | int:
        """Return a part of the text, or its length in the file once it is there."""
        if self._room > 0:
            self._room -= len(part)
            return part
        try:
            if self._file is None:
                self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - `close` closes it
            # A text can hold half characters, which are kept as they are.
            data = part.encode("utf-8", "surrogatepass")
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            logger.warning("A long text stays in memory, for want of a temporary file: %s", error)
            self._room = math.inf
            return part
        return len(data)


def json_length(value: object) -> int:
    """Return the bytes that a value takes as JSON in ASCII, at the most."""
    return len(json.dumps(value))


def _beginning(text: str, most: int) -> str:
    lengths = range(len(text))
    fitting = bisect_right(lengths, most, key=lambda end: json_length(text[:end]))
    # Where not even the quotation marks fit, nothing does.
    return text[: max(0, fitting - 1)]


def sliced(text: str, size: int = SLICE) -> Iterable[str]:
    """Cut a text, so that a large one need not be copied as a whole."""
    if len(text) <= size:
        return (text,)
    return (text[start : start + size] for start in range(0, len(text), size))


def fitted(text: str, most: int) -> Iterable[str]:
    """Cut a text where it takes more than `most` bytes as JSON."""
    if len(text) * _LONGEST_CHARACTER <= most or (len(text) <= most and json_length(text) <= most):
        return (text,)
    return sliced(text, most // _LONGEST_CHARACTER)
