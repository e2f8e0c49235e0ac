"""An operation's results: their ``outputSchema``, and what they must conform to. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jsonschema_rs

from mcp_mount.openapi.bodies import Media
from mcp_mount.openapi.media import is_json
from mcp_mount.openapi.nodes import Schema, within
from mcp_mount.openapi.operations import Operation, successes
from mcp_mount.openapi.schemas import Schemas


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """How a tool's results are written: as its ``outputSchema`` says, where it has one.

    `wrapped` tells that the schema is of ``{"result": …}``; None that there is no schema, so that
    each value decides for itself. `is_items` tells that results are lists of events or lines.
    """

    wrapped: bool | None = None
    conforms: Callable[[object], bool] = field(default=lambda _: True)
    is_items: bool = False

    @property
    def is_declared(self) -> bool:
        """Whether results must have structured content."""
        return self.wrapped is not None

    def structured(self, value: object) -> dict[str, Any] | None:
        """Write a value as structured content, which is always an object; None if it cannot be."""
        if isinstance(value, dict) and not self.wrapped:
            return value
        # Inside an object that was documented otherwise, it would pass for that object.
        return None if self.wrapped is False else {"result": value}


def read_output_schema(
    operation: Operation, schemas: Schemas
) -> tuple[Schema | None, OutputSchema]:
    """Return the tool's ``outputSchema`` and how its results are written.

    There is one only where the operation documents a single success in a single JSON form: a
    schema that not every success keeps would make clients throw the others away.

    Raises:
        InvalidDocument: a schema refers to what is not there.
    """
    with within(str(operation)):
        documented = successes(operation)
        if len(documented) != 1 or len(documented[0]) != 1:
            return None, OutputSchema()
        media = documented[0][0]
        if media.item_schema is not None:
            schema = _wrap({"type": "array", "items": _item_schema(media, schemas)})
            schema["properties"]["ended"] = {"type": "string"}
            return schema, OutputSchema(wrapped=True, conforms=_validator(schema), is_items=True)
        if media.schema is None or not is_json(media.media_type):
            return None, OutputSchema()
        schema = schemas.publish(media.schema, "output")
        if not schema:
            return None, OutputSchema()
        is_object = schema.get("type") == "object" and "anyOf" not in schema
        schema = schema if is_object else _wrap(schema)
        return schema, OutputSchema(wrapped=not is_object, conforms=_validator(schema))


def _item_schema(media: Media, schemas: Schemas) -> Schema:
    item = schemas.resolve(media.item_schema or {})
    if media.media_type != "text/event-stream":
        return schemas.publish(item, "output")
    # OpenAPI 3.2 §4.14.4: an event is an object, whose data may be JSON in a string.
    data = schemas.resolve(item.get("properties", {}).get("data")).get("contentSchema", {})
    data = schemas.publish(data, "output")
    definitions = {"$defs": data.pop("$defs")} if "$defs" in data else {}
    text: Schema = {"type": "string"}
    properties = {"data": data, "event": text, "id": text, "retry": {"type": "integer"}}
    return {"type": "object", "properties": properties, **definitions}


def _wrap(schema: Schema) -> Schema:
    """Put what is no object into ``{"result": …}``; definitions stay at the root."""
    inner = dict(schema)
    definitions = inner.pop("$defs", None)
    if isinstance(items := inner.get("items"), dict) and "$defs" in items:
        inner["items"] = {key: value for key, value in items.items() if key != "$defs"}
        definitions = items["$defs"]
    wrapped: Schema = {"type": "object", "properties": {"result": inner}, "required": ["result"]}
    return {**wrapped, "$defs": definitions} if definitions else wrapped


def _validator(schema: Schema) -> Callable[[object], bool]:
    @cache
    def compiled() -> jsonschema_rs.Draft202012Validator:
        # On first use: most tools of a large API are never called.
        return jsonschema_rs.Draft202012Validator(schema)

    return lambda value: compiled().is_valid(value)
