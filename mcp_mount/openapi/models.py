"""Follows the references of a document's schemas, and writes each as one schema. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from mcp_mount.errors import InvalidDocument
from mcp_mount.openapi.combine import as_base, children_of, combined, discriminated
from mcp_mount.openapi.nodes import Schema, is_3_0, pointed_to
from mcp_mount.openapi.tidy import tidied

# Deeper than any real model; a hand-written document can be deeper than Python's stack.
DEEPEST = 60

# The keywords whose values hold schemas.
MAPS = frozenset({"properties", "patternProperties"})
LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
SINGLES = frozenset({"items", "additionalProperties", "propertyNames"})


class Models:
    """The schemas of one document, each with what it refers to.

    A class because it remembers, for its one document, what was followed already.
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
        if depth > DEEPEST:
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
            self._edges[pointer] = tuple(references(self.resolve({"$ref": pointer})))
        return self._edges[pointer]


def pointer_of(schema: object) -> str | None:
    """Return where a schema refers to, also where an ``allOf`` of one stands around it."""
    if not isinstance(schema, Mapping):
        return None
    parts = schema.get("allOf")
    if isinstance(parts, list) and len(parts) == 1 and "properties" not in schema:
        return pointer_of(parts[0])
    pointer = schema.get("$ref")
    return pointer if isinstance(pointer, str) else None


def references(schema: object) -> Iterator[str]:
    """Yield the references in a schema; a ``$ref`` in an example or a default is none."""
    waiting = [schema]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, Mapping):
            continue
        if isinstance(current.get("$ref"), str):
            yield current["$ref"]
        for key, value in current.items():
            if key in MAPS and isinstance(value, Mapping):
                waiting.extend(value.values())
            elif key in LISTS and isinstance(value, list):
                waiting.extend(value)
            elif key in SINGLES:
                waiting.append(value)
