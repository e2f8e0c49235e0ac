"""What a schema says of values in one direction: of arguments, or of results."""

from collections.abc import Mapping
from typing import Any, Literal

from mcp_mount.openapi.models import Models
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.patterns import is_ecmascript
from mcp_mount.openapi.simplify import unify_items

Direction = Literal["input", "output"]


class DirectedModels(Models):
    """The schemas of one document, in each direction."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(document)
        # By the identity of what was resolved, which `Models` keeps.
        self._directed: dict[tuple[int, Direction], Schema] = {}

    def resolve_directed(self, schema: object, direction: Direction) -> Schema:
        """Return what `resolve` does, without what clients cannot take.

        Left out are the properties of the other direction, and patterns that clients cannot
        compile. The result is for all who ask, and not to be changed.
        """
        resolved = self.resolve(schema)
        key = id(resolved), direction
        directed = self._directed.get(key)
        if directed is None:
            directed = self._direct(resolved, direction)
            if not self.work.is_done:
                self._directed[key] = directed
        return directed

    def _direct(self, resolved: Schema, direction: Direction) -> Schema:
        schema = dict(resolved)
        other_way = "readOnly" if direction == "input" else "writeOnly"
        properties = schema.get("properties", {})
        gone = {name for name, each in properties.items() if self._has_flag(each, other_way)}
        if gone:
            properties = {name: each for name, each in properties.items() if name not in gone}
            schema["properties"] = properties
        if "required" in schema:
            # Strict clients refuse a name that is no property.
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
        schema = unify_items(schema)
        if direction == "output" and "prefixItems" in schema:
            # Strict clients refuse a tuple without its length, which a response need not have.
            schema = {k: each for k, each in schema.items() if k not in {"prefixItems", "items"}}
        return schema

    def _has_flag(self, schema: object, flag: str) -> bool:
        if not isinstance(schema, Mapping) or self.work.is_done:
            return False
        if "$ref" in schema or "allOf" in schema:
            schema = self.resolve(schema)
        return schema.get(flag) is True
