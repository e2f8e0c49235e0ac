"""Schemas that hold together (``allOf``, or beside a ``$ref``), written as one. Pure.

The one accepts whatever all of them accept. Of two values of a keyword the last stands, since each
of them alone accepts no less than both.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from mcp_mount.openapi.nodes import Schema, mapping_in

_UNITED = ("properties", "patternProperties")
_ITEMS = frozenset({"prefixItems", "items", "maxItems", "minItems"})


def combined(schemas: Iterable[Schema]) -> Schema:
    """Return the schemas, whose own references are followed already, as one."""
    whole: Schema = {}
    for schema in schemas:
        both = {**whole, **schema}
        for key in _UNITED:
            if key in whole and key in schema:
                both[key] = _united(whole[key], schema[key])
        if "required" in whole and "required" in schema:
            both["required"] = [*dict.fromkeys([*whole["required"], *schema["required"]])]
        if whole.keys() & _ITEMS and "prefixItems" in (whole.keys() | schema.keys()):
            # What follows a tuple depends on its length.
            both = {key: each for key, each in both.items() if key not in _ITEMS}
            both |= {key: schema[key] for key in _ITEMS if key in schema} or {
                key: whole[key] for key in _ITEMS if key in whole
            }
        whole = both
    return whole


def _united(first: Mapping[str, object], second: Mapping[str, object]) -> dict[str, object]:
    """Return the properties of both; one that both have is to be as both say."""
    return {
        **first,
        **{
            name: {"allOf": [first[name], each]} if first.get(name, each) != each else each
            for name, each in second.items()
        },
    }


def as_base(schema: Schema) -> Schema:
    """Return what a model inherits from a schema: not that it is one of the schema's children."""
    if "discriminator" not in schema:
        return schema
    return {
        key: value
        for key, value in schema.items()
        if key not in {"discriminator", "oneOf", "anyOf"}
    }


def children_of(document: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """Return by its pointer which schemas of a document inherit from one (``allOf``)."""
    parents: dict[str, list[str]] = {}
    for name, schema in _schemas_of(document).items():
        parts = schema.get("allOf") if isinstance(schema, Mapping) else None
        for part in parts if isinstance(parts, list) else ():
            pointer = part.get("$ref") if isinstance(part, Mapping) else None
            if isinstance(pointer, str):
                parents.setdefault(pointer, []).append(_pointer_to(name))
    return {parent: _descendants(parent, parents) for parent in parents}


def _descendants(parent: str, children: Mapping[str, list[str]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    waiting = [*children[parent]]
    while waiting:
        each = waiting.pop(0)
        if each not in found:
            found[each] = None
            waiting.extend(children.get(each, ()))
    return tuple(found)


def discriminated(
    document: Mapping[str, Any], discriminator: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Return the values of a discriminator's ``mapping`` by what they point to."""
    mapping = discriminator.get("mapping")
    schemas = _schemas_of(document)
    found: dict[str, list[str]] = {}
    for value, target in mapping.items() if isinstance(mapping, Mapping) else ():
        # A name alone is that of a schema, as well as a reference would be; some name another file.
        if isinstance(target, str) and (target in schemas or target.startswith("#/")):
            pointer = _pointer_to(target) if target in schemas else target
            found.setdefault(pointer, []).append(str(value))
    return found


def _schemas_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping_in(mapping_in(document, "components"), "schemas")


def _pointer_to(name: str) -> str:
    return f"#/components/schemas/{name.replace('~', '~0').replace('/', '~1')}"
