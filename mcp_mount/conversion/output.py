"""An operation's results: their ``outputSchema``, and the form that keeps it. Pure."""

from collections.abc import Callable
from functools import cache

import jsonschema_rs

from mcp_mount.conversion.content import OutputSchema
from mcp_mount.openapi.bodies import Media
from mcp_mount.openapi.media import is_json
from mcp_mount.openapi.nodes import Schema, within
from mcp_mount.openapi.operations import Operation, successes
from mcp_mount.openapi.schemas import Schemas


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
        return _shape(operation, schemas)


def _shape(operation: Operation, schemas: Schemas) -> tuple[Schema | None, OutputSchema]:
    documented = successes(operation)
    if len(documented) != 1 or len(documented[0]) != 1:
        return None, OutputSchema()
    media = documented[0][0]
    if media.item_schema is not None:
        item = _item_schema(media, schemas)
        schema = _wrapped({"type": "array", "items": item})
        schema["properties"]["ended"] = {"type": "string"}
        return schema, OutputSchema(wrapped=True, conforms=_validator(schema), is_items=True)
    if media.schema is None or not is_json(media.media_type):
        return None, OutputSchema()
    published = schemas.publish(media.schema, "output")
    if not published:
        return None, OutputSchema()
    is_object = published.get("type") == "object" and "anyOf" not in published
    schema = published if is_object else _wrapped(published)
    return schema, OutputSchema(wrapped=not is_object, conforms=_validator(schema))


def _item_schema(media: Media, schemas: Schemas) -> Schema:
    item = schemas.resolve(media.item_schema or {})
    if media.media_type != "text/event-stream":
        return schemas.publish(item, "output")
    # OpenAPI 3.2 §4.14.4: an event is an object, whose data may be JSON in a string.
    data = schemas.resolve(item.get("properties", {}).get("data")).get("contentSchema", {})
    published = schemas.publish(data, "output")
    event: Schema = {
        "type": "object",
        "properties": {
            "data": {key: value for key, value in published.items() if key != "$defs"},
            "event": {"type": "string"},
            "id": {"type": "string"},
            "retry": {"type": "integer"},
        },
    }
    return {**event, "$defs": published["$defs"]} if "$defs" in published else event


def _wrapped(schema: Schema) -> Schema:
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

    def conforms(value: object) -> bool:
        return compiled().is_valid(value)

    return conforms
