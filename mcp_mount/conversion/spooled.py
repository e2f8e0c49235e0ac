"""A long text: in memory, and beyond 1 MiB in a temporary file."""

import codecs
import errno
import json
import logging
import math
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO, StringIO
from itertools import islice
from tempfile import TemporaryFile
from threading import Lock
from typing import Final

logger = logging.getLogger("mcp_mount")

SLICE: Final = 64 * 1024
"""Characters of a text that are handled at once."""

_MOST_IN_MEMORY: Final = 1024 * 1024
"""Characters of a text that stay in memory.

Few texts are longer, and those take milliseconds anyway, beside which a file costs little.
"""

_MOST_TOGETHER: Final = 64 * 1024 * 1024
"""Characters of all texts in memory; from then on, each keeps no more than `SLICE` there."""

_STEP: Final = 16 * 1024
"""Characters by which a text grows before it is counted anew."""

_LONGEST_CHARACTER: Final = 12
"""Bytes that a character takes as JSON in ASCII at the most, e.g. ``\\ud83d\\ude80``."""


class _Together:
    """The characters of all texts in memory. Texts are converted in threads, too."""

    def __init__(self) -> None:
        self.size = 0
        self._lock = Lock()

    def add(self, size: int) -> None:
        with self._lock:
            self.size += size


_together = _Together()


class SpooledText:
    """A text that grows piece by piece; beyond 1 MiB it is in a file, which `close` closes.

    Where many grow at once, they go into files sooner: a thousand readers of long texts hold a
    tenth of a gigabyte, and not a whole one.

    What cannot be written to the file, because there is no room for one or the disk is full, stays
    in memory: nothing is lost, as it would be in a `tempfile.SpooledTemporaryFile`.

    It is written and read in the event loop: a slice is copied to the system's cache, or from it,
    in some 20 microseconds, and to hand it to a thread takes longer.
    """

    __slots__ = ("_buffer", "_counted", "_file", "_is_closed", "_most", "_size")

    def __init__(self) -> None:
        # The end of the text; what is before it is in the file, `_size` bytes of it.
        self._buffer = StringIO()
        self._file: FileIO | None = None
        self._size = 0
        self._most: float = _MOST_IN_MEMORY
        self._is_closed = False
        self._counted = 0

    def append(self, piece: str) -> None:
        """Add to the end of the text; once it is closed, nobody reads what is added."""
        if not self._is_closed:
            self._buffer.write(piece)
            size = self._buffer.tell()
            if size - self._counted >= _STEP:
                self._count(size)
            is_enough = size > SLICE and _together.size > _MOST_TOGETHER
            if size > self._most or (is_enough and self._most < math.inf):
                self._move_to_file()

    def text(self) -> "str | SpooledText":
        """Return the text itself if it is in memory, otherwise this, which gives it in slices."""
        return self._buffer.getvalue() if self._file is None else self

    def shorten(self, most: int) -> bool:
        """Keep the beginning that takes no more than `most` bytes as JSON; False where all does."""
        for number, part in enumerate(self):
            length = json_length(part)
            if length > most:
                kept = "".join([*islice(self, number), beginning(part, most)])
                self.close()
                self._buffer = StringIO(kept)
                return True
            most -= length
        return False

    def __iter__(self) -> Iterator[str]:
        """Read the text from its beginning, in slices."""
        if self._file is not None:
            self._file.seek(0)
            # A text can hold half characters, which are kept as they are.
            decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
            for start in range(0, self._size, SLICE):
                yield decoder.decode(self._file.read(min(SLICE, self._size - start)))
        yield from sliced(self._buffer.getvalue())

    def close(self) -> None:
        """Close the file, and forget the text."""
        self._is_closed = True
        self._buffer, self._size = StringIO(), 0
        self._count(0)
        if self._file is not None:
            # What may come too late to be written is no longer needed.
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _move_to_file(self) -> None:
        """Write what is in memory to the end of the file."""
        data = self._buffer.getvalue().encode("utf-8", "surrogatepass")
        try:
            if self._file is None:
                self._file = TemporaryFile(buffering=0)  # noqa: SIM115 - `close` closes it
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            logger.warning("A long text stays in memory, for want of a temporary file: %s", error)
            self._most = math.inf
        else:
            self._size += len(data)
            self._buffer, self._most = StringIO(), SLICE
            self._count(0)

    def _count(self, size: int) -> None:
        """Count this text among all in memory."""
        _together.add(size - self._counted)
        self._counted = size


def whole(text: str | SpooledText) -> str:
    """Return a text in one piece; one that is so already is not walked through by character."""
    return text if isinstance(text, str) else "".join(text)


def json_length(value: object) -> int:
    """Return the bytes that a value takes as JSON in ASCII, at the most."""
    return len(json.dumps(value))


def beginning(text: str, most: int) -> str:
    """Return as much of a text as takes no more than `most` bytes as JSON."""
    if len(text) * _LONGEST_CHARACTER < most:
        return text
    # A character takes a byte at the least.
    ends = range(min(len(text), most) + 1)
    fitting = bisect_right(ends, most, key=lambda end: json_length(text[:end]))
    # Where not even the quotation marks fit, nothing does.
    return text[: max(0, fitting - 1)]


def sliced(text: str, size: int = SLICE) -> Iterable[str]:
    """Cut a text, so that a large one need not be copied as a whole."""
    if len(text) <= size:
        return (text,)
    return (text[start : start + size] for start in range(0, len(text), size))


def cut_to_fit(text: str, most: int) -> Iterable[str]:
    """Cut a text where it takes more than `most` bytes as JSON."""
    if len(text) * _LONGEST_CHARACTER <= most or (len(text) <= most and json_length(text) <= most):
        return (text,)
    return sliced(text, most // _LONGEST_CHARACTER)
