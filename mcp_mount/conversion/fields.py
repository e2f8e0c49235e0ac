"""The argument ``fields``, by which a model asks for some members of an answer only. Pure.

A field is written as a path, ``"items.slug"``; what is in a list is meant in each of its items.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, Final

from mcp_mount.conversion.arguments import Arguments
from mcp_mount.conversion.values import parsed_or_text
from mcp_mount.errors import InvalidArguments
from mcp_mount.near import near_names
from mcp_mount.openapi.nodes import Schema

NAME: Final = "fields"
"""The name of the argument."""

_MOST_FIELDS: Final = 200
_LONGEST_PATH: Final = 300
_DEEPEST_PATH: Final = 16
"""Names of a path; nothing that people write nests deeper."""
_LONGEST_TEXT: Final = _MOST_FIELDS * (_LONGEST_PATH + 4)
"""Characters of a list that is written as text: quotes, a comma and a space for each path."""
_MOST_STEPS: Final = 50_000
"""Parts of the schema that the paths of one call lead through; two hundred of Stripe's have 1,300.
"""
_DEEPEST: Final = 4
_MOST_KNOWN: Final = 1_000
_LONGEST_LIST: Final = 300
_LONGEST_ECHO: Final = 64
_UNIONS: Final = ("anyOf", "oneOf", "allOf")

Tree = Mapping[str, "Tree | None"]
"""What is asked for, by name: a member's members, or None for all of it."""

_Members = tuple[dict[str, list[Schema]], bool]


def pick(value: object, tree: Tree | None) -> object:
    """Return what is asked for of a value, in the order in which it stands there."""
    if tree is None:
        return value
    if isinstance(value, list):
        return [pick(each, tree) for each in value]
    if isinstance(value, dict):
        return {name: pick(each, tree[name]) for name, each in value.items() if name in tree}
    return value


