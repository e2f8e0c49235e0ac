"""Arguments for a tool, from the examples of its API's document."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from mcp_mount.openapi.nodes import resolve_pointer

_LOCATIONS: Final = ("path", "query", "header", "cookie", "body")
_VALUES: Final[dict[str, Any]] = {
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}
_TEXTS: Final = ("text", "1.0.0", "1", f"sha256:{'0' * 64}", "0" * 40)
"""What is tried where a text must match a pattern."""

_FORMATS: Final = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "email": "ada@parts.example",
    "uri": "https://parts.example/",
    "uuid": "0b4f6cb2-4b0b-4c3d-9f5e-2f1f0a6c8d11",
}
_DEEPEST: Final = 8
_SCHEMA: Final = re.compile(r'"#/components/schemas/([^"/]+)"')


def read_examples(
    document: Mapping[str, Any], path: str, method: str
) -> tuple[dict[str, Any], Any]:
    """Return the examples of an operation's parameters by name, and that of its body."""
    item = document["paths"][path]
    node = item[method.lower()]
    listed = [*item.get("parameters", ()), *node.get("parameters", ())]
    found: dict[str, Any] = {}
    for each in listed:
        parameter = _resolve(document, each)
        found |= dict(_examples(document, parameter, str(parameter["name"])))
    body = _resolve(document, node.get("requestBody", {})).get("content", {})
    media: Mapping[str, Any] = next(iter(body.values()), {})
    return found, dict(_examples(document, media, "body")).get("body")


def _examples(document: Mapping[str, Any], node: Mapping[str, Any], name: str) -> Any:
    """Yield the first example that a parameter or a body has, with a name."""
    schema = _resolve(document, node.get("schema", {}))
    named = [_resolve(document, each).get("value") for each in node.get("examples", {}).values()]
    listed = schema.get("examples", [])
    for found in (*named, node.get("example"), schema.get("example"), *listed):
        if found is not None:
            yield name, found
            return


def make_arguments(
    schema: Mapping[str, Any], parameters: Mapping[str, Any], body: Any
) -> dict[str, Any]:
    """Return what is needed of a tool's arguments, and all that there are examples of."""
    examples = {**(body if isinstance(body, Mapping) else {}), **parameters}
    needed = schema.get("required", ())
    arguments: dict[str, Any] = {}
    for name, each in schema.get("properties", {}).items():
        location, _, rest = name.partition("_")
        if name == "body" and body is not None and schema["properties"].keys().isdisjoint(examples):
            arguments[name] = body
        elif name in examples:
            arguments[name] = examples[name]
        elif location in _LOCATIONS and rest in examples:
            arguments[name] = examples[rest]
        elif name in needed:
            arguments[name] = make_value(each, schema)
    return arguments


def make_value(schema: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    """Return a value that a schema accepts, as far as a few keywords say."""
    schema = _resolve(root, schema)
    named = [schema[key] for key in ("const", "default") if key in schema]
    listed = [each for key in ("examples", "enum") for each in schema.get(key, ())]
    if named or listed:
        return [*named, *listed][0]
    if alternatives := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        # A number in a path is a text as well, and then more than one of them.
        texts = [each for each in alternatives if each.get("type") == "string"]
        return make_value([*texts, *alternatives][0], root, depth)
    kind = schema.get("type", "string")
    if kind == "object" and depth < _DEEPEST:
        return _make_object(schema, root, depth)
    if kind == "array":
        items = schema.get("items", {})
        return [
            make_value(items, root, depth + 1) for _ in range(max(1, schema.get("minItems", 1)))
        ]
    if kind == "string":
        return _make_text(schema)
    return schema.get("minimum", _VALUES[kind])


def _make_object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    properties = schema.get("properties", {})
    if {"text", "base64"} <= properties.keys():
        return {"filename": "a.txt", "text": "text"}
    needed = schema.get("required", ())
    return {name: make_value(properties.get(name, {}), root, depth + 1) for name in needed}


def _make_text(schema: Mapping[str, Any]) -> str:
    if "pattern" in schema:
        return next((each for each in _TEXTS if re.search(schema["pattern"], each)), _TEXTS[0])
    text = _FORMATS.get(schema.get("format", ""), _TEXTS[0])
    text = text.ljust(schema.get("minLength", 0), "x")
    return text[: schema.get("maxLength", len(text))]


def with_example_answers(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document whose responses have an example, made after their schema, in its place.

    Schemas that nothing refers to any more are left out.
    """
    copy: dict[str, Any] = json.loads(json.dumps(document))
    for operation in (each for item in copy["paths"].values() for each in item.values()):
        for response in operation["responses"].values():
            for media in response.get("content", {}).values():
                media["example"] = make_value(media.pop("schema", {}), document)
    components = copy.get("components", {})
    schemas = components.pop("schemas", {})
    needed, waiting = {}, [copy]
    while waiting:
        for name in _SCHEMA.findall(json.dumps(waiting.pop())):
            if name in schemas and name not in needed:
                needed[name] = schemas[name]
                waiting.append(schemas[name])
    return {**copy, "components": {**components, "schemas": needed}}


def _resolve(document: Mapping[str, Any], node: Any) -> Any:
    while isinstance(node, Mapping) and "$ref" in node:
        node = resolve_pointer(document, node["$ref"])
    return node
