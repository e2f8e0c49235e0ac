"""A text as the JSON value that it is, if it is one that can be written again. Pure."""

import json
import math
from itertools import chain
from typing import Any, Final

import msgspec

from mcp_mount.conversion.structure import is_simple
from mcp_mount.halves import mend_text

# What is nested deeper breaks whoever serializes it.
_DEEPEST: Final = 100


class TooManyValues(ValueError):
    """To parse a text would hold up the process."""


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
    return parse_json(text)


def parse_json(text: str) -> tuple[object, bool]:
    """Do so without counting its values, which are known not to be too many."""
    is_strict, value = True, None
    try:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):
            # Python's own reader takes more.
            is_strict, value = False, _mend(_LENIENT.decode(text))
    except RecursionError:
        raise ValueError("The JSON is nested too deeply.") from None
    if text.count("[") + text.count("{") > _DEEPEST and _is_deep(value):
        raise ValueError("The JSON is nested too deeply.")
    return value, is_strict


_LENIENT = json.JSONDecoder(parse_constant=lambda _: None)


def _mend(value: Any) -> Any:
    """Return what was read with nothing that cannot be written; by type, which is soon asked."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is str:
        return mend_text(value)
    if kind is list:
        return [*map(_mend, value)]
    if kind is dict:
        return {mend_text(name): _mend(each) for name, each in value.items()}
    return value


def _is_deep(value: object) -> bool:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inner = chain.from_iterable(
            each.values() if isinstance(each, dict) else each for each in level
        )
        level = [each for each in inner if isinstance(each, dict | list)]
    return bool(level)
