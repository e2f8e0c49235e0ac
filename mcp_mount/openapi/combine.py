"""Merges the schemas of an ``allOf``, and reads which schemas inherit from which.

A merged schema accepts whatever all of its parts accept. Where two have the same keyword the last
one stays, since either alone accepts no less than both.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mcp_mount.openapi.nodes import Schema, get_mapping

_MERGED_BY_NAME = ("properties", "patternProperties")
_ITEMS = frozenset({"prefixItems", "items", "maxItems", "minItems"})
# Schemas of one property that are merged. Each level of a document can double them.
_MAX_PARTS = 20


def merge(schemas: Iterable[Schema]) -> Schema:
    """Return one schema for several that have no ``$ref`` or ``allOf`` of their own."""
    # What there are thousands of is added to, not copied for each schema.
    whole: Schema = {}
    named: dict[str, dict[str, Any]] = {}
    required: dict[str, None] = {}
    for schema in schemas:
        for key in _MERGED_BY_NAME:
            if key in whole and key in schema:
                if key not in named:
                    named[key] = {**whole[key]}
                _add_properties(named[key], schema[key])
        if "required" in whole and "required" in schema:
            required |= dict.fromkeys(
                [*(() if required else whole["required"]), *schema["required"]]
            )
        items: Schema = {}
        if whole.keys() & _ITEMS and ("prefixItems" in whole or "prefixItems" in schema):
            # `items` depends on the length of `prefixItems`: take all from one schema.
            source = schema if schema.keys() & _ITEMS else whole
            items = {key: source[key] for key in _ITEMS & source.keys()}
            for key in _ITEMS:
                whole.pop(key, None)
        whole |= {key: each for key, each in schema.items() if not (items and key in _ITEMS)}
        whole |= items
    return {**whole, **named, **({"required": [*required]} if required else {})}


def _add_properties(known: dict[str, Any], added: Mapping[str, Any]) -> None:
    for name, each in added.items():
        clashes = known.get(name, each) != each
        known[name] = _both(known[name], each) if clashes else each


def _both(first: object, second: object) -> Schema:
    """Return the ``allOf`` of two schemas, in one list with what they are of themselves."""
    parts = _parts_of(first)[:_MAX_PARTS]
    for each in _parts_of(second):
        if len(parts) == _MAX_PARTS:
            # Without the others, it accepts more.
            break
        if each not in parts:
            parts.append(each)
    return {"allOf": parts}


def _parts_of(schema: object) -> list[object]:
    inner = schema.get("allOf") if isinstance(schema, Mapping) and len(schema) == 1 else None
    return inner if isinstance(inner, list) else [schema]


def without_children(schema: Schema) -> Schema:
    """Return what a model inherits from a schema, which is not the union of its children."""
    if "discriminator" not in schema:
        return schema
    gone = {"discriminator", "oneOf", "anyOf"}
    return {key: value for key, value in schema.items() if key not in gone}


def find_children(document: Mapping[str, Any]) -> Mapping[str, list[str]]:
    """Return which schemas name each one in their ``allOf``, as pointers."""
    children: dict[str, list[str]] = {}
    for name, schema in _schemas_of(document).items():
        parts = schema.get("allOf") if isinstance(schema, Mapping) else None
        for part in parts if isinstance(parts, list) else ():
            pointer = part.get("$ref") if isinstance(part, Mapping) else None
            if isinstance(pointer, str):
                children.setdefault(pointer, []).append(_pointer_to(name))
    return children


def read_discriminator(
    document: Mapping[str, Any], discriminator: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Return the values of a discriminator's ``mapping`` by the schema they stand for."""
    mapping = discriminator.get("mapping")
    schemas = _schemas_of(document)
    found: dict[str, list[str]] = {}
    for value, target in mapping.items() if isinstance(mapping, Mapping) else ():
        # A target is the name of a schema, or a pointer; those into other files are left out.
        if isinstance(target, str) and (target in schemas or target.startswith("#/")):
            pointer = _pointer_to(target) if target in schemas else target
            found.setdefault(pointer, []).append(str(value))
    return found


def _schemas_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return get_mapping(get_mapping(document, "components"), "schemas")


def _pointer_to(name: str) -> str:
    return f"#/components/schemas/{name.replace('~', '~0').replace('/', '~1')}"
