"""Brings a schema of OpenAPI 3.0, 3.1 or an older draft into the keywords of today's. Pure.

A keyword whose value is of a wrong type says nothing, and is left out: documents in the wild have
``required: true`` on a property, ``enum: null`` or ``type: file``. What is left accepts no less.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from mcp_mount.openapi.nodes import Schema

_TYPES: Final = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})


def _is_schema(value: object) -> bool:
    return isinstance(value, Mapping | bool)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_type(value: object) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in _TYPES for kind in kinds)


_CHECKS: Final[Mapping[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("properties", "patternProperties"), lambda value: isinstance(value, Mapping)),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems", "enum", "required"), _is_list),
    **dict.fromkeys(("items", "additionalProperties", "propertyNames", "not"), _is_schema),
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(
        ("exclusiveMinimum", "exclusiveMaximum"),
        lambda value: isinstance(value, bool) or _is_number(value),
    ),
    **dict.fromkeys(
        (
            *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
            *("minContains", "maxContains"),
        ),
        _is_size,
    ),
    **dict.fromkeys(
        ("uniqueItems", "deprecated", "nullable", "readOnly", "writeOnly"),
        lambda value: isinstance(value, bool),
    ),
    **dict.fromkeys(
        ("description", "format", "pattern", "contentMediaType", "contentEncoding", "$ref"),
        lambda value: isinstance(value, str),
    ),
    "type": _is_type,
    "discriminator": lambda value: (
        isinstance(value, Mapping) and isinstance(value.get("propertyName"), str)
    ),
}


def tidied(schema: object) -> Schema:
    """Return a schema without what says nothing, in the keywords of JSON Schema 2020-12.

    ``True`` and what is no schema at all are ``{}``; ``False`` is ``{"not": {}}``.
    """
    if not isinstance(schema, Mapping):
        return {"not": {}} if schema is False else {}
    if isinstance(schema.get("items"), list) and "prefixItems" not in schema:
        # Until draft 2019-09, which put the rest into a keyword of its own.
        schema = {**schema, "prefixItems": schema["items"], "items": schema.get("additionalItems")}
    tidy = {
        key: value for key, value in schema.items() if key not in _CHECKS or _CHECKS[key](value)
    }
    if "required" in tidy:
        tidy["required"] = [name for name in tidy["required"] if isinstance(name, str)]
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        # OpenAPI 3.0 has a flag beside the bound, JSON Schema has the bound itself.
        if isinstance(flag := tidy.get(key), bool):
            del tidy[key]
            bound = tidy.pop(key.replace("exclusiveM", "m"), None) if flag else None
            if bound is not None:
                tidy[key] = bound
    kinds = tidy.get("type")
    if isinstance(kinds, list) and len(kinds) == 1:
        tidy["type"] = kinds[0]
    return tidy
