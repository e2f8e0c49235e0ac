"""Follows the references of a document's schemas, and merges their ``allOf``."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mcp_mount.errors import InvalidDocument
from mcp_mount.openapi.combine import find_children, merge, read_discriminator, without_children
from mcp_mount.openapi.nodes import Schema, is_3_0, resolve_pointer
from mcp_mount.openapi.tidy import LISTS, MAPS, SINGLES, tidy
from mcp_mount.openapi.work import Work

# Deeper than any real model, and far from the end of Python's stack.
MAX_DEPTH = 60


class Models:
    """The schemas of one document, resolved once each."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._has_siblings = not is_3_0(document)
        self._resolved: dict[tuple[str, bool], Schema] = {}
        self.work = Work(document)
        # By identity, which stays its own because the schema is kept.
        self._known: dict[int, tuple[object, Schema]] = {}
        self._recursive: dict[str, bool] = {}
        self._edges: dict[str, tuple[str, ...]] = {}
        self._children: Mapping[str, list[str]] | None = None
        # By the identity of the discriminator, which is kept as well.
        self._named: dict[int, tuple[object, Mapping[str, list[str]]]] = {}

    def resolve(self, schema: object) -> Schema:
        """Return a schema without ``$ref`` and ``allOf`` of its own; inner ones are as before.

        Anything but a schema is ``{}``. A parent with a ``discriminator`` whose children name it in
        their ``allOf`` (OpenAPI 3.1 §4.8.24.2) is the union of these children.

        Raises:
            InvalidDocument: a reference leads to itself, too deep, or out of the document.
        """
        known = self._known.get(id(schema))
        if known is None:
            known = self._known[id(schema)] = schema, self._resolve(schema, ())
        return known[1]

    def _read(self, schema: object) -> Schema:
        """Return a schema as it is written; each one that is resolved is read here, and only here.

        Overridden where a document is not to be trusted.
        """
        return tidy(schema)

    def _resolve(
        self, schema: object, seen: tuple[str, ...], *, depth: int = 0, is_base: bool = False
    ) -> Schema:
        if depth > MAX_DEPTH:
            message = f"The OpenAPI document has a schema behind {depth} others, which is too deep."
            raise InvalidDocument(message)
        node = self._read(schema)
        parts: list[Schema] = []
        if (pointer := node.pop("$ref", None)) is not None:
            target = self._resolve_pointer(pointer, seen, depth=depth + 1, is_base=is_base)
            if not self._has_siblings or not node:
                return target
            parts.append(target)
        if "allOf" in node:
            inner = node.pop("allOf")
            # An `allOf` of one is how OpenAPI 3.0 writes a description beside a reference.
            inherits = len(inner) > 1 or "properties" in node
            is_base = is_base or inherits
            resolved = [
                self._resolve(each, seen, depth=depth + 1, is_base=is_base) for each in inner
            ]
            parts += map(without_children, resolved) if inherits else resolved
        if not parts:
            return node
        return merge([*parts, node]) if self.work.spend_merge(parts) else {}

    def _resolve_pointer(
        self, pointer: str, seen: tuple[str, ...], *, depth: int, is_base: bool
    ) -> Schema:
        if pointer in seen:
            message = f"The OpenAPI document has a schema that is only itself: {pointer!r}."
            raise InvalidDocument(message)
        if (pointer, is_base) not in self._resolved:
            target = resolve_pointer(self._document, pointer)
            schema = self._resolve(target, (*seen, pointer), depth=depth, is_base=is_base)
            if "discriminator" in schema and not is_base:
                schema = self._as_union(pointer, schema)
            self._resolved[pointer, is_base] = schema
        return self._resolved[pointer, is_base]

    def _as_union(self, pointer: str, parent: Schema) -> Schema:
        """Return a parent as the union of its children, unless it lists them itself."""
        if {"anyOf", "oneOf"} & parent.keys():
            return parent
        if not self.work.can_follow:
            self.work.unfinished += 1
            return {}
        if self._children is None:
            self._children = find_children(self._document)
        named = self._read_discriminator(parent["discriminator"])
        family, known = [pointer], {pointer}
        for each in family:
            added = [child for child in self._children.get(each, ()) if child not in known]
            family += added
            known.update(added)
        children = dict.fromkeys([*named, *family[1:]])
        self.work.spend_references(len(children))
        if not children:
            return parent
        kept = ("description", "discriminator", "nullable", "deprecated", "readOnly", "writeOnly")
        return {
            **{key: parent[key] for key in kept if key in parent},
            "anyOf": [
                without_children(parent) if each == pointer else {"$ref": each} for each in children
            ],
        }

    def discriminator_values(self, discriminator: Mapping[str, Any], pointer: str) -> list[str]:
        """Return the values with which the property names an alternative, e.g. ``["cat"]``."""
        named = self._read_discriminator(discriminator).get(pointer, [])
        return named or [pointer.rpartition("/")[2]]

    def _read_discriminator(self, discriminator: Mapping[str, Any]) -> Mapping[str, list[str]]:
        known = self._named.get(id(discriminator))
        if known is None:
            named = read_discriminator(self._document, discriminator)
            known = self._named[id(discriminator)] = discriminator, named
        return known[1]

    def is_recursive(self, pointer: str) -> bool:
        """Whether the target of a reference leads back to itself."""
        if pointer not in self._recursive:
            self._find_recursive(pointer)
        return self._recursive[pointer]

    def _find_recursive(self, start: str) -> None:
        """Settle it for all that a reference leads to, each of which is looked at once.

        Those that lead to each other are the strongly connected components (Tarjan's algorithm).
        """
        order, lowest = {start: 0}, {start: 0}
        open_ones = [start]
        path = [(start, iter(self._targets_of(start)))]
        while path:
            pointer, targets = path[-1]
            following = next((each for each in targets if each not in self._recursive), None)
            if following is None:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[pointer])
                if lowest[pointer] == order[pointer]:
                    component = [open_ones.pop()]
                    while component[-1] != pointer:
                        component.append(open_ones.pop())
                    for each in component:
                        is_own_target = each in self._targets_of(each)
                        self._recursive[each] = len(component) > 1 or is_own_target
            elif following in order:
                lowest[pointer] = min(lowest[pointer], order[following])
            else:
                order[following] = lowest[following] = len(order)
                open_ones.append(following)
                path.append((following, iter(self._targets_of(following))))

    def _targets_of(self, pointer: str) -> tuple[str, ...]:
        if pointer not in self._edges:
            # What is not looked through counts as recursive, and is written as far as that is.
            self._edges[pointer] = (pointer,)
            if self.work.can_follow:
                schema = self.resolve({"$ref": pointer})
                values = [*_values_in(schema)]
                self.work.spend_references(len(values))
                self._edges[pointer] = tuple(dict.fromkeys(_references_among(values)))
        return self._edges[pointer]


def pointer_of(schema: object) -> str | None:
    """Return the ``$ref`` of a schema, also from inside an ``allOf`` of one."""
    if not isinstance(schema, Mapping):
        return None
    parts = schema.get("allOf")
    if isinstance(parts, list) and len(parts) == 1 and "properties" not in schema:
        return pointer_of(parts[0])
    pointer = schema.get("$ref")
    return pointer if isinstance(pointer, str) else None


def find_references(schema: object) -> Iterator[str]:
    """Return the references in a schema; a ``$ref`` in an example or a default is a value."""
    return _references_among(_values_in(schema))


def _references_among(values: Iterable[object]) -> Iterator[str]:
    for each in values:
        if isinstance(each, Mapping) and isinstance(each.get("$ref"), str):
            yield each["$ref"]


def _values_in(schema: object) -> Iterator[object]:
    """Yield what stands in a schema where a schema is expected."""
    waiting = [schema]
    while waiting:
        current = waiting.pop()
        yield current
        for key, value in current.items() if isinstance(current, Mapping) else ():
            if key in MAPS and isinstance(value, Mapping):
                waiting.extend(value.values())
            elif key in LISTS and isinstance(value, list):
                waiting.extend(value)
            elif key in SINGLES:
                waiting.append(value)
