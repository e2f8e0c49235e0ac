"""Reads a string that holds JSON where the schema wants something else: a slip of models.

``'{"a": 1}'`` for an object is that object, because no other reading fits the schema. Where none
fits, an object or a list is refused; a number or a boolean is for the API to read as it does.
"""

import math
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from mcp_mount.conversion.structure import weigh_values
from mcp_mount.conversion.values import parse_json
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.nodes import Schema
from mcp_mount.turns import Turns

_STRUCTURES: Final = frozenset({"object", "array"})
_HOLDERS: Final = (dict, list)
_PLAIN: Final = frozenset({int, float, bool, type(None)})
"""What holds nothing. It is asked of each value, and unions of types take their time."""
_DEEPEST: Final = 8
"""Levels of a value, and of references to the one that is meant, that are looked into."""

_MOST_VALUES: Final = 100_000
"""What the strings of one call may hold together, read in some 30 ms. See `structure`."""
_STRING: Final = 5
_NO_JSON: Final = 20
"""What a string takes that is read, in values, and what it takes more where it is no JSON."""
_COUNTED: Final = 10
_HALF: Final = 5
"""What half a character takes that is written as an escape, in values; it may have to be mended."""
_IS_COUNTED: Final = re.compile(r"[\[{eE]|.{20}", re.DOTALL)
"""What holds values, or could be a number that takes long; to count them takes as many values."""

_LARGEST_INTEGER: Final = 2**64
"""A fraction beyond that stays one: ``1e308`` has 309 digits, which take long to write."""

Types = frozenset[str]


