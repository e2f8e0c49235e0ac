"""Turns the schemas of an OpenAPI document into JSON Schema that every MCP client accepts. Pure.

References are inlined; ``$defs`` hold what is recursive. Only keywords that clients know are
published, nullable values become a ``type`` list, and boolean schemas become objects. What is
large is published down to the levels that fit: a model that needs more learns it from the API's
answer. Whatever is left out, a schema never refuses what the document's accepts.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from mcp_mount.openapi.models import DEEPEST, LISTS, MAPS, SINGLES, Models, pointer_of, references
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.patterns import is_ecmascript
from mcp_mount.openapi.simplify import example_of, one_kind_of_item, shortened, simplified
from mcp_mount.openapi.tidy import tidied

Direction = Literal["input", "output"]

# What one argument, or one result, may take of a model's context, in characters. Results are
# described for code, which has the API's own document; arguments are described for models.
_LONGEST: Mapping[Direction, int] = {"input": 3_000, "output": 1_500}
# What an argument says of itself, and what the properties inside it say.
_LONGEST_DESCRIPTION = 1_000
_LONGEST_INNER_DESCRIPTION = 200
# Even one level can explode, as a union of unions.
_MOST_NODES = 2_000

# JSON Schema 2020-12, as far as clients and the APIs of models know it. A keyword that is not here
# is left out, and the schema accepts more than before: each of these stands for itself.
_CONTAINERS = MAPS | LISTS | SINGLES
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

    A class because it remembers, for its one document, what was followed already.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take the OpenAPI document that references point into."""
        self._models = Models(document)

    def resolve(self, schema: object) -> Schema:
        """Return the schema itself; see `Models.resolve`."""
        return self._models.resolve(schema)

    def publish(self, schema: Schema, direction: Direction) -> Schema:
        """Return the schema with nothing outside itself; recursion goes to its ``$defs``.

        Args:
            schema: A schema of the document, or one that refers into it.
            direction: ``"input"`` bounds each property by itself, since each is an argument;
                ``"output"`` also drops what would make an honest answer invalid.
        """
        return _Writer(self._models, direction).publish(schema)


class _Writer:
    """Writes one schema and the definitions that it needs.

    A class because it knows, of the writing it is at, how much there is and what was left out.
    """

    def __init__(self, models: Models, direction: Direction) -> None:
        self._models = models
        self._direction = direction
        self._pointers: dict[str, str] = {}
        self._nodes = 0
        self._is_cut = False
        self._longest_inside = 0

    def publish(self, schema: Schema) -> Schema:
        root = self._passed_on(self._models.resolve(schema))
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
        waiting = [*references(published)]
        while waiting:
            name = _definition_name(waiting.pop())
            if name not in definitions:
                # Without its `$ref` the target is written like any other schema.
                target = self._models.resolve({"$ref": self._pointers[name]})
                definitions[name] = self._fitting(target, depth=1)
                waiting.extend(references(definitions[name]))
        return {**published, "$defs": definitions} if definitions else published

    def _fitting(self, node: object, depth: int = 0) -> Schema:
        """Write as many levels of a schema as fit; at least one, if need be without words."""
        fitting: Schema | None = None
        for levels in range(1, DEEPEST):
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
        if depth > DEEPEST or self._nodes > _MOST_NODES:
            return {}
        pointer = pointer_of(node)
        resolved = self._passed_on(self._models.resolve(node))
        if pointer is not None and self._models.is_recursive(pointer):
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
        if self._direction == "input":
            self._tell_apart(resolved, written)
            written |= example_of(resolved) if self._longest_inside else {}
        return simplified(
            written,
            nullable=resolved.get("nullable") is True,
            shows_values=self._direction == "input",
        )

    def _tell_apart(self, resolved: Schema, written: Schema) -> None:
        """Say in each alternative of a union how it is named (OpenAPI 3.1 §4.8.25)."""
        discriminator = resolved.get("discriminator", {})
        name = discriminator.get("propertyName")
        for key in ("anyOf", "oneOf") if name else ():
            for option, each in zip(resolved.get(key, ()), written.get(key, ()), strict=True):
                pointer, own = pointer_of(option), each.get("properties", {}).get(name, {})
                if pointer is None or "properties" not in each or "const" in own:
                    continue
                values = self._models.values(discriminator, pointer)
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
            schema = self._models.resolve(schema)
        return schema.get(flag) is True

    def _value(self, key: str, value: Any, levels: int, depth: int) -> Any:
        if key == "additionalProperties" and isinstance(value, bool):
            return None if value else False
        if key in MAPS and isinstance(value, Mapping):
            # A level is what a model has; lists, mappings and unions of it are of the same level.
            inside = levels - 1 if key == "properties" else levels
            return {name: self._write(each, inside, depth + 1) for name, each in value.items()}
        if key in LISTS and isinstance(value, list):
            return [self._write(each, levels, depth + 1) for each in value]
        if key in SINGLES:
            return self._write(value, levels, depth + 1)
        if key == "description":
            longest = self._longest_inside if depth else _LONGEST_DESCRIPTION
            return shortened(value, longest) if longest and isinstance(value, str) else None
        return None if key == "default" and value is None else value


def with_definitions(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return a published schema with those of the definitions that it needs as its ``$defs``."""
    needed: dict[str, Schema] = {}
    waiting = [*references(schema)]
    while waiting:
        name = _definition_name(waiting.pop())
        if name not in needed:
            needed[name] = definitions[name]
            waiting.extend(references(definitions[name]))
    return {**schema, "$defs": needed} if needed else schema


def _without_properties(schema: Schema, outer: Mapping[str, Any]) -> Schema:
    """Leave out what is inside a model, and what the model says of itself."""
    gone = {"properties", "additionalProperties", "required", "description"}
    kept = {key: value for key, value in schema.items() if key not in gone}
    return {**kept, "description": outer["description"]} if "description" in outer else kept


def _definition_name(pointer: str) -> str:
    name = re.sub(r"^#/(components/schemas|[$]defs)/", "", pointer)
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)
