"""Writes values as text: a scalar, a list, an object or a JSON document. Pure.

A value arrives at the route exactly as it was given, or the call is refused: nothing is cut,
cleaned or replaced.
"""

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.media import is_json
from mcp_mount.openapi.parameters import Parameter

SCALAR: Final = (str, int, float)


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
    if not math.isfinite(value):
        return write_compact(value)
    # Without an exponent, which Starlette's pattern for numbers in a path does not take.
    return format(Decimal(repr(value)), "f")


write_compact: Final = json.JSONEncoder(separators=(",", ":")).encode
"""Writes JSON in ASCII: a lone surrogate stays the escape it was, and breaks no encoder."""


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
        return encode(write_compact(value))
    if not isinstance(value, list | Mapping):
        return encode(write_text(argument, value))
    items: list[tuple[object, ...]] = [(item,) for item in value]
    if isinstance(value, Mapping):
        items = [each for each in value.items() if each[1] is not None]
    written = [[write_text(argument, each) for each in item] for item in items]
    if any(separator in text for texts in written for text in texts):
        message = f"{argument!r} separates its items by {separator!r}: none can hold it."
        raise InvalidArguments(message)
    within = "=" if parameter.explode else separator
    return separator.join(within.join(map(encode, texts)) for texts in written)
