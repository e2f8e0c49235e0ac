"""Turns the schemas of an OpenAPI document into JSON Schema that every MCP client accepts. Pure.

References are inlined; ``$defs`` hold what is recursive. Only keywords that clients know are
published, nullable values become a ``type`` list, and boolean schemas become objects. What is
large is published down to the levels that fit: a model that needs more learns it from the API's
answer. Whatever is left out, a schema never refuses what the document's accepts.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from mcp_mount.errors import InvalidDocument
from mcp_mount.operations import Schema, resolve
from mcp_mount.patterns import is_ecmascript
from mcp_mount.simplify import one_kind_of_item, shortened, simplified

Direction = Literal["input", "output"]

# What one argument, or one result, may take of a model's context, in characters. Results are
# described for code, which has the API's own document; arguments are described for models.
_LONGEST: Mapping[Direction, int] = {"input": 3_000, "output": 1_500}
# What an argument says of itself, and what the properties inside it say.
_LONGEST_DESCRIPTION = 1_000
_LONGEST_INNER_DESCRIPTION = 200
# Deeper than any real model; a hand-written document can be deeper than Python's stack.
_DEEPEST = 60
# Even one level can explode, as a union of unions.
_MOST_NODES = 2_000

# JSON Schema 2020-12, as far as clients and the APIs of models know it. A keyword that is not here
# is left out, and the schema accepts more than before: each of these stands for itself.
_MAPS = frozenset({"properties", "patternProperties"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLES = frozenset({"items", "additionalProperties", "propertyNames"})
_CONTAINERS = _MAPS | _LISTS | _SINGLES
_KEYWORDS: Mapping[Direction, frozenset[str]] = {
    "input": _CONTAINERS
    | {
        *("type", "enum", "const", "description", "default", "deprecated", "format", "pattern"),
        *("minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("multipleOf", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
        *("required", "contentMediaType", "contentEncoding"),
    },
    # An answer may lack or exceed the rest, and be what the API gives over REST: FastAPI's
    # `response_model_exclude_none` and its like leave out required properties.
    "output": (_CONTAINERS - {"additionalProperties", "prefixItems"}) | {"type", "enum", "const"},
}


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
            direction: ``"input"`` bounds each property by itself, since each is an argument;
                ``"output"`` also drops what would make an honest answer invalid.
        """
        return _Writer(self, direction).publish(schema)

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

    def _leads_to(self, pointer: str) -> tuple[str, ...]:
        if pointer not in self._edges:
            target = resolve(self._document, {"$ref": pointer})
            self._edges[pointer] = tuple(_references(target))
        return self._edges[pointer]


