"""Writes one value as text: a scalar, a list, an object or a document of its own. Pure.

A value arrives at the route exactly as it was given, or the call is refused: nothing is cut,
cleaned or replaced.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.media import is_json
from mcp_mount.openapi.parameters import Parameter

SCALAR: Final = (str, int, float)

# RFC 3986 §2.3.
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")


class Given(NamedTuple):
    """The value of one parameter, and the name of the argument it came from."""

    argument: str
    parameter: Parameter
    value: Any


def quoted(text: str, safe: str = "") -> str:
    """Percent-encode a text; most have nothing to encode, which is soon seen."""
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe=safe)


def properties_of(each: Given) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of an object's properties; `null` is left out."""
    for key, item in each.value.items():
        if item is not None:
            yield write_text(each.argument, key), write_text(each.argument, item)


def delimited(each: Given, separator: str, write: Callable[[str], str] = str) -> str:
    """Write a value as one text; what it consists of cannot hold what separates it."""
    value, parameter = each.value, each.parameter
    if parameter.media_type is not None:
        return write(document_of(each))
    items: list[tuple[str, ...]]
    if isinstance(value, list):
        items = [(write_text(each.argument, item),) for item in value]
    elif isinstance(value, Mapping):
        items = [*properties_of(each)]
    else:
        return write(write_text(each.argument, value))
    if any(separator in text for item in items for text in item):
        message = f"{each.argument!r} separates its items by {separator!r}: none can hold it."
        raise InvalidArguments(message)
    within = "=" if parameter.explode else separator
    return separator.join(within.join(map(write, item)) for item in items)


def document_of(each: Given) -> str:
    """Write a value that is a document of its own (`content` instead of `schema`)."""
    is_text = isinstance(each.value, SCALAR) and not is_json(each.parameter.media_type or "")
    return write_text(each.argument, each.value) if is_text else write_compact(each.value)


def write_text(argument: str, value: object) -> str:
    """Write one value as text.

    Raises:
        InvalidArguments: it is a list, an object or null, or no text that can be sent.
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
    if isinstance(value, float) and math.isfinite(value):
        # Without an exponent, which a path's own pattern for numbers does not take.
        return format(Decimal(repr(value)), "f")
    if isinstance(value, float):
        return write_compact(value)
    kind = {type(None): "null", dict: "object"}.get(type(value), type(value).__name__)
    message = f"{argument!r} is written as text: it cannot hold a value of type {kind}."
    raise InvalidArguments(message)


write_compact: Final = json.JSONEncoder(separators=(",", ":")).encode
