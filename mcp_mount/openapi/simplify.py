"""Rewrites one schema in the form that clients and models know; it accepts no less than before."""

import json
from collections.abc import Mapping
from math import inf
from typing import Any

from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.tidy import MAPS

# Of a longer enumeration a model is told some values; the API answers a wrong one with the list.
_MAX_ENUM = 50
_SHOWN_OF_ENUM = 5
_MAX_EXAMPLE = 60
# So many alternatives are compared with each other.
_FEW = 50
# Keywords that tell a model more than an example does.
_TELLING = frozenset({"description", "enum", "const", "default", "format", "properties"})
_ANNOTATIONS = frozenset({"description", "default", "deprecated"})
_OF_ARRAYS = frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"})
_LENGTHS = frozenset({"minItems", "maxItems"})
_NULL: Schema = {"type": "null"}


def simplify(schema: Schema, *, nullable: bool, shows_values: bool) -> Schema:
    """Return a schema with one kind of union, one type, and null as an alternative.

    Its inner schemas are simplified already. With `shows_values`, the description names some values
    of a long enumeration.
    """
    schema = {key: each for key, each in schema.items() if key not in MAPS or each}
    if isinstance(one_of := schema.pop("oneOf", None), list):
        # Of two unions one is enough: it accepts no less.
        schema.setdefault("anyOf", one_of)
    schema = _shorten_enum(schema, shows_values=shows_values)
    if isinstance(types := schema.get("type"), list):
        schema = _split_types(schema, types)
    elif types == "array":
        schema = unify_items(schema)
        schema.setdefault("items", {})
    return _flatten_union(_with_null(schema) if nullable else schema)


def _split_types(schema: Schema, types: list[str]) -> Schema:
    """Write ``type: [string, array]`` as an ``anyOf``, because some clients refuse a list."""
    rest = {key: each for key, each in schema.items() if key != "type"}
    if {"enum", "const", "anyOf"} & rest.keys():
        return rest
    array = {key: rest.pop(key) for key in _OF_ARRAYS & rest.keys()}
    of_type = {"array": {"items": {}, **array}}
    return {**rest, "anyOf": [{"type": kind, **of_type.get(kind, {})} for kind in types]}


def _with_null(schema: Schema) -> Schema:
    """Write ``anyOf: [{…}, {"type": "null"}]`` around a schema, as Pydantic does."""
    if "anyOf" in schema and not {"type", "enum", "const"} & schema.keys():
        return {**schema, "anyOf": [*schema["anyOf"], _NULL]}
    outer = {key: each for key, each in schema.items() if key in _ANNOTATIONS}
    inner = {key: each for key, each in schema.items() if key not in _ANNOTATIONS}
    if not {"type", "enum", "const", "anyOf", "$ref"} & inner.keys():
        # It accepts null as it is.
        return schema
    if None in inner.get("enum", ()):
        inner["enum"] = [each for each in inner["enum"] if each is not None]
    return {**outer, "anyOf": [inner, _NULL] if inner.get("enum") != [] else [_NULL]}


def drop_null(schema: Schema) -> Schema:
    """Return a published schema without its ``null`` alternative, where another is left."""
    options = schema.get("anyOf", [])
    if _NULL not in options or len(options) == 1:
        return schema
    return _flatten_union({**schema, "anyOf": [each for each in options if each != _NULL]})


def unify_items(schema: Schema) -> Schema:
    """Write a tuple of equal items, such as coordinates, as a list of that length."""
    first, *others = schema.get("prefixItems") or [None]
    if first is None or schema.get("maxItems") != 1 + len(others):
        return schema
    if any(other != first for other in others):
        return schema
    rest = {key: value for key, value in schema.items() if key != "prefixItems"}
    return {**rest, "items": first}


def describe_example(schema: Schema) -> Schema:
    """Describe a value by its example if that is all there is: ``For example "BE-7".``."""
    examples = schema.get("examples")
    first = examples[0] if isinstance(examples, list) and examples else None
    example = schema.get("example", first)
    if not isinstance(example, str | int | float) or schema.keys() & _TELLING:
        return {}
    text = json.dumps(example, ensure_ascii=False)
    return {"description": f"For example {text}."} if len(text) <= _MAX_EXAMPLE else {}


def shorten(text: str, longest: int) -> str:
    """Return text without indentation and blank lines, cut between words if it is too long."""
    lines = [" ".join(line.split()) for line in text.split("\n")]
    text = "\n".join(line for line in lines if line)
    if len(text) <= longest:
        return text
    return f"{text[: longest - 1].rsplit(maxsplit=1)[0]} …"


def without_properties(schema: Schema, outer: Mapping[str, Any]) -> Schema:
    """Leave out what is inside of a model, and the model's own description."""
    gone = {"properties", "additionalProperties", "required", "description"}
    kept = {key: value for key, value in schema.items() if key not in gone}
    return {**kept, "description": outer["description"]} if "description" in outer else kept


def _flatten_union(schema: Schema) -> Schema:
    """Write a union of unions as one, each alternative once, and a union of one as itself."""
    options = schema.get("anyOf")
    if not isinstance(options, list):
        return schema
    flat = _once(
        [
            each
            for option in options
            for each in (option["anyOf"] if option.keys() == {"anyOf"} else [option])
        ]
    )
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if {} in flat:
        return rest
    if {"type": "number"} in flat:
        flat = [each for each in flat if each != {"type": "integer"}]
    flat = _join_lists(flat)
    if len(flat) == 1 and not flat[0].keys() & rest.keys() - _ANNOTATIONS:
        return {**flat[0], **rest}
    return {**rest, "anyOf": flat}


def _once(options: list[Schema]) -> list[Schema]:
    """Return each alternative once; of many those that are written alike, which is soon seen."""
    if len(options) > _FEW:
        return [*{repr(each): each for each in options}.values()]
    return [each for place, each in enumerate(options) if each not in options[:place]]


def _join_lists(options: list[Schema]) -> list[Schema]:
    """Write lists that differ only in how long they are, as positions of two or three numbers.

    Many stay as they are.
    """
    if sum(option.get("type") == "array" for option in options) > _FEW:
        return options
    joined: list[Schema] = []
    for option in options:
        if option.get("type") != "array":
            joined.append(option)
            continue
        for place, other in enumerate(joined):
            if (both := _as_one_list(other, option)) is not None:
                joined[place] = both
                break
        else:
            joined.append(option)
    return joined


def _as_one_list(first: Schema, second: Schema) -> Schema | None:
    """Return the list that is either one; None where there is none without other lengths."""
    if first.get("type") != "array":
        return None
    alike = {key: each for key, each in first.items() if key not in _LENGTHS}
    if alike != {key: each for key, each in second.items() if key not in _LENGTHS}:
        return None
    (least, most), (other_least, other_most) = sorted(
        (each.get("minItems", 0), each.get("maxItems", inf)) for each in (first, second)
    )
    if other_least > most + 1:
        return None
    most = max(most, other_most)
    lengths = {"minItems": least} if least else {}
    return {**alike, **lengths, **({} if most == inf else {"maxItems": most})}


def _shorten_enum(schema: Schema, *, shows_values: bool) -> Schema:
    values: list[Any] = schema.get("enum") or []
    if len(values) <= _MAX_ENUM:
        return schema
    schema = {key: value for key, value in schema.items() if key != "enum"}
    if shows_values:
        some = ", ".join(str(value) for value in values[:_SHOWN_OF_ENUM])
        note = f"One of {len(values)} values, such as {some}."
        schema["description"] = f"{schema.get('description', '')} {note}".lstrip()
    return schema
