"""Compares results with a schema, in a time that their bytes bound. Pure."""

from collections.abc import Callable
from functools import cached_property
from math import inf, remainder
from typing import Any, Final

import jsonschema_rs

from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.sizes import fits
from mcp_mount.openapi.tidy import LISTS, MAPS, SINGLES

# A validator compares a value with each alternative of a union; so much takes it 40 ms.
_MOST_WORK: Final = 20_000_000
_LARGEST: Final = 100_000
"""Characters of a schema that is made ready in some 20 ms; real ones have a third at the most."""

_AMONG: Final = "x-among"
"""Where this keyword of ours stands, one of these numbers is wanted; it counts for several
alternatives."""
_AMONG_WORK: Final = 10
# Of a number deeper inside an enumeration; one that is a fraction takes much longer. A list or an
# object there is looked through as often as a value is like it.
_NUMBER: Final = 30
_FRACTION: Final = 500
_STRUCTURE: Final = 5


class Comparison:
    """The comparison of values with a schema; made on first use: most tools are never called."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    @cached_property
    def _is_small(self) -> bool:
        return fits(self._schema, _LARGEST)

    @cached_property
    def _quickly(self) -> Schema:
        quick: Schema = _quick(self._schema)
        return quick

    @cached_property
    def work(self) -> int:
        """With how many alternatives each part of a value may be compared."""
        return _work(self._quickly)

    @cached_property
    def most_bytes(self) -> float:
        """How long a value may be, as JSON, so that to compare it does not hold up the process."""
        if not self._is_small:
            return 0
        return _MOST_WORK / self.work if self.work else inf

    @cached_property
    def is_valid(self) -> Callable[[object], bool]:
        """Tell whether a value conforms; to a very large schema each does."""
        if not self._is_small:
            return lambda _: True
        schema = self._quickly
        keywords = {_AMONG: _Among, "multipleOf": _MultipleOf}
        return jsonschema_rs.Draft202012Validator(schema, keywords=keywords).is_valid


class _Among:
    """One of some numbers.

    A validator takes up to a microsecond to compare a value with one number, and compares it with
    each. A set does not, and lets others run meanwhile.
    """

    def __init__(self, _schema: Schema, numbers: list[float], _path: object) -> None:
        self._numbers = frozenset(numbers)

    def validate(self, value: object) -> None:
        """Raise ValueError where it is none of them; `_quick` asks beside it for a number."""
        try:
            if value in self._numbers:
                return
        except TypeError:
            # A list, if the validator looks at this first.
            pass
        raise ValueError


class _MultipleOf:
    """A multiple of a number, as exactly as Pydantic has it.

    A validator divides fractions as those of whole numbers, in a microsecond, or in ten.
    """

    def __init__(self, _schema: Schema, number: float, _path: object) -> None:
        self._number = float(number)

    def validate(self, value: object) -> None:
        """Raise ValueError where a number is none."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                rest = abs(remainder(value, self._number))
            except OverflowError:
                # A whole number that is larger than all fractions.
                return
            if not rest <= abs(value) / 1e9:
                raise ValueError


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _quick(schema: Any) -> Any:
    """Return a schema that says the same, with each number of an enumeration in `_AMONG`."""
    if not isinstance(schema, dict):
        return schema
    quick: Schema = {}
    for key, each in schema.items():
        if (key in MAPS or key == "$defs") and isinstance(each, dict):
            quick[key] = {name: _quick(inner) for name, inner in each.items()}
        elif key in LISTS and isinstance(each, list):
            quick[key] = [*map(_quick, each)]
        else:
            quick[key] = _quick(each) if key in SINGLES else each
    for key, options in (("enum", schema.get("enum")), ("const", [schema.get("const")])):
        if numbers := [*filter(_is_number, options or ())]:
            among: Schema = {"type": "number", _AMONG: numbers}
            if others := [each for each in options or () if not _is_number(each)]:
                among = {"anyOf": [{"enum": others}, among]}
            del quick[key]
            quick["allOf"] = [*quick.get("allOf", ()), among]
    return quick


def _work(schema: object) -> int:
    """Return how many alternatives there are in a schema; numbers in it count for several."""
    if isinstance(schema, list):
        return sum(map(_work, schema))
    if not isinstance(schema, dict):
        return 0
    unions = (schema.get(key) for key in ("anyOf", "oneOf", "allOf"))
    count = sum(len(each) for each in unions if isinstance(each, list))
    if _AMONG in schema:
        return count + _AMONG_WORK
    if "multipleOf" in schema:
        count += _AMONG_WORK
    options = sum(map(_option, [*(schema.get("enum") or ()), schema.get("const")]))
    return count + options + sum(map(_work, schema.values()))


def _option(value: object) -> int:
    """Return what a value of an enumeration counts, with what stands in it; a text does not."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return _STRUCTURE + sum(map(_option, inner))
    if isinstance(value, float):
        return _FRACTION
    return _NUMBER if _is_number(value) else 0
