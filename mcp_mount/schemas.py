"""Turns the schemas of an OpenAPI document into JSON Schema that every MCP client accepts. Pure.

References are inlined; ``$defs`` hold what is recursive, and what would make a schema explode.
OpenAPI's own keywords, titles and examples go, nullable values become a ``type`` list, and boolean
schemas become objects.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from mcp_mount.errors import InvalidDocument
from mcp_mount.operations import Schema, resolve
from mcp_mount.patterns import is_ecmascript

Direction = Literal["input", "output"]

# Beyond this many nodes, a schema keeps its references instead of repeating what they point to.
_INLINE_NODES = 2_000
# Deeper than any real model; a hand-written document can be deeper than Python's stack.
_DEEPEST = 60

_NOISE = frozenset(
    {
        *("title", "example", "examples", "xml", "externalDocs", "discriminator", "nullable"),
        *("$schema", "$id", "$comment", "$defs"),
    }
)
# What a result may lack or exceed while it is still the answer the API gives over REST: FastAPI's
# `response_model_exclude_none` and its like leave out required properties.
_NOISE_OF_RESULTS = _NOISE | {
    *("required", "default", "format", "pattern", "readOnly", "writeOnly", "deprecated"),
    *("minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("multipleOf", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    *("contentMediaType", "contentEncoding", "contentSchema", "additionalProperties"),
}
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLES = frozenset(
    {
        *("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then"),
        *("else", "contentSchema", "unevaluatedItems", "unevaluatedProperties"),
    }
)


class Schemas:
    """The schemas of one document, ready to be published with tools.

    A class because it remembers, for its one document, which references are recursive.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take the OpenAPI document that references point into."""
        self._document = document
        self._recursive: dict[str, bool] = {}
        self._edges: dict[str, tuple[str, ...]] = {}

    def resolve(self, schema: Schema) -> Schema:
        """Follow the schema's own reference, and unwrap an ``allOf`` of one.

        Raises:
            InvalidDocument: there is no end to it.
        """
        for _ in range(_DEEPEST):
            unwrapped = _unwrapped(schema)
            schema = _with_siblings(unwrapped, resolve(self._document, unwrapped))
            if _unwrapped(schema) is schema:
                return schema
        message = f"The OpenAPI document has a schema that is only itself: {schema!r}."
        raise InvalidDocument(message)

    def publish(self, schema: Schema, direction: Direction) -> Schema:
        """Return the schema with nothing outside itself; recursion goes to its ``$defs``.

        Args:
            schema: A schema of the document, or one that refers into it.
            direction: ``"output"`` also drops what would make an honest answer invalid.
        """
        writer = _Writer(self, direction, keep=frozenset())
        published = writer.publish(schema)
        if writer.nodes > _INLINE_NODES:
            writer = _Writer(self, direction, keep=self._shared(schema))
            published = writer.publish(schema)
        if published.keys() == {"$ref"}:
            published = writer.definitions[_definition_name(published["$ref"])]
        return with_definitions(published, writer.definitions)

    def is_recursive(self, pointer: str) -> bool:
        """Whether what a reference points to leads back to itself."""
        if pointer not in self._recursive:
            reached: set[str] = set()
            waiting = [*self._leads_to(pointer)]
            while waiting:
                following = waiting.pop()
                if following not in reached:
                    reached.add(following)
                    waiting.extend(self._leads_to(following))
            self._recursive[pointer] = pointer in reached
        return self._recursive[pointer]

    def _shared(self, schema: Schema) -> frozenset[str]:
        """Return the references that stand more than once in all that the schema leads to."""
        uses: Counter[str] = Counter()
        waiting = [*_references(schema)]
        while waiting:
            pointer = waiting.pop()
            uses[pointer] += 1
            if uses[pointer] == 1:
                waiting.extend(self._leads_to(pointer))
        return frozenset(pointer for pointer, count in uses.items() if count > 1)

    def _leads_to(self, pointer: str) -> tuple[str, ...]:
        if pointer not in self._edges:
            target = resolve(self._document, {"$ref": pointer})
            self._edges[pointer] = tuple(_references(target))
        return self._edges[pointer]


class _Writer:
    """Writes one schema; it collects the definitions that the schema needs."""

    def __init__(self, schemas: Schemas, direction: Direction, keep: frozenset[str]) -> None:
        self.definitions: dict[str, Schema] = {}
        self.nodes = 0
        self._schemas = schemas
        self._direction = direction
        self._noise = _NOISE if direction == "input" else _NOISE_OF_RESULTS
        self._keep = keep
        self._waiting: list[str] = []

    def publish(self, schema: Schema) -> Schema:
        published = self.write(schema)
        while self._waiting:
            pointer = self._waiting.pop()
            # Without its `$ref` the target is written like any other schema.
            target = self._schemas.resolve({"$ref": pointer})
            self.definitions[_definition_name(pointer)] = self.write(target)
        return published

    def write(self, node: object, depth: int = 0) -> Schema:
        self.nodes += 1
        if not isinstance(node, Mapping):
            return {"not": {}} if node is False else {}
        node = _unwrapped(dict(node))
        pointer = node.get("$ref")
        if isinstance(pointer, str) and (
            pointer in self._keep or self._schemas.is_recursive(pointer)
        ):
            return self._defined(pointer)
        if depth > _DEEPEST or self.nodes > 2 * _INLINE_NODES:
            # Past both limits this text is thrown away, or a value this deep may be anything.
            return {}
        resolved = self._passed_on(self._schemas.resolve(node))
        return _tidied(
            {
                key: written
                for key, value in resolved.items()
                if key not in self._noise and not key.startswith("x-")
                for written in [self._value(key, value, depth + 1)]
                if written is not None
            },
            nullable=resolved.get("nullable") is True,
        )

    def _defined(self, pointer: str) -> Schema:
        name = _definition_name(pointer)
        if name not in self.definitions:
            self.definitions[name] = {}
            self._waiting.append(pointer)
        return {"$ref": f"#/$defs/{name}"}

    def _passed_on(self, schema: Schema) -> Schema:
        """Leave out what only goes the other way, and what clients cannot compile."""
        schema = dict(schema)
        other_way = "readOnly" if self._direction == "input" else "writeOnly"
        if isinstance(properties := schema.get("properties"), Mapping):
            gone = {
                name
                for name, each in properties.items()
                if isinstance(each, Mapping) and each.get(other_way) is True
            }
            schema["properties"] = {
                name: each for name, each in properties.items() if name not in gone
            }
            schema["required"] = [name for name in schema.get("required", ()) if name not in gone]
        if not schema.get("required"):
            schema.pop("required", None)
        if isinstance(patterns := schema.get("patternProperties"), Mapping):
            known = {key: each for key, each in patterns.items() if is_ecmascript(key)}
            schema["patternProperties"] = known
            if len(known) < len(patterns):
                schema.pop("additionalProperties", None)
        if not is_ecmascript(schema.get("pattern", "")):
            del schema["pattern"]
        return schema

    def _value(self, key: str, value: Any, depth: int) -> Any:
        if key in _MAPS and isinstance(value, Mapping):
            return {name: self.write(schema, depth) for name, schema in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [self.write(schema, depth) for schema in value]
        if key in _SINGLES:
            if key == "additionalProperties" and isinstance(value, bool):
                return None if value else False
            return self.write(value, depth)
        if key == "default" and value is None:
            return None
        return value


def with_definitions(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return a published schema with those of the definitions that it needs as its ``$defs``."""
    needed: dict[str, Schema] = {}
    waiting = [*_references(schema)]
    while waiting:
        name = _definition_name(waiting.pop())
        if name not in needed:
            needed[name] = definitions[name]
            waiting.extend(_references(definitions[name]))
    return {**schema, "$defs": needed} if needed else schema