SlipReader = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Returns the arguments of a call as the schema wants them; others run meanwhile."""


class _Budget:
    """What the strings of one call may still take."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES
        self._turns = Turns()

    async def read(self, text: str, place: str) -> object:
        """Parse a string, when others have had their turn.

        Raises:
            InvalidArguments: with those before it, it holds more than may be parsed.
            ValueError: it is no JSON.
        """
        self._spend(_STRING + len(text) // 64, place)
        await self._turns.take()
        if _IS_COUNTED.search(text):
            halves = text.count("\\ud") + text.count("\\uD")
            values = await weigh_values(text, self._turns)
            self._spend(_COUNTED + values + _HALF * halves, place)
        try:
            return parse_json(text)[0]
        except ValueError:
            self._spend(_NO_JSON, place)
            raise

    def _spend(self, values: int, place: str) -> None:
        self._left -= values
        if self._left < 0:
            raise InvalidArguments(
                f"{place!r} holds more JSON in strings than is read. Write it as its schema says, "
                "without the quotation marks."
            )


def slip_reader(
    schema: Schema, as_json: Collection[str], lenient: Collection[str]
) -> SlipReader | None:
    """Return what reads the arguments of a call; None where they all are strings, or sent as such.

    Args:
        schema: That of the arguments.
        as_json: The names of those that are sent as JSON; of others, which are sent as text, only
            objects and lists are read.
        lenient: The names of those that are never refused here.
    """
    definitions = schema.get("$defs", {})
    readers = {
        name: _ArgumentReader(name, each, definitions, is_json=name in as_json)
        for name, each in schema["properties"].items()
    }
    readers = {name: each for name, each in readers.items() if each.is_needed}
    for name in lenient:
        readers.pop(name, None)
    if not readers:
        return None
    names = readers.keys()

    async def read(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        given = names & arguments.keys()
        budget = _Budget()
        changed = {name: await readers[name].read(arguments[name], budget) for name in given}
        return {**arguments, **changed} if changed else arguments

    return read


class _ArgumentReader:
    """Reads one argument."""

    def __init__(
        self, name: str, schema: Schema, definitions: Mapping[str, Schema], *, is_json: bool
    ) -> None:
        self._name = name
        self._definitions = definitions
        self._known: dict[int, tuple[Schema, Types | None]] = {}
        self._is_json = is_json
        self._schema, self._types = self._look_up(schema)
        has_inside = is_json and not self._schema.keys().isdisjoint({"properties", "items"})
        wanted = (
            self._types or frozenset() if is_json else (self._types or frozenset()) & _STRUCTURES
        )
        self.is_needed = has_inside or (self._takes_no_string(self._types) and bool(wanted))

    async def read(self, value: Any, budget: _Budget) -> Any:
        """Return the value as the schema wants it."""
        if isinstance(value, str):
            if not self._takes_no_string(self._types):
                return value
            return await self._read_string(value, self._types or frozenset(), self._name, budget)
        # Elsewhere than in JSON, what is inside is written as text as well.
        if not self._is_json:
            return value
        return await self._read_inside(value, self._schema, self._name, 0, budget)

    async def _read_string(self, text: str, types: Types, place: str, budget: _Budget) -> Any:
        try:
            value = await budget.read(text, place)
        except ValueError:
            kind, found = "", "no JSON"
        else:
            kind = _type_of(value)
            found = f"JSON of type {kind}"
            if kind in types or (kind == "integer" and "number" in types):
                if not isinstance(value, float) or "number" in types:
                    return value
                return int(value) if abs(value) < _LARGEST_INTEGER else value
        wanted = types - {"null"}
        # A parameter that is a list may be one item.
        may_be_item = not self._is_json and "array" in wanted and kind not in _STRUCTURES
        looks_like_json = text.lstrip()[:1] in {"{", "["}
        if not wanted <= _STRUCTURES or (may_be_item and not looks_like_json):
            return text
        raise InvalidArguments(
            f"{place!r} must be of the type {' or '.join(sorted(types))}, as its schema says; the "
            f"text that was given is {found}."
        )

    async def _read_inside(
        self, value: Any, schema: Schema, place: str, depth: int, budget: _Budget
    ) -> Any:
        is_object = isinstance(value, dict)
        if depth > _DEEPEST or not (is_object or isinstance(value, list)):
            return value
        if _PLAIN.issuperset(map(type, value.values() if is_object else value)):
            return value
        if is_object:
            properties = schema.get("properties", {})
            inside = {
                name: await self._read_inner(
                    value[name], properties[name], f"{place}.{name}", depth, budget
                )
                for name in properties.keys() & value.keys()
            }
            return {**value, **inside} if inside else value
        if isinstance(items := schema.get("items"), dict):
            _, types = self._look_up(items)
            if types is None or types & _STRUCTURES or self._takes_no_string(types):
                return [
                    await self._read_inner(each, items, place, depth, budget)
                    if isinstance(each, str) or (each and isinstance(each, _HOLDERS))
                    else each
                    for each in value
                ]
        return value

    async def _read_inner(
        self, value: Any, schema: Schema, place: str, depth: int, budget: _Budget
    ) -> Any:
        if isinstance(value, str):
            _, types = self._look_up(schema)
            fits = types is not None and self._takes_no_string(types)
            if not fits:
                return value
            return await self._read_string(value, types or frozenset(), place, budget)
        if value and isinstance(value, _HOLDERS):
            resolved = self._look_up(schema)[0]
            return await self._read_inside(value, resolved, place, depth + 1, budget)
        return value

    def _look_up(self, schema: Schema) -> tuple[Schema, Types | None]:
        """Return what a schema comes to, and its types; worked out once for all values."""
        found = self._known.get(id(schema))
        if found is None:
            found = self._known[id(schema)] = self._resolve(schema), self._types_of(schema)
        return found

    def _resolve(self, schema: Schema) -> Schema:
        """Return what a schema refers to, and the one alternative beside null."""
        for _ in range(_DEEPEST):
            options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
            if "$ref" in schema:
                schema = self._definitions.get(schema["$ref"].rpartition("/")[2], {})
            elif len(options) == 1:
                (schema,) = options
            else:
                break
        return schema

    def _types_of(self, schema: Schema) -> Types | None:
        """Return the types that a schema allows; None where it does not say."""
        types, waiting, seen = set[str](), [schema], set[str]()
        while waiting:
            each = waiting.pop()
            values = each.get("enum", [each["const"]] if "const" in each else None)
            if "$ref" in each:
                # Once: alternatives that refer to each other would be looked at for ever.
                name = each["$ref"].rpartition("/")[2]
                waiting += [self._definitions.get(name, {})] if name not in seen else []
                seen.add(name)
            elif "anyOf" in each:
                waiting += each["anyOf"]
            elif isinstance(values, list):
                types.update(map(_type_of, values))
            elif isinstance(kind := each.get("type"), str):
                types.add(kind)
            else:
                return None
        return frozenset(types)

    @staticmethod
    def _takes_no_string(types: Types | None) -> bool:
        return types is not None and "string" not in types and bool(types - {"null"})


def _type_of(value: object) -> str:
    """Return the type of JSON; 1.0 is an integer too (JSON Schema Validation §6.1.1)."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        is_whole = isinstance(value, int) or (math.isfinite(value) and value.is_integer())
        return "integer" if is_whole else "number"
    kinds = {str: "string", list: "array", dict: "object", type(None): "null"}
    return kinds.get(type(value), "object")
