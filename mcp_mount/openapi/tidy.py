"""Rewrites a schema of OpenAPI 3.0, 3.1 or an older draft in the keywords of JSON Schema 2020-12.

A keyword with a value of a wrong type is left out: real documents have ``required: true`` on a
property, ``enum: null`` or ``type: file``. The rest accepts no less.
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


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_type(value: object) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in _TYPES for kind in kinds)


_CHECKS: Final[Mapping[str, Callable[[Any], bool]]] = {
    key: check
    for check, keys in (
        (lambda value: isinstance(value, Mapping), "properties patternProperties"),
        (_is_list, "allOf anyOf oneOf prefixItems enum required"),
        (_is_schema, "items additionalProperties propertyNames not"),
        (_is_number, "minimum maximum"),
        (lambda value: _is_number(value) and value > 0, "multipleOf"),
        (lambda value: _is_bool(value) or _is_number(value), "exclusiveMinimum exclusiveMaximum"),
        (_is_size, "minLength maxLength minItems maxItems minProperties maxProperties"),
        (_is_bool, "uniqueItems deprecated nullable readOnly writeOnly"),
        (_is_text, "description format pattern contentMediaType contentEncoding $ref"),
        (_is_type, "type"),
        (
            lambda value: isinstance(value, Mapping) and _is_text(value.get("propertyName")),
            "discriminator",
        ),
    )
    for key in keys.split()
}


def tidy(schema: object) -> Schema:
    """Return a schema with valid keywords only, and null as OpenAPI 3.0's ``nullable: true``.

    ``True``, and anything that is no schema, is ``{}``; ``False`` is ``{"not": {}}``.
    """
    if not isinstance(schema, Mapping):
        return {"not": {}} if schema is False else {}
    if isinstance(schema.get("items"), list) and "prefixItems" not in schema:
        # Until draft 2019-09.
        schema = {**schema, "prefixItems": schema["items"], "items": schema.get("additionalItems")}
    valid = {
        key: value for key, value in schema.items() if key not in _CHECKS or _CHECKS[key](value)
    }
    if "required" in valid:
        valid["required"] = [name for name in valid["required"] if isinstance(name, str)]
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        # A flag beside the bound in OpenAPI 3.0, the bound itself in JSON Schema.
        if isinstance(flag := valid.get(key), bool):
            del valid[key]
            bound = valid.pop(key.replace("exclusiveM", "m"), None) if flag else None
            if bound is not None:
                valid[key] = bound
    if valid.get("nullable") is False:
        del valid["nullable"]
    if isinstance(types := valid.get("type"), list):
        # Null is a flag, as in OpenAPI 3.0, until the schema is published.
        others = [kind for kind in types if kind != "null"] or ["null"]
        valid["type"] = others[0] if len(others) == 1 else others
        if len(others) < len(types):
            valid["nullable"] = True
    return valid