def without_null(schema: Schema) -> Schema:
    """Return a published schema without its ``null`` alternative, where another is left."""
    kind = schema.get("type")
    if isinstance(kind, list) and "null" in kind:
        rest = [item for item in kind if item != "null"]
        return {**schema, "type": rest[0] if len(rest) == 1 else rest}
    options = schema.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        others = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**rest[0], **others} if len(rest) == 1 else {**schema, "anyOf": rest}
    return schema


def _tidied(schema: Schema, *, nullable: bool) -> Schema:
    """Bring what OpenAPI 3.0 and Pydantic write into the one form that clients know."""
    if "oneOf" in schema and "anyOf" not in schema:
        schema["anyOf"] = schema.pop("oneOf")
    if nullable and "anyOf" in schema:
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    elif nullable and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        # OpenAPI 3.0 has a flag beside the bound, JSON Schema has the bound itself.
        if isinstance(flag := schema.get(key), bool):
            bound = schema.pop(key.replace("exclusiveM", "m"), None) if flag else None
            schema.pop(key)
            if bound is not None:
                schema[key] = bound
    schema = _merged_null(schema)
    kind = schema.get("type")
    if kind == "array" or (isinstance(kind, list) and "array" in kind):
        schema.setdefault("items", {})
    return schema


def _merged_null(schema: Schema) -> Schema:
    """Write ``anyOf: [{type: string}, {type: null}]`` as ``type: [string, null]``."""
    options = schema.get("anyOf")
    null = {"type": "null"}
    if not isinstance(options, list) or len(options) != 2 or null not in options:
        return schema
    other = options[0] if options[1] == null else options[1]
    kind = other.get("type")
    # `enum` and `const` would still refuse null.
    if not isinstance(kind, str) or kind == "null" or {"enum", "const"} & other.keys():
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**other, **rest, "type": [kind, "null"]}


def _with_siblings(schema: Schema, resolved: Schema) -> Schema:
    """Keep what stands beside a ``$ref``, as JSON Schema 2020-12 §8.2.3.1 does."""
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**resolved, **beside}


def _unwrapped(schema: Schema) -> Schema:
    """Take the one schema out of an ``allOf`` that older generators put around a ``$ref``."""
    parts = schema.get("allOf")
    if not isinstance(parts, list) or len(parts) != 1 or "properties" in schema:
        return schema
    return {**parts[0], **{key: value for key, value in schema.items() if key != "allOf"}}


def _references(node: object) -> Iterator[str]:
    waiting: list[object] = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Mapping):
            if isinstance(current.get("$ref"), str):
                yield current["$ref"]
            # `mapping` of a discriminator holds pointers as plain strings, not references.
            waiting.extend(value for key, value in current.items() if key != "discriminator")
        elif isinstance(current, list):
            waiting.extend(current)


def _definition_name(pointer: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", pointer.rpartition("/")[2])