class _Writer:
    """Writes one schema and the definitions that it needs.

    A class because it knows, of the writing it is at, how much there is and what was left out.
    """

    def __init__(self, schemas: Schemas, direction: Direction) -> None:
        self._schemas = schemas
        self._direction = direction
        self._pointers: dict[str, str] = {}
        self._nodes = 0
        self._is_cut = False
        self._longest_inside = 0

    def publish(self, schema: Schema) -> Schema:
        root = self._passed_on(self._schemas.resolve(schema))
        is_united = bool({"anyOf", "oneOf", "allOf"} & root.keys())
        if self._direction == "input" and root.get("properties") and not is_united:
            arguments = root.pop("properties")
            published = self._fitting(root)
            published["properties"] = {
                name: self._fitting(each) for name, each in arguments.items()
            }
        else:
            published = self._fitting(root)
        definitions: dict[str, Schema] = {}
        waiting = [*_references(published)]
        while waiting:
            name = _definition_name(waiting.pop())
            if name not in definitions:
                # Without its `$ref` the target is written like any other schema.
                target = self._schemas.resolve({"$ref": self._pointers[name]})
                definitions[name] = self._fitting(target, depth=1)
                waiting.extend(_references(definitions[name]))
        return {**published, "$defs": definitions} if definitions else published

    def _fitting(self, node: object, depth: int = 0) -> Schema:
        """Write as many levels of a schema as fit; at least one, if need be without words."""
        fitting: Schema | None = None
        for levels in range(1, _DEEPEST):
            deeper = self._attempt(node, levels, depth, _LONGEST_INNER_DESCRIPTION)
            if len(json.dumps(deeper, default=str)) > _LONGEST[self._direction]:
                break
            fitting = deeper
            if not self._is_cut:
                break
        return self._attempt(node, 1, depth, 0) if fitting is None else fitting

    def _attempt(self, node: object, levels: int, depth: int, longest_inside: int) -> Schema:
        self._nodes, self._is_cut, self._longest_inside = 0, False, longest_inside
        return self._write(node, levels, depth)

    def _write(self, node: object, levels: int, depth: int) -> Schema:
        self._nodes += 1
        if not isinstance(node, Mapping):
            return {"not": {}} if node is False else {}
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            return {}
        node = _unwrapped(dict(node))
        pointer = node.get("$ref")
        resolved = self._passed_on(self._schemas.resolve(node))
        if isinstance(pointer, str) and self._schemas.is_recursive(pointer):
            if levels > 0:
                return self._defined(pointer)
            self._is_cut = True
            resolved = {key: resolved[key] for key in ("type", "nullable") if key in resolved}
        elif levels == 0 and resolved.get("properties"):
            self._is_cut = True
            resolved = _without_properties(resolved, node)
        return simplified(
            {
                key: written
                for key, value in resolved.items()
                if key in _KEYWORDS[self._direction]
                for written in [self._value(key, value, levels, depth)]
                if written is not None
            },
            nullable=resolved.get("nullable") is True,
            shows_values=self._direction == "input",
        )

    def _defined(self, pointer: str) -> Schema:
        name = _definition_name(pointer)
        self._pointers[name] = pointer
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
        schema = one_kind_of_item(schema)
        if self._direction == "output" and "prefixItems" in schema:
            # Strict clients take a tuple only with its length, which an answer need not have.
            schema = {k: each for k, each in schema.items() if k not in {"prefixItems", "items"}}
        return schema

    def _value(self, key: str, value: Any, levels: int, depth: int) -> Any:
        if key == "additionalProperties" and isinstance(value, bool):
            return None if value else False
        if key in _MAPS and isinstance(value, Mapping):
            # A level is what a model has; lists, mappings and unions of it are of the same level.
            inside = levels - 1 if key == "properties" else levels
            return {name: self._write(each, inside, depth + 1) for name, each in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [self._write(each, levels, depth + 1) for each in value]
        if key in _SINGLES:
            return self._write(value, levels, depth + 1)
        if key == "description":
            longest = self._longest_inside if depth else _LONGEST_DESCRIPTION
            return shortened(value, longest) if longest and isinstance(value, str) else None
        return None if key == "default" and value is None else value


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


def _without_properties(schema: Schema, outer: Schema) -> Schema:
    """Leave out what is inside a model, and what the model says of itself."""
    gone = {"properties", "additionalProperties", "required", "description"}
    kept = {key: value for key, value in schema.items() if key not in gone}
    return {**kept, "description": outer["description"]} if "description" in outer else kept


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


def _references(schema: object) -> Iterator[str]:
    """Yield the references in a schema; a ``$ref`` in an example or a default is none."""
    waiting = [schema]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, Mapping):
            continue
        if isinstance(current.get("$ref"), str):
            yield current["$ref"]
        for key, value in current.items():
            if key in _MAPS and isinstance(value, Mapping):
                waiting.extend(value.values())
            elif key in _LISTS and isinstance(value, list):
                waiting.extend(value)
            elif key in _SINGLES:
                waiting.append(value)


def _definition_name(pointer: str) -> str:
    name = re.sub(r"^#/(components/schemas|[$]defs)/", "", pointer)
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
