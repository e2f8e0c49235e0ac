"""Decodes what a body holds: text, JSON Lines, Server-Sent Events, and JSON when it is whole.

A decoder takes the body in parts, and gives the same pieces however it was cut.
"""

import codecs
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache
from itertools import chain
from typing import Any, Final, Protocol

import msgspec

from mcp_mount.conversion.structure import is_simple

# What is nested deeper breaks whoever serializes it.
_DEEPEST: Final = 100
# Characters of a header with parameters; the longest are file names, percent-encoded and plain.
_LONGEST_HEADER: Final = 2_000
# Python keeps each name that it is asked for, also where there is no such charset.
_CHARSETS: Final = frozenset({*aliases, *aliases.values()}) | {
    *("cp720", "cp737", "cp856", "cp874", "cp875", "cp1006", "koi8_t", "koi8_u", "palmos"),
    *("mac_arabic", "mac_croatian", "mac_farsi", "mac_romanian", "utf_8_sig"),
}
# Text encodings of Python's own, which fail on bytes where a charset replaces them.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)


# Parts of a text in which the two halves of a character stay together.
_PARTS: Final = re.compile(r"(?s).{1,16384}(?:(?<=[\ud800-\udbff])[\udc00-\udfff])?")


class TooManyValues(ValueError):
    """To parse a text would hold up the process."""


@dataclass(frozen=True, slots=True)
class Event:
    """A Server-Sent Event: its data as it came, and its other fields."""

    data: str
    fields: Mapping[str, Any]

    def __len__(self) -> int:
        """Return how long its data is."""
        return len(self.data)


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


class _LineDecoder:
    """Lines of UTF-8 without their ends, which are LF, CR LF or CR."""

    def __init__(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._rest: list[str] = []

    def decode(self, chunk: bytes, *, final: bool = False) -> Iterator[str]:
        first, *others = self._decoder.decode(chunk, final).split("\n")
        self._rest.append(first)
        for following in others:
            # Before it is given, because whoever takes it may not come back.
            line, self._rest = "".join(self._rest), [following]
            yield line
        if final:
            yield "".join(self._rest)


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
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
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


def parsed_or_text(text: str) -> object:
    """Return the value that `read_json` gives, or the text where it is no JSON."""
    try:
        return read_json(text)[0]
    except ValueError:
        return text


def read_json(text: str) -> tuple[object, bool]:
    """Parse JSON into a value that can be written as JSON again.

    NaN and infinities become null, as in JavaScript; half characters become U+FFFD. The second
    value tells whether nothing had to be mended, so that the text says the same to any reader.

    Raises:
        TooManyValues: to parse it would hold up the process.
        ValueError: the text is no JSON, or is nested too deeply for the message it would be in.
    """
    if not is_simple(text):
        raise TooManyValues("more JSON values than are read")
    is_strict, value = True, None
    try:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            # Python's own reader takes more.
            is_strict, value = False, mend(_LENIENT.decode(text))
    except RecursionError:
        raise ValueError("The JSON is nested too deeply.") from None
    if text.count("[") + text.count("{") > _DEEPEST and _is_deep(value):
        raise ValueError("The JSON is nested too deeply.")
    return value, is_strict


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


# `float("NaN")` is none that is finite, so one function does for both.
_LENIENT = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)


def _is_deep(value: object) -> bool:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inner = chain.from_iterable(
            each.values() if isinstance(each, dict) else each for each in level
        )
        level = [each for each in inner if isinstance(each, dict | list)]
    return bool(level)


def mend(value: object) -> object:
    """Replace half characters (lone surrogates), which no encoder writes."""
    if isinstance(value, str):
        # Part by part: a step of a megabyte would hold up the process.
        return "".join(map(_mend_text, _PARTS.findall(value)))
    if isinstance(value, list):
        return [mend(item) for item in value]
    if isinstance(value, Mapping):
        return {str(mend(key)): mend(item) for key, item in value.items()}
    return value


def _mend_text(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def parse_header(name: str, value: str) -> Message:
    """Return a message with one header, which reads its parameters.

    What is too long to be a header of its kind is cut: the time that is taken by the parameters
    grows with the square of their length.
    """
    message = Message()
    message[name] = value[:_LONGEST_HEADER]
    return message


def read_content_type(value: str) -> tuple[str, str]:
    """Return media type and charset."""
    return _read_content_type(value[:_LONGEST_HEADER])


@lru_cache(maxsize=256)
def _read_content_type(value: str) -> tuple[str, str]:
    """Do so; an app has few of them, and reading one takes a while."""
    message = parse_header("content-type", value)
    charset = known_charset(str(message.get_param("charset", "utf-8")))
    return message.get_content_type(), charset or "utf-8"


def looks_like_text(chunk: bytes) -> bool:
    """Whether the beginning of a body is UTF-8 without control characters; it may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(chunk)
    except UnicodeDecodeError:
        return False
    return not re.search(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]", text)


def known_charset(charset: str) -> str | None:
    """Return Python's name of a charset that can be read; None for any other."""
    name = normalize_encoding(charset.lower())
    if name not in _CHARSETS:
        return None
    try:
        # `base64` and its like have a decoder, but are no text encodings; this tells them apart.
        b" ".decode(name, "replace")
        return None if codecs.lookup(name).name in _NO_CHARSETS else name
    except (LookupError, ValueError):
        return None