@dataclass(frozen=True)
class Fields:
    """The fields of one tool's answers, as its ``outputSchema`` says.

    `is_wrapped` tells that they stand inside of ``{"result": …}``.
    """

    schema: Schema
    is_wrapped: bool

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The paths of the fields, those of the first level first; none if there are no objects."""
        found = _paths(_Walk(self.schema), [self._root], "", 1)
        paths = ((path.count("."), path) for path in found)
        # Stable, so that those of one level stay in their order.
        return tuple(
            path for _, path in sorted(islice(paths, _MOST_KNOWN), key=lambda each: each[0])
        )

    def add_to(self, arguments: Arguments) -> Arguments:
        """Return the arguments of the tool with this one."""
        description = (
            f"Only these fields of the answer, e.g. {self._example}; all of them without it. "
            f"The answer has: {_listed(self.known)}."
        )
        argument = {
            "type": "array",
            "items": {"type": "string", "maxLength": _LONGEST_PATH},
            "maxItems": _MOST_FIELDS,
            "description": description,
        }
        properties = {**arguments.schema["properties"], NAME: argument}
        return replace(arguments, schema={**arguments.schema, "properties": properties})

    def take(self, arguments: Mapping[str, Any]) -> tuple[Mapping[str, Any], Tree | None]:
        """Return the arguments without this one, and what it asks for; None: everything.

        Raises:
            InvalidArguments: it is no list of fields, is too much, or there is no such field.
        """
        given = arguments.get(NAME)
        others = {name: each for name, each in arguments.items() if name != NAME}
        too_much = (
            f"{NAME!r} takes {_MOST_FIELDS} paths at the most, each of {_LONGEST_PATH} characters "
            f"and {_DEEPEST_PATH} names."
        )
        if isinstance(given, str):
            if len(given) > _LONGEST_TEXT:
                raise InvalidArguments(too_much)
            # Models write lists as text, in JSON or with commas.
            read = parsed_or_text(given)
            given = [each.strip() for each in given.split(",")] if isinstance(read, str) else read
        if not given and given in (None, []):
            return others, None
        if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
            raise InvalidArguments(f"{NAME!r} must be a list of paths such as {self._example}.")
        if len(given) > _MOST_FIELDS or any(map(_is_long, given)):
            raise InvalidArguments(too_much)
        tree: dict[str, Any] = {}
        walk = _Walk(self.schema)
        for path in given:
            _plant(tree, self._read(path, walk))
        return others, tree

    @property
    def _root(self) -> Schema:
        root: Schema = self.schema["properties"]["result"] if self.is_wrapped else self.schema
        return root

    @property
    def _example(self) -> str:
        leaf = next((path for path in self.known if "." in path), self.known[0])
        return f'["{leaf}"]'

    def _read(self, path: str, walk: "_Walk") -> list[str]:
        """Return the names of a path."""
        names = self._names(path, walk)
        if names is None and self.is_wrapped and path.startswith("result."):
            # As it stands in the structured content.
            names = self._names(path.removeprefix("result."), walk)
        if names is not None:
            return names
        near = near_names(path, self.known, n=3, cutoff=0.5)
        advice = f"Did you mean {' or '.join(map(repr, near))}?" if near else ""
        message = (
            f"Unknown field {path[:_LONGEST_ECHO]!r}. {advice} The answer has: "
            f"{_listed(self.known)}."
        )
        raise InvalidArguments(message.replace("  ", " "))

    def _names(self, path: str, walk: "_Walk") -> list[str] | None:
        nodes, names, rest = [self._root], list[str](), path.split(".") if path else []
        while rest:
            members, is_open = walk.members(nodes)
            if walk.steps > _MOST_STEPS:
                message = (
                    f"{NAME!r} leads through too many schemas: ask for fewer or shorter paths."
                )
                raise InvalidArguments(message)
            # A name may hold a dot itself.
            fitting = (each for each in _prefixes(rest) if ".".join(each) in members)
            found = next(fitting, None)
            if found is None:
                return [*names, *rest] if is_open else None
            name = ".".join(found)
            nodes, rest = members[name], rest[len(found) :]
            names.append(name)
        return names or None


class _Walk:
    """The members of a schema's parts, each found once for all paths that lead there.

    `steps` are the parts that were looked at. Where unions of schemas refer to each other, there
    are as many combinations of these as paths, and nothing is found once for two.
    """

    def __init__(self, schema: Schema) -> None:
        self._definitions = schema.get("$defs", {})
        self._known: dict[tuple[object, ...], _Members] = {}
        self.steps = 0

    def members(self, nodes: list[Schema]) -> _Members:
        """Return the schemas of the members of what these describe, and if there may be others."""
        self.steps += len(nodes)
        key = tuple(each.get("$ref", id(each)) for each in nodes)
        if key not in self._known:
            self._known[key] = self._find_members(nodes)
        return self._known[key]

    def _find_members(self, nodes: list[Schema]) -> _Members:
        members: dict[str, list[Schema]] = {}
        is_open, waiting, seen = False, [*nodes], set[str]()
        while waiting:
            node = waiting.pop()
            self.steps += 1
            if "$ref" in node:
                name = node["$ref"].rpartition("/")[2]
                if name not in seen:
                    seen.add(name)
                    waiting.append(self._definitions.get(name, {}))
                continue
            inner = [each for key in _UNIONS for each in node.get(key, ())]
            inner += [node["items"]] if isinstance(node.get("items"), dict) else []
            waiting += inner
            properties = node.get("properties", {})
            self.steps += len(properties)
            for name, each in properties.items():
                members.setdefault(name, []).append(each)
            is_value = node.get("type", "object") != "object" or {"enum", "const"} & node.keys()
            is_open = is_open or not (inner or is_value or properties)
        return members, is_open


def _paths(walk: _Walk, nodes: list[Schema], prefix: str, depth: int) -> Iterator[str]:
    for name, inner in walk.members(nodes)[0].items():
        yield f"{prefix}{name}"
        if depth < _DEEPEST:
            yield from _paths(walk, inner, f"{prefix}{name}.", depth + 1)


def _prefixes(names: list[str]) -> Iterator[list[str]]:
    """Yield what the names begin with, the longest first."""
    return (names[:count] for count in range(len(names), 0, -1))


def _is_long(path: str) -> bool:
    return len(path) > _LONGEST_PATH or path.count(".") >= _DEEPEST_PATH


def _plant(tree: dict[str, Any], names: list[str]) -> None:
    """Add a path to what is asked for; what is asked for as a whole stays so."""
    *outer, last = names
    for name in outer:
        branch = tree.setdefault(name, {})
        if branch is None:
            return
        tree = branch
    tree[last] = None


def _listed(paths: tuple[str, ...]) -> str:
    """List paths, as many as are of use to a model."""
    text = ", ".join(paths)
    return text if len(text) <= _LONGEST_LIST else f"{text[:_LONGEST_LIST].rpartition(',')[0]}, …"
