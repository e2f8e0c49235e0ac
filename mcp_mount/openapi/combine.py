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
    whole: Schema = {}
    for schema in schemas:
        both = {**whole, **schema}
        for key in _MERGED_BY_NAME:
            if key in whole and key in schema:
                both[key] = _merge_properties(whole[key], schema[key])
        if "required" in whole and "required" in schema:
            both["required"] = [*dict.fromkeys([*whole["required"], *schema["required"]])]
        if whole.keys() & _ITEMS and "prefixItems" in (whole.keys() | schema.keys()):
            # `items` depends on the length of `prefixItems`: take all from one schema.
            source = schema if schema.keys() & _ITEMS else whole
            both = {key: each for key, each in both.items() if key not in _ITEMS}
            both |= {key: source[key] for key in _ITEMS & source.keys()}
        whole = both
    return whole


def _merge_properties(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    clashes = {
        name: _both(first[name], each)
        for name, each in second.items()
        if first.get(name, each) != each
    }
    return {**first, **second, **clashes}


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
