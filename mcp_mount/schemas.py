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

from mcp_mount.combine import as_base, children_of, combined, discriminated
from mcp_mount.errors import InvalidDocument
from mcp_mount.nodes import Schema, is_3_0, pointed_to
from mcp_mount.patterns import is_ecmascript
from mcp_mount.simplify import one_kind_of_item, shortened, simplified
from mcp_mount.tidy import tidied

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
        self._has_siblings = not is_3_0(document)
        self._wholes: dict[tuple[str, bool], Schema] = {}
        self._recursive: dict[str, bool] = {}
        self._edges: dict[str, tuple[str, ...]] = {}
        self._children: Mapping[str, tuple[str, ...]] | None = None

    def resolve(self, schema: object) -> Schema:
        """Follow the schema's own reference, and write its ``allOf`` as one schema.

        What is no schema at all is ``{}``. A schema with a ``discriminator`` whose children name it
        in their ``allOf`` (OpenAPI 3.1 §4.8.24.2) is the union of them.

        Raises:
            InvalidDocument: there is no end to it, or it is not in the document.
        """
        return self._whole(schema, ())

    def _whole(
        self, schema: object, seen: tuple[str, ...], *, depth: int = 0, is_base: bool = False
    ) -> Schema:
        if depth > _DEEPEST:
            message = f"The OpenAPI document has a schema behind {depth} others, which is too deep."
            raise InvalidDocument(message)
        node = tidied(schema)
        parts: list[Schema] = []
        if (pointer := node.pop("$ref", None)) is not None:
            target = self._target(pointer, seen, depth=depth + 1, is_base=is_base)
            if not self._has_siblings or not node:
                return target
            parts.append(target)
        if "allOf" in node:
            inner = node.pop("allOf")
            # One alone is the way to write something beside a reference.
            inherits = len(inner) > 1 or "properties" in node
            is_base = is_base or inherits
            wholes = (self._whole(each, seen, depth=depth + 1, is_base=is_base) for each in inner)
            parts += map(as_base, wholes) if inherits else wholes
        return combined([*parts, node]) if parts else node

    def _target(self, pointer: str, seen: tuple[str, ...], *, depth: int, is_base: bool) -> Schema:
        if pointer in seen:
            message = f"The OpenAPI document has a schema that is only itself: {pointer!r}."
            raise InvalidDocument(message)
        if (pointer, is_base) not in self._wholes:
            found = pointed_to(self._document, pointer)
            whole = self._whole(found, (*seen, pointer), depth=depth, is_base=is_base)
            if "discriminator" in whole and not is_base:
                whole = self._as_union(pointer, whole)
            self._wholes[pointer, is_base] = whole
        return self._wholes[pointer, is_base]

    def _as_union(self, pointer: str, parent: Schema) -> Schema:
        """Write a parent as the union of its children, where it does not name them itself."""
        if {"anyOf", "oneOf"} & parent.keys():
            return parent
        if self._children is None:
            self._children = children_of(self._document)
        named = discriminated(self._document, parent["discriminator"])
        children = [*dict.fromkeys([*named, *self._children.get(pointer, ())])]
        if not children:
            return parent
        options = [as_base(parent) if each == pointer else {"$ref": each} for each in children]
        kept = ("description", "discriminator", "nullable", "deprecated", "readOnly", "writeOnly")
        return {**{key: parent[key] for key in kept if key in parent}, "anyOf": options}

    def values(self, discriminator: Mapping[str, Any], pointer: str) -> list[str]:
        """Return what the property says of an alternative, e.g. ``["cat"]``."""
        named = discriminated(self._document, discriminator).get(pointer, [])
        return named or [pointer.rpartition("/")[2]]

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
            self._edges[pointer] = tuple(_references(self.resolve({"$ref": pointer})))
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
            return tidied(node)
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            return {}
        pointer = _pointer_of(node)
        resolved = self._passed_on(self._schemas.resolve(node))
        if pointer is not None and self._schemas.is_recursive(pointer):
            if levels > 0:
                return self._defined(pointer)
            self._is_cut = True
            resolved = {key: resolved[key] for key in ("type", "nullable") if key in resolved}
        elif levels == 0 and resolved.get("properties"):
            self._is_cut = True
            resolved = _without_properties(resolved, node)
        written = {
            key: each
            for key, value in resolved.items()
            if key in _KEYWORDS[self._direction]
            for each in [self._value(key, value, levels, depth)]
            if each is not None
        }
        if self._direction == "input" and "discriminator" in resolved:
            self._tell_apart(resolved, written)
        return simplified(
            written,
            nullable=resolved.get("nullable") is True,
            shows_values=self._direction == "input",
        )

    def _tell_apart(self, resolved: Schema, written: Schema) -> None:
        """Say in each alternative of a union how it is named (OpenAPI 3.1 §4.8.25)."""
        discriminator = resolved["discriminator"]
        name = discriminator["propertyName"]
        for key in ("anyOf", "oneOf"):
            for option, each in zip(resolved.get(key, ()), written.get(key, ()), strict=True):
                pointer, own = _pointer_of(option), each.get("properties", {}).get(name, {})
                if pointer is None or "properties" not in each or "const" in own:
                    continue
                values = self._schemas.values(discriminator, pointer)
                known = [value for value in values if value in own.get("enum", values)] or values
                said = {"const": known[0]} if len(known) == 1 else {"enum": known}
                kept = {key: own[key] for key in ("type", "description") if key in own}
                each["properties"] = {**each["properties"], name: {**kept, **said}}
                each["required"] = [*dict.fromkeys([*each.get("required", ()), name])]

    def _defined(self, pointer: str) -> Schema:
        name = _definition_name(pointer)
        self._pointers[name] = pointer
        return {"$ref": f"#/$defs/{name}"}

    def _passed_on(self, schema: Schema) -> Schema:
        """Leave out what only goes the other way, and what clients cannot compile."""
        schema = dict(schema)
        other_way = "readOnly" if self._direction == "input" else "writeOnly"
        properties = schema.get("properties", {})
        gone = {name for name, each in properties.items() if self._has(each, other_way)}
        if gone:
            properties = {name: each for name, each in properties.items() if name not in gone}
            schema["properties"] = properties
        if "required" in schema:
            # Strict clients do not take a name that is no property.
            schema["required"] = [name for name in schema["required"] if name in properties]
            if not schema["required"]:
                del schema["required"]
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

    def _has(self, schema: object, flag: str) -> bool:
        if not isinstance(schema, Mapping):
            return False
        if "$ref" in schema or "allOf" in schema:
            schema = self._schemas.resolve(schema)
        return schema.get(flag) is True

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


def _without_properties(schema: Schema, outer: Mapping[str, Any]) -> Schema:
    """Leave out what is inside a model, and what the model says of itself."""
    gone = {"properties", "additionalProperties", "required", "description"}
    kept = {key: value for key, value in schema.items() if key not in gone}
    return {**kept, "description": outer["description"]} if "description" in outer else kept


def _pointer_of(schema: object) -> str | None:
    """Return where a schema refers to, also where an ``allOf`` of one stands around it."""
    if not isinstance(schema, Mapping):
        return None
    parts = schema.get("allOf")
    if isinstance(parts, list) and len(parts) == 1 and "properties" not in schema:
        return _pointer_of(parts[0])
    pointer = schema.get("$ref")
    return pointer if isinstance(pointer, str) else None


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
