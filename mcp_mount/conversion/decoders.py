"""Decodes what a body holds: text, JSON Lines, Server-Sent Events, and JSON when it is whole. Pure.

A decoder takes the body in parts, and gives the same pieces however it was cut.
"""

import codecs
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

# `json` follows the depth of its text, and what is nested deeper breaks whoever serializes it.
_DEEPEST: Final = 100
# Text encodings of Python's own, which fail on bytes where a charset replaces them.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)


class Decoder(Protocol):
    """Takes a body in parts, and gives the pieces that are ready to be shown."""

    def decode(self, chunk: bytes) -> Iterator[str]:
        """Take a part of the body."""

    def flush(self) -> Iterator[str]:
        """Take the end of the body."""


class TextDecoder:
    """Text in its charset; a character cut across two parts is put together."""

    def __init__(self, charset: str) -> None:
        """Take a charset that `known_charset` knows."""
        self._decoder = codecs.getincrementaldecoder(charset)(errors="replace")

    def decode(self, chunk: bytes) -> Iterator[str]:
        """Take a part of the body."""
        yield self._decoder.decode(chunk)

    def flush(self) -> Iterator[str]:
        """Take the end of the body."""
        yield self._decoder.decode(b"", final=True)


class _Lines:
    """Lines that end in LF, CR LF or (in event streams) CR, without their ends."""

    def __init__(self, *, bare_cr: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._rest: list[str] = []
        self._bare_cr = bare_cr
        self._after_cr = False

    def decode(self, chunk: bytes) -> Iterator[str]:
        yield from self._split(self._decoder.decode(chunk))

    def flush(self) -> Iterator[str]:
        yield from self._split(self._decoder.decode(b"", final=True))
        if rest := "".join(self._rest):
            self._rest.clear()
            yield rest

    def _split(self, text: str) -> Iterator[str]:
        if self._bare_cr:
            if self._after_cr and text.startswith("\n"):
                text = text[1:]
                self._after_cr = False
            if text:
                self._after_cr = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        first, *others = text.split("\n")
        self._rest.append(first)
        for following in others:
            # Before it is given, because whoever takes it may not come back.
            line, self._rest = "".join(self._rest).removesuffix("\r"), [following]
            yield line


class JSONLinesDecoder:
    """JSON Lines: each line that is not blank, as it stands."""

    def __init__(self) -> None:
        self._lines = _Lines(bare_cr=False)

    def decode(self, chunk: bytes) -> Iterator[str]:
        """Take a part of the body."""
        yield from (line for line in self._lines.decode(chunk) if line.strip())

    def flush(self) -> Iterator[str]:
        """Take the end of the body."""
        yield from (line for line in self._lines.flush() if line.strip())


class EventDecoder:
    """Server-Sent Events (WHATWG HTML §9.2.6), each as one line of JSON with ``data`` and so on."""

    def __init__(self) -> None:
        self._lines = _Lines(bare_cr=True)
        self._fields: dict[str, Any] = {}
        self._data: list[str] = []
        # Lines of no known field. The standard skips them, but many routes send bare text.
        self._bare: list[str] = []

    def decode(self, chunk: bytes) -> Iterator[str]:
        """Take a part of the body."""
        for line in self._lines.decode(chunk):
            yield from self._line(line)

    def flush(self) -> Iterator[str]:
        """Take the end of the body."""
        for line in self._lines.flush():
            yield from self._line(line)
        # The standard drops an event that no blank line ends; here it would be lost information.
        yield from self._line("")

    def _line(self, line: str) -> Iterator[str]:
        if not line:
            if data := self._data or self._bare:
                event = {**self._fields, "data": _event_data("\n".join(data))}
                yield json.dumps(event, ensure_ascii=False)
            self._fields, self._data, self._bare = {}, [], []
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "retry" and value.isdecimal() and value.isascii() and len(value) < 10:
            self._fields["retry"] = int(value)
        elif name == "event" or (name == "id" and "\0" not in value):
            self._fields[name] = value
        elif name not in {"", "id", "retry"}:
            self._bare.append(line)


def _event_data(text: str) -> object:
    """Read data that is a JSON object, list or string; a bare ``1.10`` may be a version."""
    if text[:1] in {"{", "[", '"'}:
        try:
            return parse_json(text)
        except ValueError:
            return text
    return text


def parse_json(text: str) -> object:
    """Return the value that `read_json` does."""
    return read_json(text)[0]


def read_json(text: str) -> tuple[object, bool]:
    """Parse JSON into a value that can be written as JSON again.

    NaN and infinities become null, as in JavaScript; half characters become U+FFFD. The second
    value tells whether nothing had to be mended, so that the text says the same to any reader.

    Raises:
        ValueError: the text is no JSON, or is nested too deeply for the message it would be in.
    """
    is_whole = "\\ud" not in text and "\\uD" not in text
    is_plain = is_whole and not _has_long_number(text)
    try:
        try:
            value = _EXACT.decode(text)
        except _NotFiniteError:
            value, is_plain = _LENIENT.decode(text), False
    except RecursionError:
        raise ValueError("The JSON is nested too deeply.") from None
    if text.count("[") + text.count("{") > _DEEPEST and _is_deep(value):
        raise ValueError("The JSON is nested too deeply.")
    return (value if is_whole else _mended(value)), is_plain


class _NotFiniteError(Exception):
    """A number that no JSON can hold."""


def _exact(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotFiniteError
    return value


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


# `float("NaN")` is none that is finite, so one function does for both.
_EXACT = json.JSONDecoder(parse_constant=_exact, parse_float=_exact)
_LENIENT = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)

_LONGEST_NUMBER: Final = 300
"""Digits; one with more may be none that a float can hold, which is all that some readers have."""

_LONG_NUMBER = re.compile(rf"[0-9]{{{_LONGEST_NUMBER}}}")


def _has_long_number(text: str) -> bool:
    """Whether there are so many digits in a row: a sample of the text would have two of them."""
    if len(text) < _LONGEST_NUMBER:
        return False
    sample = text[:: _LONGEST_NUMBER // 2]
    return re.search("[0-9]{2}", sample) is not None and _LONG_NUMBER.search(text) is not None


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return False
    return True


def _children(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


def _mended(value: object) -> object:
    """Replace half characters (lone surrogates), which no encoder writes."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, Mapping):
        return {str(_mended(key)): _mended(item) for key, item in value.items()}
    return value


def known_charset(charset: str) -> str:
    """Return the charset if it is one that can be read, otherwise UTF-8."""
    try:
        # `base64` and its like have a decoder, but are no text encodings; this tells them apart.
        b" ".decode(charset, "replace")
        return "utf-8" if codecs.lookup(charset).name in _NO_CHARSETS else charset
    except (LookupError, ValueError):
        return "utf-8"
