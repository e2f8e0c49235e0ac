"""Says what one schema says in the form, and with the words, that clients and models need. Pure.

Everything here accepts what was accepted before.
"""

import inspect
import json
import re
from typing import Any

from mcp_mount.openapi.nodes import Schema

# Of more values than this a model is told a few; the API answers a wrong one with the list.
_LONGEST_ENUM = 50
_SHOWN_OF_ENUM = 5
_LONGEST_EXAMPLE = 60
# What tells a model more than an example does.
_TELLING = frozenset({"description", "enum", "const", "default", "format", "properties"})
_NULL: Schema = {"type": "null"}


def simplified(schema: Schema, *, nullable: bool, shows_values: bool) -> Schema:
    """Bring what OpenAPI 3.0 and Pydantic write into the one form that clients know.

    Args:
        schema: A schema whose inner schemas are simplified already.
        nullable: Whether OpenAPI 3.0's keyword of this name was beside it.
        shows_values: Whether a description is to name some values of a long enumeration.
    """
    schema = dict(schema)
    if isinstance(one_of := schema.pop("oneOf", None), list):
        # Of two unions one is enough: it accepts no less.
        schema.setdefault("anyOf", one_of)
    if nullable:
        schema |= _with_null(schema)
    for key in ("properties", "patternProperties"):
        if schema.get(key) == {}:
            del schema[key]
    schema = _merged_null(_one_union(schema))
    kind = schema.get("type")
    if kind == "array" or (isinstance(kind, list) and "array" in kind):
        schema = one_kind_of_item(schema)
        schema.setdefault("items", {})
    return _short_enum(schema, shows_values=shows_values)


def _with_null(schema: Schema) -> Schema:
    """Return the keywords of a schema that have to change so that they accept null."""
    changed: Schema = {key: [*schema[key], _NULL] for key in ("anyOf",) if key in schema}
    if isinstance(schema.get("type"), str):
        changed["type"] = [schema["type"], "null"]
    if "enum" in schema and None not in schema["enum"]:
        changed["enum"] = [*schema["enum"], None]
    return changed


def without_null(schema: Schema) -> Schema:
    """Return a published schema without its ``null`` alternative, where another is left."""
    kind = schema.get("type")
    if isinstance(kind, list) and "null" in kind:
        rest = [item for item in kind if item != "null"]
        return {**schema, "type": rest[0] if len(rest) == 1 else rest}
    options = schema.get("anyOf")
    if isinstance(options, list) and _NULL in options:
        rest = [option for option in options if option != _NULL]
        others = {key: value for key, value in schema.items() if key != "anyOf"}
        if len(rest) == 1 and _can_join(rest[0], others):
            return {**rest[0], **others}
        return {**schema, "anyOf": rest}
    return schema


def one_kind_of_item(schema: Schema) -> Schema:
    """Write a tuple of items of one kind, such as coordinates, as a list of that length."""
    first, *others = schema.get("prefixItems") or [None]
    if first is None or schema.get("maxItems") != 1 + len(others):
        return schema
    if any(other != first for other in others):
        return schema
    rest = {key: value for key, value in schema.items() if key != "prefixItems"}
    return {**rest, "items": first}


def example_of(schema: Schema) -> Schema:
    """Describe a value of which nothing else is said: ``{"description": 'For example "a".'}``."""
    examples = schema.get("examples")
    first = examples[0] if isinstance(examples, list) and examples else None
    example = schema.get("example", first)
    if not isinstance(example, str | int | float) or schema.keys() & _TELLING:
        return {}
    text = json.dumps(example, ensure_ascii=False)
    return {"description": f"For example {text}."} if len(text) <= _LONGEST_EXAMPLE else {}


def shortened(text: str, longest: int) -> str:
    """Return a text without indentation and blank lines, and whole words of it if it is long."""
    text = re.sub(r"[ \t]*\n\s*", "\n", inspect.cleandoc(text).strip())
    text = re.sub(r"[ \t]{2,}", " ", text)
    if len(text) <= longest:
        return text
    whole_words = re.sub(r"\s+\S*$", "", text[: longest - 1])
    return f"{whole_words} …"


def _one_union(schema: Schema) -> Schema:
    """Write a union of unions as one, and no alternative twice."""
    options = schema.get("anyOf")
    if not isinstance(options, list):
        return schema
    flat: list[Schema] = []
    for option in options:
        for each in option["anyOf"] if option.keys() == {"anyOf"} else [option]:
            if each not in flat:
                flat.append(each)
    if {} in flat:
        return {key: value for key, value in schema.items() if key != "anyOf"}
    if {"type": "number"} in flat:
        flat = [each for each in flat if each != {"type": "integer"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(flat) == 1 and _can_join(flat[0], rest):
        return {**flat[0], **rest}
    return {**schema, "anyOf": flat}


def _can_join(schema: Schema, outer: Schema) -> bool:
    """Whether what stands around a schema can be written into it, and replaces only words."""
    return not schema.keys() & outer.keys() - {"description", "default", "deprecated"}


def _merged_null(schema: Schema) -> Schema:
    """Write ``anyOf: [{type: string}, {type: null}]`` as ``type: [string, null]``."""
    options = schema.get("anyOf")
    if not isinstance(options, list) or len(options) != 2 or _NULL not in options:
        return schema
    other = options[0] if options[1] == _NULL else options[1]
    kind = other.get("type")
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if not isinstance(kind, str) or kind == "null" or not _can_join(other, rest):
        return schema
    # These would still refuse null.
    if {"enum", "const", "anyOf", "allOf", "not"} & other.keys():
        return schema
    return {**other, **rest, "type": [kind, "null"]}


def _short_enum(schema: Schema, *, shows_values: bool) -> Schema:
    values: list[Any] = schema.get("enum") or []
    if len(values) <= _LONGEST_ENUM:
        return schema
    schema = {key: value for key, value in schema.items() if key != "enum"}
    if shows_values:
        some = ", ".join(str(value) for value in values[:_SHOWN_OF_ENUM])
        note = f"One of {len(values)} values, such as {some}."
        schema["description"] = f"{schema.get('description', '')} {note}".lstrip()
    return schema
