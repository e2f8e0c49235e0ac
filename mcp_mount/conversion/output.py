"""An operation's results: their ``outputSchema``, and what they must conform to. No I/O."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress, islice
from operator import not_
from typing import Any, Literal

from mcp_mount.conversion.comparing import Comparison
from mcp_mount.conversion.deltas import UNKNOWN_FORM, Path, StreamForm
from mcp_mount.openapi.bodies import Media
from mcp_mount.openapi.media import is_json
from mcp_mount.openapi.nodes import Schema, within
from mcp_mount.openapi.operations import Operation, successes
from mcp_mount.openapi.schemas import Schemas

logger = logging.getLogger("mcp_mount")

# What a schema says of strings that are values, each of which stands for itself.
_NO_TEXT = frozenset({"format", "enum", "const", "pattern"})
# What an object's schema may have, so that ``{}`` conforms to it.
_UNCONDITIONAL = frozenset({"type", "properties", "$defs"})

# So deep, and among so many values beside each other, the place is looked for that the log names.
_DEEPEST_PLACE = 8
_MOST_COMPARED = 1_000
_LONGEST_NAMED = 64
# Kinds of what strays, each of which the log names once.
_MOST_KINDS = 10


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """How a tool's results are written: as its ``outputSchema`` says, where it has one.

    `wrapped` tells that the schema is of ``{"result": …}``; None that there is no schema, so that
    each value decides for itself. `are_items` tells that it is of a stream of events or lines, and
    `stream` where their text is. `operation` is for the log.
    """

    wrapped: bool | None = None
    comparison: Comparison | None = None
    stream: StreamForm = UNKNOWN_FORM
    are_items: bool = False
    operation: str = ""
    _logged: set[str] = field(default_factory=set, compare=False)

    @property
    def is_declared(self) -> bool:
        """Whether results must have structured content."""
        return self.wrapped is not None

    def conforms(self, content: object) -> bool:
        """Whether structured content is as the schema says."""
        return self.comparison is None or self.comparison.is_valid(content)

    def wrap(self, value: object) -> dict[str, Any] | None:
        """Write a value as structured content, which is always an object; None if it cannot be."""
        if isinstance(value, dict) and not self.wrapped:
            return value
        # Inside an object that was documented otherwise, it would pass for that object.
        return None if self.wrapped is False else {"result": value}

    def fit(self, value: object) -> dict[str, Any]:
        """Write a value that strays from the schema as structured content that conforms.

        What conforms is where it is documented; the rest is ``undocumented``, so that a client that
        shows its model nothing but the structure shows it as well.
        """
        content: dict[str, Any] = {}
        rest = value
        if self.wrapped and isinstance(value, list):
            is_fitting = [self.conforms({"result": [each]}) for each in value]
            if any(is_fitting):
                content = {"result": [*compress(value, is_fitting)]}
                rest = [*compress(value, map(not_, is_fitting))]
        elif isinstance(value, dict) and not self.wrapped:
            content = {name: each for name, each in value.items() if self.conforms({name: each})}
            rest = {name: each for name, each in value.items() if name not in content}
        whole = {**content, "undocumented": rest}
        return next((each for each in (whole, content) if self.conforms(each)), {})

    def log_stray(self, kind: str, what: Callable[[], str]) -> None:
        """Warn, once for each kind, of a success that is not what its operation documents."""
        if kind not in self._logged and len(self._logged) < _MOST_KINDS:
            self._logged.add(kind)
            logger.warning(
                "%s answered %s, which is not what it documents. What conforms to the tool's "
                "outputSchema is in the structured content, the rest beside it.",
                *(self.operation, what()),
            )

    def stray_place(self, content: object) -> str:
        """Return where structured content first strays from the schema, e.g. ``"/items/0/id"``.

        What a validator tells of an error takes twice as long with each level of a recursive union:
        so each value is compared by itself, with all beside it left out, which `read_output_schema`
        makes a question that can be asked.
        """
        within, rest = list[str | int](), content
        while len(within) < _DEEPEST_PLACE:
            listed = enumerate(rest if isinstance(rest, list) else ())
            children = rest.items() if isinstance(rest, dict) else listed
            for key, each in islice(children, _MOST_COMPARED):
                if not self.conforms(_alone([*within, key], each)):
                    within, rest = [*within, key], each
                    break
            else:
                break
        return "".join(f"/{str(key)[:_LONGEST_NAMED]}" for key in within)


def _alone(path: Sequence[str | int], value: object) -> object:
    """Return a value where it stands, without what is beside it."""
    for key in reversed(path):
        value = [value] if isinstance(key, int) else {key: value}
    return value


def read_output_schema(
    operation: Operation, schemas: Schemas, text: Path | Literal[False] | None = None
) -> tuple[Schema | None, OutputSchema]:
    """Return the tool's ``outputSchema`` and how its results are written.

    `text` is what a mark says of a stream; see `StreamForm`.

    There is one only where the operation documents a single success in a single JSON form: a
    schema that not every success keeps would make clients throw the others away. For the same
    reason ``{}`` conforms to each, and so does any object with other properties.

    Raises:
        InvalidDocument: a schema refers to what is not there.
    """
    schemas.work.begin_tool()
    with within(str(operation)):
        medias, stream = successes(operation), StreamForm(text=text)
        if len(medias) != 1 or len(medias[0]) != 1:
            return None, OutputSchema(stream=stream)
        (media,) = medias[0]
        if media.item_schema is not None:
            item, stream = _item_schema(media, schemas, stream)
            schema = _wrap({"type": "array", "items": item})
            if stream.text is not False and (stream.text is not None or stream.has_text):
                schema["properties"]["text"] = {"type": "string"}
            schema["properties"]["ended"] = {"type": "string"}
            wrapped = True
        else:
            is_value = media.schema is not None and is_json(media.media_type)
            schema = schemas.publish(media.schema or {}, "output") if is_value else {}
            wrapped = schema.get("type") != "object" or "anyOf" in schema
            if not schema:
                return None, OutputSchema(stream=stream)
            plain = {key: each for key, each in schema.items() if key in _UNCONDITIONAL}
            schema = _wrap(schema) if wrapped else plain
        return schema, OutputSchema(
            wrapped=wrapped,
            comparison=Comparison(schema),
            stream=stream,
            are_items=media.item_schema is not None,
            operation=str(operation),
        )


def _item_schema(media: Media, schemas: Schemas, form: StreamForm) -> tuple[Schema, StreamForm]:
    """Return the schema of a stream's items, and what it says of where their text is."""
    item = schemas.resolve(media.item_schema or {})
    if media.media_type != "text/event-stream":
        return schemas.publish(item, "output"), replace(form, has_text=False)
    # OpenAPI 3.2 §4.14.4: an event is an object, whose data may be JSON in a string.
    documented = schemas.resolve(item.get("properties", {}).get("data"))
    content = schemas.resolve(documented.get("contentSchema", {}))
    data = schemas.publish(content, "output")
    definitions = {"$defs": data.pop("$defs")} if "$defs" in data else {}
    text: Schema = {"type": "string"}
    properties = {"data": data, "event": text, "id": text, "retry": {"type": "integer"}}
    event = {"type": "object", "properties": properties, **definitions}
    has_json_data = "contentSchema" in documented
    has_text = _is_text(content if has_json_data else documented)
    return event, replace(form, has_json_data=has_json_data, has_text=has_text)


def _is_text(schema: Schema) -> bool:
    """Whether a string that a schema describes may be a piece of a text; a date is none."""
    kind = schema.get("type", "string")
    return kind == "string" and schema.keys().isdisjoint(_NO_TEXT) and "anyOf" not in schema


def _wrap(schema: Schema) -> Schema:
    """Put what is no object into ``{"result": …}``; definitions stay at the root."""
    inner = dict(schema)
    definitions = inner.pop("$defs", None)
    if isinstance(items := inner.get("items"), dict) and "$defs" in items:
        inner["items"] = {key: value for key, value in items.items() if key != "$defs"}
        definitions = items["$defs"]
    wrapped: Schema = {"type": "object", "properties": {"result": inner}}
    return {**wrapped, "$defs": definitions} if definitions else wrapped
