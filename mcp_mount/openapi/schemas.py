"""Publishes the schemas of an OpenAPI document as JSON Schema that every MCP client accepts.

References are inlined. What is recursive is in the ``$defs`` of a result; in an argument, where
some clients lose such references, it is written out twice. A large schema is published down to the
levels that fit: a model learns the rest from the API's answer to a wrong call. Whatever is left
out, a schema never refuses what the document's accepts.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from mcp_mount.openapi.directions import DirectedModels, Direction
from mcp_mount.openapi.models import MAX_DEPTH, find_references, pointer_of
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.portable import name_types, port
from mcp_mount.openapi.simplify import (
    describe_example,
    drop_null,
    shorten,
    simplify,
    without_properties,
)
from mcp_mount.openapi.sizes import fits
from mcp_mount.openapi.tidy import LISTS, MAPS, SINGLES, tidy

# Characters that one argument, or one result, may take of a model's context. Results have less:
# models read the results themselves.
_MAX_SIZE: Mapping[Direction, int] = {"input": 3_000, "output": 1_500}
# Characters of an argument's description, and of one inside of it.
_MAX_DESCRIPTION = 1_000
_MAX_INNER_DESCRIPTION = 200
# How often a recursive model is written inside of itself, to show a model of what it is made.
_MAX_UNROLLED = 2
# Even one level can explode, as a union of unions.
_MAX_NODES = 2_000

# JSON Schema 2020-12, as far as clients and the APIs of models know it. Leaving out any other
# keyword makes a schema accept more, since none of these depends on another one.
_CONTAINERS = MAPS | LISTS | SINGLES
_KEYWORDS: Mapping[Direction, frozenset[str]] = {
    "input": _CONTAINERS
    | {
        *("type", "enum", "const", "description", "default", "deprecated", "format", "pattern"),
        *("minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("multipleOf", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
        *("required", "contentMediaType", "contentEncoding"),
    },
    # Real responses often break the other rules: FastAPI's `response_model_exclude_none` and its
    # like leave out required properties. Regular expressions are left out because results are
    # compared with the schema here: compiling one can take seconds, in which nothing else runs.
    "output": (_CONTAINERS - {"additionalProperties", "patternProperties", "prefixItems"})
    | {"type", "enum", "const"},
}


class Schemas(DirectedModels):
    """The schemas of one document, ready to be published with tools."""

    def publish(self, schema: Schema, direction: Direction, *, keep_null: bool = True) -> Schema:
        """Return the schema with nothing outside of itself; recursion goes to its ``$defs``.

        Args:
            schema: A schema of the document, or one that refers into it.
            direction: ``"input"`` limits the size of each property by itself, since each is an
                argument; ``"output"`` also drops what would make an honest response invalid.
            keep_null: False where null says no more than leaving out a property that is optional
                and has no other default.
        """
        return _Writer(self, direction, keep_null=keep_null).publish(schema)


class _Writer:
    """Writes one schema and the definitions that it needs."""

    def __init__(self, schemas: Schemas, direction: Direction, *, keep_null: bool) -> None:
        self._models = schemas
        self._work = schemas.work
        self._direction = direction
        self._keep_null = keep_null
        self._pointers: dict[str, str] = {}
        self._above: list[str] = []
        self._nodes = 0
        self._is_cut = False
        self._is_tight = False

    def publish(self, schema: Schema) -> Schema:
        if (pointer := pointer_of(schema)) is not None:
            self._above.append(pointer)
        self._work.begin()
        root = {**self._models.resolve_directed(schema, self._direction)}
        is_union = bool({"anyOf", "oneOf", "allOf"} & root.keys())
        can_list = bool(root.get("properties")) and self._work.can_list(root)
        if self._direction == "input" and can_list and not is_union:
            arguments = root.pop("properties")
            nullable = root.pop("nullable", False)
            published = self._fit(root)
            published["properties"] = {name: self._fit(each) for name, each in arguments.items()}
            if "required" in root:
                published["required"] = root["required"]
            self._drop_nulls(published)
            name_types(published)
            published = simplify(published, nullable=nullable, shows_values=True)
        else:
            published = self._fit(root)
        self._work.spend_properties(published)
        definitions: dict[str, Schema] = {}
        waiting = [*find_references(published)]
        while waiting:
            name = _definition_name(waiting.pop())
            if name not in definitions:
                # Resolved first, so that it is not written as a reference to itself.
                target = self._models.resolve({"$ref": self._pointers[name]})
                definitions[name] = self._fit(target, depth=1)
                waiting.extend(find_references(definitions[name]))
        return {**published, "$defs": definitions} if definitions else published

    def _fit(self, node: object, depth: int = 0) -> Schema:
        """Write as many levels of a schema as fit; at least one, then as short as possible."""
        fitting: Schema | None = None
        fitting_size = 0
        for levels in range(1, MAX_DEPTH):
            deeper = self._attempt(node, levels, depth)
            size = self._size_of(deeper)
            if size > _MAX_SIZE[self._direction]:
                break
            fitting, fitting_size = deeper, size
            if not self._is_cut or self._work.is_done:
                break
        if fitting is None:
            fitting = self._attempt(node, 1, depth, tight=True)
            fitting_size = self._size_of(fitting)
        return fitting if self._work.spend_characters(fitting_size) else {}

    def _size_of(self, written: Schema) -> int:
        size = len(json.dumps(written, default=str))
        self._work.spend_text(size)
        return size

    def _attempt(self, node: object, levels: int, depth: int, *, tight: bool = False) -> Schema:
        self._nodes, self._is_cut, self._is_tight = 0, False, tight
        return self._write(node, levels, depth)

    def _write(self, node: object, levels: int, depth: int) -> Schema:  # noqa: C901 - one case each
        self._nodes += 1
        if not isinstance(node, Mapping):
            return tidy(node)
        if depth > MAX_DEPTH or self._nodes > _MAX_NODES or self._work.is_done:
            return {}
        pointer = pointer_of(node)
        resolved = self._models.resolve_directed(node, self._direction)
        self._work.spend(resolved)
        nullable = resolved.get("nullable") is True
        is_recursive = pointer is not None and self._models.is_recursive(pointer)
        if pointer is not None and is_recursive:
            if levels > 0 and self._direction == "output":
                # The definition itself says whether its target accepts null.
                nullable = nullable and "nullable" not in self._models.resolve({"$ref": pointer})
                name = _definition_name(pointer)
                self._pointers[name] = pointer
                return simplify({"$ref": f"#/$defs/{name}"}, nullable=nullable, shows_values=False)
            is_unrolled = self._above.count(pointer) >= _MAX_UNROLLED
            if levels == 0 or is_unrolled:
                self._is_cut = self._is_cut or not is_unrolled
                resolved = {"type": resolved["type"]} if "type" in resolved else {}
        elif levels == 0 and resolved.get("properties"):
            self._is_cut = True
            resolved = without_properties(resolved, node)
        if not self._work.can_list(resolved):
            resolved = without_properties(resolved, node)
        self._above += [pointer] if pointer is not None and is_recursive else []
        written = {
            key: each
            for key, value in resolved.items()
            if key in _KEYWORDS[self._direction]
            for each in [self._write_value(key, value, levels, depth)]
            if each is not None
        }
        if is_recursive:
            self._above.pop()
        self._drop_nulls(written)
        if self._direction == "input":
            self._name_alternatives(resolved, written)
            name_types(written)
            written |= {} if self._is_tight else describe_example(resolved)
        shows_values = self._direction == "input"
        simple = simplify(written, nullable=nullable, shows_values=shows_values)
        if self._direction == "input":
            return port(simple)
        # Most of what takes much space is a flat result with a hundred values that may be null.
        is_long = self._is_tight and depth > 0
        return {} if is_long and drop_null(simple) != simple else simple

    def _drop_nulls(self, written: Schema) -> None:
        required = frozenset(written.get("required", ()))
        for name, each in [] if self._keep_null else written.get("properties", {}).items():
            if name not in required and "default" not in each:
                written["properties"][name] = drop_null(each)

    def _name_alternatives(self, resolved: Schema, written: Schema) -> None:
        """Write the discriminator's value into each alternative (OpenAPI 3.1 §4.8.25)."""
        discriminator = resolved.get("discriminator", {})
        name = discriminator.get("propertyName")
        for key in ("anyOf", "oneOf") if name else ():
            for option, each in zip(resolved.get(key, ()), written.get(key, ()), strict=True):
                pointer, own = pointer_of(option), each.get("properties", {}).get(name, {})
                if pointer is None or "properties" not in each or "const" in own:
                    continue
                values = self._models.discriminator_values(discriminator, pointer)
                if not fits([name, values], _MAX_SIZE["input"]):
                    continue
                allowed = {each for each in own.get("enum", values) if isinstance(each, str)}
                known = [value for value in values if value in allowed] or values
                value = {"const": known[0]} if len(known) == 1 else {"enum": known}
                kept = {key: own[key] for key in ("type", "description") if key in own}
                each["properties"] = {**each["properties"], name: {**kept, **value}}
                each["required"] = [*dict.fromkeys([*each.get("required", ()), name])]

    def _write_value(self, key: str, value: Any, levels: int, depth: int) -> Any:
        if key == "additionalProperties" and isinstance(value, bool):
            return None if value else False
        if key in MAPS and isinstance(value, Mapping):
            # Lists, mappings and unions of a model are on its own level.
            inside = levels - 1 if key == "properties" else levels
            return {name: self._write(each, inside, depth + 1) for name, each in value.items()}
        if key in LISTS and isinstance(value, list):
            return [self._write(each, levels, depth + 1) for each in value]
        if key in SINGLES:
            return self._write(value, levels, depth + 1)
        if key == "description":
            if depth == 0:
                return shorten(value, _MAX_DESCRIPTION)
            return None if self._is_tight else shorten(value, _MAX_INNER_DESCRIPTION)
        return None if key == "default" and value is None else value


def _definition_name(pointer: str) -> str:
    name = re.sub(r"^#/(components/schemas|[$]defs)/", "", pointer)
    # AutoGen makes a Python class of each, and loses the whole list with a name that is none.
    return re.sub(r"\W|^(?=\d)", "_", name, flags=re.ASCII)
