"""Rewrites a schema of OpenAPI 3.0, 3.1 or an older draft in the keywords of JSON Schema 2020-12.

A keyword with a value of a wrong type is left out: real documents have ``required: true`` on a
property, ``enum: null`` or ``type: file``. The rest accepts no less.
"""

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.sizes import fits

# The keywords whose values hold schemas.
MAPS: Final = frozenset({"properties", "patternProperties"})
LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
SINGLES: Final = frozenset({"items", "additionalProperties", "propertyNames"})

# The keywords that are published as they are, and accept more where they are left out.
_VALUES: Final = frozenset(
    {"const", "default", "enum", "format", "pattern", "contentMediaType", "contentEncoding"}
)
# Characters of such a value, of which real ones have 2,000 at the most.
_MAX_VALUE: Final = 4_000
# The SDK writes 255 values in each other at the most, of which a schema can be more than half.
_MAX_VALUE_DEPTH: Final = 20
# Of a longer enumeration only the first values are published.
_MAX_ENUM: Final = 50

_BOUNDS: Final = frozenset({"exclusiveMinimum", "exclusiveMaximum"})
_SCALARS: Final = _BOUNDS | {
    *("$ref", "type", "description", "format", "pattern", "contentMediaType", "contentEncoding"),
    *("minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "maxProperties", "uniqueItems", "deprecated", "readOnly", "writeOnly"),
}


def _is_valid(key: str, value: Any) -> bool:
    if key in _VALUES:
        published = value[:_MAX_ENUM] if key == "enum" and isinstance(value, list) else value
        if not fits(published, _MAX_VALUE, deepest=_MAX_VALUE_DEPTH):
            return False
    if key in MAPS:
        return isinstance(value, Mapping)
    if key in LISTS or key in {"enum", "required"}:
        return isinstance(value, list) and bool(value)
    if key in SINGLES or key == "not":
        return isinstance(value, Mapping | bool)
    if key == "discriminator":
        return isinstance(value, Mapping) and isinstance(value.get("propertyName"), str)
    if key == "nullable" or (key in _BOUNDS and isinstance(value, bool)):
        return value is True
    return key not in _SCALARS or jsonschema_rs.meta.is_valid({key: value})


def tidy(schema: object) -> Schema:
    """Return a schema with valid keywords only, and null as OpenAPI 3.0's ``nullable: true``.

    ``True``, and anything that is no schema, is ``{}``; ``False`` is ``{"not": {}}``.
    """
    if not isinstance(schema, Mapping):
        return {"not": {}} if schema is False else {}
    if isinstance(schema.get("items"), list) and "prefixItems" not in schema:
        # Until draft 2019-09.
        schema = {**schema, "prefixItems": schema["items"], "items": schema.get("additionalItems")}
    valid = {key: value for key, value in schema.items() if _is_valid(key, value)}
    if "required" in valid:
        names = [name for name in valid["required"] if isinstance(name, str)]
        valid["required"] = [*dict.fromkeys(names)]
    for key in _BOUNDS:
        # A flag beside the bound in OpenAPI 3.0, the bound itself in JSON Schema.
        if valid.get(key) is True:
            del valid[key]
            if (bound := valid.pop(key.replace("exclusiveM", "m"), None)) is not None:
                valid[key] = bound
    if isinstance(types := valid.get("type"), list):
        # Null is a flag, as in OpenAPI 3.0, until the schema is published.
        others = [kind for kind in types if kind != "null"] or ["null"]
        valid["type"] = others[0] if len(others) == 1 else others
        if len(others) < len(types):
            valid["nullable"] = True
    return valid
