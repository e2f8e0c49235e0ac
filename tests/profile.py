"""The publish profile: what every client accepts of a tool, as one check."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from mcp_mount.openapi.patterns import is_ecmascript

Schema = dict[str, Any]

# The keywords of JSON Schema 2020-12 that clients and the APIs of models know. TypeScript clients
# that compile strictly lose the whole list over any other.
SINGLES = {"items", "additionalProperties", "propertyNames", "not"}
LISTS = {"anyOf", "allOf", "prefixItems"}
FORMATS = {
    *("date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"),
    *("int32", "int64", "float", "double", "byte", "binary", "password"),
}
MAPS = {"properties", "patternProperties", "$defs"}
KNOWN = {
    *(*SINGLES, *LISTS, *MAPS, "$ref", "type", "enum", "const", "required"),
    *("description", "default", "deprecated", "format", "contentMediaType", "contentEncoding"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "minItems", "maxItems", "uniqueItems"),
    *("minProperties", "maxProperties"),
}


def schemas_in(schema: Any) -> Iterator[Any]:
    """A schema and all schemas in it, also those that are no mappings."""
    yield schema
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        if key in SINGLES:
            yield from schemas_in(value) if value is not False else ()
        elif key in LISTS:
            for each in value:
                yield from schemas_in(each)
        elif key in MAPS:
            for each in value.values():
                yield from schemas_in(each)


def folded(name: str) -> str:
    return re.sub(r"[-.]", "_", name.lower())


def check_list(tools: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the whole list: each tool, and that no two names look the same to a client."""
    assert len({folded(name) for name in tools}) == len(tools)
    for tool in tools.values():
        check_tool(tool)


def check_tool(tool: Mapping[str, Any], *, shares: bool = False) -> None:
    """Check one tool as a client receives it; `shares` where recursion may have been cut."""
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", tool["name"])
    assert tool["description"].strip()
    assert len(tool["description"]) <= 2_000
    hints = {"readOnlyHint", "destructiveHint", "openWorldHint"}
    assert {*tool["annotations"]} - {"idempotentHint"} == hints
    schema = tool["inputSchema"]
    check_schema(schema, shares=shares)
    check_readers(schema)
    assert schema["additionalProperties"] is False
    assert {*schema} <= {"type", "properties", "required", "additionalProperties", "$defs"}
    assert all(re.fullmatch(r"[a-zA-Z0-9_.-]{1,64}", key) for key in schema.get("properties", {}))
    assert "properties" in schema, "smolagents loses the whole list without"
    assert schema.get("required") != []
    if "outputSchema" in tool:
        check_schema(tool["outputSchema"], shares=shares)


def check_schema(schema: Schema, *, shares: bool) -> None:
    """Check an input or output schema."""
    jsonschema_rs.meta.validate(schema)
    jsonschema_rs.Draft202012Validator(schema)
    assert schema["type"] == "object"
    assert not {"anyOf", "oneOf", "allOf"} & schema.keys()
    for each in schemas_in(schema):
        assert isinstance(each, dict), f"{each!r} is no object"
        assert each.keys() <= KNOWN, each.keys() - KNOWN
        # AutoGen and Semantic Kernel lose the whole list over an array of types.
        assert isinstance(each.get("type", ""), str), each
        if each.get("type") == "array":
            assert isinstance(each.get("items"), dict), each
        assert is_ecmascript(each.get("pattern", "")), each
        assert all(is_ecmascript(key) for key in each.get("patternProperties", {})), each
        assert {*each.get("required", ())} <= {*each.get("properties", {})}, each
        assert not ("default" in each and each["default"] is None), each
    check_references(schema, shares=shares)


def check_readers(schema: Schema) -> None:
    """Check what agent frameworks need to make classes of an argument's schema (`make interop`)."""
    for each in schemas_in(schema):
        # Semantic Kernel drops the definitions; AutoGen knows no model that leads to another one.
        assert "$ref" not in each, each
        # AutoGen loses the whole list over a property without a type, or an unknown format.
        for name, value in each.get("properties", {}).items():
            assert {"type", "enum", "anyOf"} & value.keys(), (name, value)
        assert each.get("format", "date") in FORMATS, each
        for option in each.get("anyOf", ()):
            assert {"type", "enum"} & option.keys(), each
        # Pydantic compiles patterns with Rust's expressions, which look neither ahead nor back.
        assert not re.search(r"\(\?<?[=!]|\\[1-9]", each.get("pattern", "")), each


def check_references(schema: Schema, *, shares: bool) -> None:
    """Check that each reference resolves, each definition is used, and only recursion has any."""
    definitions = schema.get("$defs", {})
    edges = {
        name: {each["$ref"] for each in schemas_in(definition) if "$ref" in each}
        for name, definition in definitions.items()
    }
    body = {key: value for key, value in schema.items() if key != "$defs"}
    used = {each["$ref"] for each in schemas_in(body) if "$ref" in each}.union(*edges.values())
    assert used <= {f"#/$defs/{name}" for name in definitions}
    assert used >= {f"#/$defs/{name}" for name in definitions}, "a definition is not used"
    for name in definitions:
        assert shares or _leads_to_itself(name, edges), f"{name} is not recursive: inline it"


def _leads_to_itself(name: str, edges: Mapping[str, set[str]]) -> bool:
    reached: set[str] = set()
    waiting = [*edges[name]]
    while waiting:
        pointer = waiting.pop()
        if pointer not in reached:
            reached.add(pointer)
            waiting.extend(edges[pointer.removeprefix("#/$defs/")])
    return f"#/$defs/{name}" in reached
