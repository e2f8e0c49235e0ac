"""The schemas of another server's tools, in a form that every client accepts. Pure.

A schema that a client would refuse accepts more instead, so that one tool never costs a client its
list; the other server checks the arguments itself. Regular expressions are left out where a schema
is read, wherever a reference finds it: compiling one can take seconds, in which nothing else in the
process runs.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from mcp_mount.openapi.directions import Direction
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.openapi.sizes import fits
from mcp_mount.remotes.text import clean_json

_MAX_ARGUMENTS: Final = 200
_MAX_PUBLISHED: Final = 50_000
MAX_READ: Final = 100_000
"""Characters of a tool's schemas as the other server writes them; longer ones accept anything."""

MAX_WORK: Final = 4_000_000
"""Characters of schemas that are read of one server, for which 9 to 11 seconds of a thread were
measured, and 16 MB in the list of tools; the rest accept anything."""

_OPENING: Final = {"anyOf", "oneOf", "allOf", "$ref"}
"""Keywords with which the root of a schema names more properties than its own."""

_EXPRESSIONS: Final = frozenset({"pattern", "patternProperties"})
"""Keywords that hold regular expressions; one for strings that are one, ``format``, is no rule."""

_KEY: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")

_MAPS: Final = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_REFERENCES: Final = frozenset({"$ref", "$dynamicRef"})
_DEFINITION: Final = re.compile(r"#/(?:\$defs|definitions)/[^/%]+")


class _Schemas(Schemas):
    """The schemas of one tool, without regular expressions."""

    def _read(self, schema: object) -> Schema:
        if not isinstance(schema, Mapping) or _EXPRESSIONS.isdisjoint(schema):
            return super()._read(schema)
        plain = {key: value for key, value in schema.items() if key not in _EXPRESSIONS}
        if "patternProperties" in schema:
            plain["additionalProperties"] = True
        return super()._read(plain)


def work_of(input_schema: Schema, output_schema: Schema | None) -> int:
    """Return how much there is to read: what is referred to is read for each argument."""
    if not fits([input_schema, output_schema], MAX_READ):
        return MAX_WORK + 1
    text = json.dumps([input_schema, output_schema])
    if len(text) > MAX_READ:
        return MAX_WORK + 1
    arguments = input_schema.get("properties")
    times = len(arguments) if isinstance(arguments, Mapping) and '"$ref"' in text else 0
    return len(text) * (8 + min(times, _MAX_ARGUMENTS)) // 8


def publish_input(schema: Schema) -> tuple[Schema, dict[str, str]]:
    """Return the schema of arguments, and the server's names of those that got another one."""
    try:
        root = _Schemas(schema).resolve(schema)
    except Exception:  # noqa: BLE001 - a schema can be wrong in any way
        root = {}
    properties = root.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return {"type": "object"}, {}
    names: dict[str, str] = {}
    for key in [*properties][:_MAX_ARGUMENTS]:
        names[key] = key if _KEY.fullmatch(key) else _alias(key, {*properties, *names.values()})
    published: Schema = {"type": "object", "properties": {}}
    definitions: Schema = {}
    for key, name in names.items():
        argument = _publish(schema, {"properties": {key: properties[key]}}, "input")
        definitions |= argument.get("$defs", {})
        published["properties"][name] = argument.get("properties", {}).get(key, {})
    required = root.get("required")
    if isinstance(required, list):
        needed = [names[key] for key in required if isinstance(key, str) and key in names]
        published |= {"required": [*dict.fromkeys(needed)]} if needed else {}
    if root.keys().isdisjoint(_OPENING) and root.get("additionalProperties", False) is False:
        # As everywhere else; a model that makes up an argument would hear so from the other server.
        published["additionalProperties"] = False
    if definitions:
        published["$defs"] = definitions
    if not _is_safe(published):
        return {"type": "object"}, {}
    return published, {name: key for key, name in names.items() if name != key}


def publish_output(schema: Schema | None) -> Schema | None:
    """Return the schema of results; None if none can be published."""
    published = _publish(schema, schema, "output") if schema is not None else {}
    if published.get("type") != "object" or not published.keys().isdisjoint(_OPENING):
        return None
    return published


def without_expressions(schema: Any) -> Any:
    """Return a schema that is passed on otherwise as it is.

    Every object is taken for a schema, but for those that hold schemas by name; and no reference
    that is left leads to one of these.
    """
    if isinstance(schema, list):
        return [without_expressions(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: without_expressions(each) for name, each in value.items()}
        if key in _MAPS and isinstance(value, dict)
        else without_expressions(value)
        for key, value in schema.items()
        if key not in _EXPRESSIONS and (key not in _REFERENCES or _DEFINITION.fullmatch(str(value)))
    }


def _alias(key: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-zA-Z0-9_.-]+", "_", key).strip("_")[:56] or "argument"
    names = (base, *(f"{base}_{count}" for count in range(2, 2 + len(taken))))
    return next(name for name in names if name not in taken)


def _publish(document: Schema, schema: Schema, direction: Direction) -> Schema:
    """Return a schema as ours are published; ``{}``, which accepts anything, if it cannot be."""
    try:
        published = clean_json(_Schemas(document).publish(schema, direction))
    except Exception:  # noqa: BLE001 - a schema can be wrong in any way
        return {}
    return published if _is_safe(published) else {}


def _is_safe(schema: Schema) -> bool:
    """Whether every client can read and compile the schema."""
    try:
        small = len(json.dumps(schema, allow_nan=False)) <= _MAX_PUBLISHED
        if small:
            jsonschema_rs.meta.validate(schema)
            jsonschema_rs.Draft202012Validator(schema)
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError):
        return False
    return small
