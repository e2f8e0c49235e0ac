"""Decodes what a body holds while it arrives: text, JSON Lines and Server-Sent Events.

A decoder takes the body in parts, and gives the same pieces however it was cut.
"""

import codecs
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from mcp_mount.conversion.structure import SLICE


@dataclass(frozen=True, slots=True)
class Event:
    """A Server-Sent Event: its data as it came, and its other fields."""

    data: str
    fields: Mapping[str, Any]

    def __len__(self) -> int:
        """Return how long its data and its other fields are."""
        return len(self.data) + sum(len(str(each)) for each in self.fields.values())


class Decoder(Protocol):
    """Takes a body in parts; as the decoders of `codecs` do, it is told which is the last."""

    def decode(self, chunk: bytes, *, final: bool = False) -> Iterable[str | Event | None]:
        """Take a part of the body; return the pieces that are whole.

        None stands for a line that is none yet, so that whoever takes many can let others run.
        """


class TextDecoder:
    """Text in its charset; a character cut across two parts is put together."""

    def __init__(self, charset: str) -> None:
        """Take a charset that Python knows."""
        self._charset = charset
        self._decoder = codecs.getincrementaldecoder(charset)(errors="replace")

    def decode(self, chunk: bytes, *, final: bool = False) -> Iterable[str]:
        """Return the text so far."""
        try:
            return (self._decoder.decode(chunk, final),)
        except UnicodeError:
            # Python wants to be told the order of the bytes; the standard takes this one
            # (WHATWG Encoding §4.2).
            held, _ = self._decoder.getstate()
            name = codecs.lookup(self._charset).name
            self._decoder = codecs.getincrementaldecoder(f"{name}-le")(errors="replace")
            return (self._decoder.decode(held + chunk, final),)


def decode_whole(body: bytes, charset: str) -> str:
    """Return a body as text, part by part: where much is to be replaced, a megabyte takes long."""
    decoder = TextDecoder(charset)
    starts = range(0, len(body), SLICE)
    parts = (decoder.decode(body[at : at + SLICE], final=at + SLICE >= len(body)) for at in starts)
    return "".join(chain.from_iterable(parts))


class _LineDecoder:
    """Lines of UTF-8 without their ends, which are LF, CR LF or CR."""

    def __init__(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        # A list of many short parts would take thirty times as much.
        self._rest = io.StringIO()

    def decode(self, chunk: bytes, *, final: bool = False) -> Iterator[str]:
        *lines, rest = self._decoder.decode(chunk, final).split("\n")
        if lines:
            self._rest.write(lines[0])
            lines[0], self._rest = self._rest.getvalue(), io.StringIO()
        # Before they are given, because whoever takes them may not come back.
        self._rest.write(rest)
        yield from lines
        if final:
            yield self._rest.getvalue()


class JSONLinesDecoder:
    """JSON Lines: each line that is not blank, as it stands."""

    def __init__(self) -> None:
        self._lines = _LineDecoder()

    def decode(self, chunk: bytes, *, final: bool = False) -> Iterable[str | None]:
        """Return the lines that are whole."""
        lines = self._lines.decode(chunk, final=final)
        return (line if line.strip() else None for line in lines)


class EventDecoder:
    """Server-Sent Events (WHATWG HTML §9.2.6)."""

    def __init__(self) -> None:
        self._lines = _LineDecoder()
        self._fields: dict[str, Any] = {}
        self._data: io.StringIO | None = None
        # Lines of no known field. The standard skips them, but many routes send bare text.
        self._bare: io.StringIO | None = None

    def decode(self, chunk: bytes, *, final: bool = False) -> Iterator[Event | None]:
        """Return the events that are whole.

        The standard drops one that no blank line ends; here it would be lost information.
        """
        for line in self._lines.decode(chunk, final=final):
            if line:
                self._read_line(line)
            yield None if line else self._event()
        if final:
            yield self._event()

    def _event(self) -> Event | None:
        """Return the event that has ended; None where it has said nothing."""
        lines, fields = self._data or self._bare, self._fields
        self._fields, self._data, self._bare = {}, None, None
        return Event(lines.getvalue(), fields) if lines is not None else None

    def _read_line(self, line: str) -> None:
        name = line[: line.find(":")] if ":" in line else line
        # At once: with an emoji in it, to copy 9 MB takes 20 ms, and `partition` copies it too.
        begin = len(name) + 1
        value = line[begin + line.startswith(" ", begin) :]
        if name == "data":
            self._data = _joined(self._data, value)
        elif name == "retry" and value.isdecimal() and value.isascii() and len(value) < 10:
            self._fields["retry"] = int(value)
        elif name == "event" or (name == "id" and "\0" not in value):
            self._fields[name] = value
        elif name not in {"", "id", "retry"}:
            self._bare = _joined(self._bare, line)


def _joined(lines: io.StringIO | None, line: str) -> io.StringIO:
    """Add a line: as text, because a list of a million short ones would take much more."""
    if lines is None:
        lines = io.StringIO()
    else:
        lines.write("\n")
    lines.write(line)
    return lines


def looks_like_text(chunk: bytes) -> bool:
    """Whether the beginning of a body is UTF-8 without control characters; it may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(chunk)
    except UnicodeDecodeError:
        return False
    return not re.search(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]", text)
