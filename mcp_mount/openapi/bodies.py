"""The bodies of an operation: what is sent, and what may come back. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_mount.openapi.media import FORM, MULTIPART, essence_of, is_any, is_json, preference
from mcp_mount.openapi.nodes import (
    Schema,
    as_mapping,
    content_in,
    mapping_in,
    resolve,
    schema_in,
    text_in,
    within,
)
from mcp_mount.openapi.parameters import STYLES


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one field of a form is written, where the document says so (OpenAPI 3.1 §4.8.15).

    `media_type` is that of a part of a multipart body; `style` and `explode` are a parameter's.
    """

    media_type: str = ""
    style: str = ""
    explode: bool = True


@dataclass(frozen=True, slots=True)
class Body:
    """The request body, in the one media type chosen to send it.

    `is_optional` tells that the document says so; most that say nothing of it mean a body that is
    needed, although OpenAPI does not (3.1 §4.8.13.1).
    """

    media_type: str
    schema: Schema
    required: bool = False
    is_optional: bool = False
    description: str = ""
    encodings: Mapping[str, Encoding] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Media:
    """One documented representation of a response; `item_schema` describes a stream's items."""

    media_type: str
    schema: Schema | None = None
    item_schema: Schema | None = None


def read_body(document: Mapping[str, Any], node: Mapping[str, Any]) -> Body | None:
    """Read the body of an operation, in the media type that a model writes best.

    Raises:
        InvalidDocument: it is none.
    """
    if not mapping_in(node, "requestBody"):
        return None
    with within("the request body"):
        body = resolve(document, node["requestBody"])
        content = content_in(document, body)
        if not content:
            return None
        media_type = min(content, key=preference)
        media = content[media_type]
        schema = schema_in(media)
        return Body(
            media_type=_sent_as(media_type, schema),
            schema=schema,
            required=body.get("required") is True,
            # FastAPI leaves it to the default that a route has for its body.
            is_optional=body.get("required") is False or "default" in schema,
            description=text_in(body, "description"),
            encodings={
                name: _encoding(raw)
                for name, raw in mapping_in(media, "encoding").items()
                if raw is not None
            },
        )


def _sent_as(media_type: str, schema: Schema) -> str:
    """Return the media type that is written for a range of types, or a form."""
    if "*" in media_type and is_json(media_type):
        return "application/json"
    if is_any(media_type) and schema and schema.get("type") != "string":
        return "application/json"
    essence = essence_of(media_type)
    # A form's boundary, or its charset, is for its writer to say.
    return essence if essence in {FORM, MULTIPART} else media_type


def _encoding(raw: object) -> Encoding:
    node = as_mapping(raw, "'encoding'")
    explode, style = node.get("explode"), text_in(node, "style")
    if style not in STYLES["query"]:
        style = "form" if isinstance(explode, bool) else ""
    media_type = text_in(node, "contentType").partition(",")[0].strip()
    return Encoding(
        media_type="" if "*" in media_type or not media_type.isprintable() else media_type,
        style=style,
        explode=explode if isinstance(explode, bool) else style in {"", "form"},
    )


def read_media(document: Mapping[str, Any], raw: object, what: str) -> Iterator[Media]:
    """Read the representations of a response; `what` says which it is.

    Raises:
        InvalidDocument: it is none.
    """
    with within(what):
        response = resolve(document, as_mapping(raw, "it"))
        for media_type, media in content_in(document, response).items():
            items = media.get("itemSchema")
            yield Media(
                media_type,
                schema_in(media) if media.get("schema") is not None else None,
                dict(items) if isinstance(items, Mapping) else None,
            )
