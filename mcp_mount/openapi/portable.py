"""Writes the schema of an argument for clients that know few keywords.

Agent frameworks make classes of a tool's schema: AutoGen Pydantic models, Google ADK the types of
Gemini. What they do not know costs some of them the whole list of tools, so that it is left out;
the API itself still checks the value.
"""

import json
import re
from typing import Final

from mcp_mount.openapi.nodes import Schema

_FORMATS: Final = frozenset(
    {
        *("date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri"),
        *("uuid", "int32", "int64", "float", "double", "byte", "binary", "password"),
    }
)
# The regular expressions of Rust, which Pydantic compiles, look neither ahead nor back.
_LOOKS: Final = re.compile(r"\(\?<?[=!]|\\[1-9]")
_SAYS_TYPE: Final = frozenset({"type", "enum", "anyOf", "$ref"})
_ANYTHING: Final = (
    *({"type": kind} for kind in ("string", "number", "boolean", "object")),
    {"type": "array", "items": {}},
    {"type": "null"},
)
_TYPES: Final = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def port(schema: Schema) -> Schema:
    """Return a published schema without the formats and patterns that some clients do not know."""
    if schema.get("format", "date") not in _FORMATS:
        schema = {key: each for key, each in schema.items() if key != "format"}
    if _LOOKS.search(schema.get("pattern", "")):
        schema = {key: each for key, each in schema.items() if key != "pattern"}
    if "const" in schema and "type" not in schema:
        schema = {"type": _TYPES[type(schema["const"])], **schema}
    return schema


def name_type(schema: Schema) -> Schema:
    """Return the schema of a property with its type: a property of any type has all of them.

    Where all alternatives are of one type, as those of a union of models, that is said once more:
    smolagents takes a property without one for a string.
    """
    if not _SAYS_TYPE & schema.keys():
        return {**schema, "anyOf": [*_ANYTHING]}
    options = schema.get("anyOf", ())
    types = {json.dumps(option.get("type")) for option in options}
    if "type" not in schema and len(types) == 1 and "type" in options[0]:
        # A list without `items` is refused by others.
        items: Schema = {"items": {}} if options[0]["type"] == "array" else {}
        return {"type": options[0]["type"], **items, **schema}
    return schema


def name_types(schema: Schema) -> None:
    """Name the type of each property of a schema that is being written."""
    for name, each in schema.get("properties", {}).items():
        schema["properties"][name] = name_type(each)
