"""Writes values as text: a scalar, a list, an object or a JSON document. Pure.

A value arrives at the route exactly as it was given, or the call is refused: nothing is cut,
cleaned or replaced.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic_core import to_json

from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.media import is_json
from mcp_mount.openapi.parameters import Parameter

SCALAR: Final = (str, int, float)
_LONGEST: Final = 65_000
"""Characters of a URL, or of a header; servers take 64 KiB for all of a request's head."""
_MOST_FRACTIONS: Final = 10_000
"""Numbers that Python's own encoder writes; each takes up to 1.6 µs."""
_MOST_ZEROS: Final = 40
"""A larger number has an exponent: 1e308 is a thousand times as long without."""


@dataclass(frozen=True, slots=True)
class WrittenJSON:
    """A value that is JSON in UTF-8 already, and is put into an answer as it stands."""

    text: bytes


def write_text(argument: str, value: object) -> str:
    """Write a scalar as text.

    Raises:
        InvalidArguments: it is a list, an object or null, or a text that UTF-8 cannot hold.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            message = f"{argument!r} holds half of a character (a lone surrogate)."
            raise InvalidArguments(message) from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _write_float(value)
    kind = {type(None): "null", dict: "object"}.get(type(value), type(value).__name__)
    message = f"{argument!r} is written as text: it cannot hold a value of type {kind}."
    raise InvalidArguments(message)


def _write_float(value: float) -> str:
    text = repr(value)
    _, _, exponent = text.partition("e")
    if not math.isfinite(value):
        return write_ascii(value)
    if exponent and abs(int(exponent)) <= _MOST_ZEROS:
        # Starlette's pattern for numbers in a path takes no exponent.
        return format(Decimal(text), "f")
    return text


write_ascii: Final = json.JSONEncoder(separators=(",", ":")).encode
"""Writes JSON in ASCII: a lone surrogate stays the escape it was, and breaks no encoder."""


def write_utf8(value: object) -> bytes:
    """Write JSON in UTF-8, in a fifth of the time; in ASCII what holds half of a character.

    Raises:
        InvalidArguments: it holds half of a character beside more fractions than are written so.
    """
    try:
        # NaN stays what Python's readers know.
        return to_json(value, inf_nan_mode="constants")
    except (ValueError, RecursionError):
        if _has_many_fractions(value):
            message = "The arguments hold half of a character (a lone surrogate): leave it out."
            raise InvalidArguments(message) from None
        return write_ascii(value).encode()


def _has_many_fractions(value: object) -> bool:
    count, left = 0, [value]
    while left and count <= _MOST_FRACTIONS:
        each = left.pop()
        if isinstance(each, dict):
            left.extend(each.values())
        elif isinstance(each, list):
            left.extend(each)
        else:
            count += isinstance(each, float)
    return count > _MOST_FRACTIONS


def write_delimited(
    argument: str,
    parameter: Parameter,
    value: Any,
    separator: str = ",",
    encode: Callable[[str], str] = str,
) -> str:
    """Write any value as one text, e.g. ``"R,100,G,200"`` or, exploded, ``"R=100,G=200"``.

    Null, which has no text, is left out of an object.

    Raises:
        InvalidArguments: an item holds the separator, so that it would be read as two.
    """
    is_scalar, media_type = isinstance(value, SCALAR), parameter.media_type
    if media_type is not None and (is_json(media_type) or not is_scalar):
        # It is a document of its own (`content` instead of `schema`).
        check_length(argument, len(write_utf8(value)))
        return encode(write_ascii(value))
    if not isinstance(value, list | Mapping):
        return encode(write_text(argument, value))
    check_length(argument, len(value))
    items: Iterable[tuple[object, ...]] = ((item,) for item in value)
    if isinstance(value, Mapping):
        items = (each for each in value.items() if each[1] is not None)
    within = "=" if parameter.explode else separator

    def texts() -> Iterator[str]:
        for item in items:
            written = [write_text(argument, each) for each in item]
            if any(separator in text for text in written):
                message = f"{argument!r} separates its items by {separator!r}: none can hold it."
                raise InvalidArguments(message)
            yield within.join(map(encode, written))

    return join(argument, separator, texts())


def join(argument: str, separator: str, texts: Iterable[str]) -> str:
    """Join texts while all of them fit into a URL; raises `InvalidArguments` where they do not."""
    length, taken = 0, []
    for text in texts:
        length += len(text) + len(separator)
        check_length(argument, length)
        taken.append(text)
    return separator.join(taken)


def check_length(argument: str, length: int) -> None:
    """Refuse what no URL and no header can hold, before it takes long to write.

    Raises:
        InvalidArguments: there are too many characters, or items.
    """
    if length > _LONGEST:
        message = f"{argument!r} is too long: a URL or a header takes {_LONGEST:,} characters."
        raise InvalidArguments(message)
