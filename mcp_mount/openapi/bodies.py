"""Request bodies and responses of an operation, by media type."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_mount.openapi.media import FORM, MULTIPART, essence_of, is_any, is_json, rank_media_type
from mcp_mount.openapi.nodes import (
    Document,
    Schema,
    expect_mapping,
    get_content,
    get_mapping,
    get_schema,
    get_text,
    resolve,
    within,
)
from mcp_mount.openapi.parameters import STYLES


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one field of a form is written (OpenAPI 3.1 §4.8.15); empty where not documented.

    `media_type` is that of a multipart part; `style` and `explode` are a query parameter's.
    """

    media_type: str = ""
    style: str = ""
    explode: bool = True


@dataclass(frozen=True, slots=True)
class Body:
    """The request body, in the one media type chosen to send it.

    `is_optional` is set where the document says so. One that says nothing is optional by OpenAPI
    3.1 §4.8.13.1 (`required` is False), although most authors mean a body that is needed.
    """

    media_type: str
    schema: Schema
    required: bool = False
    is_optional: bool = False
    description: str = ""
    encodings: Mapping[str, Encoding] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Media:
    """One representation of a response; `item_schema` is that of a stream's items."""

    media_type: str
    schema: Schema | None = None
    item_schema: Schema | None = None


def read_body(document: Document, node: Mapping[str, Any]) -> Body | None:
    """Read an operation's request body, in the media type that a model writes best."""
    if not get_mapping(node, "requestBody"):
        return None
    with within("the request body"):
        body = resolve(document, node["requestBody"])
        content = get_content(document, body)
        if not content:
            return None
        media_type = min(content, key=rank_media_type)
        media = content[media_type]
        schema = get_schema(media)
        return Body(
            media_type=_concrete_type(media_type, schema),
            schema=schema,
            required=body.get("required") is True,
            # FastAPI says nothing of `required` where the body has a default.
            is_optional=body.get("required") is False or "default" in schema,
            description=get_text(body, "description"),
            encodings={
                name: _read_encoding(raw)
                for name, raw in get_mapping(media, "encoding").items()
                if raw is not None
            },
        )


def _concrete_type(media_type: str, schema: Schema) -> str:
    """Return the media type to send for a range of types, or for a form."""
    is_open = is_any(media_type) and schema and schema.get("type") != "string"
    if is_open or ("*" in media_type and is_json(media_type)):
        return "application/json"
    essence = essence_of(media_type)
    # Whoever writes the form sets its boundary or charset.
    return essence if essence in {FORM, MULTIPART} else media_type


def _read_encoding(raw: object) -> Encoding:
    node = expect_mapping(raw, "'encoding'")
    explode, style = node.get("explode"), get_text(node, "style")
    if style not in STYLES["query"]:
        style = "form" if isinstance(explode, bool) else ""
    media_type = get_text(node, "contentType").partition(",")[0].strip()
    return Encoding(
        media_type="" if "*" in media_type or not media_type.isprintable() else media_type,
        style=style,
        explode=explode if isinstance(explode, bool) else style in {"", "form"},
    )


def read_media(document: Document, raw: object, what: str) -> Iterator[Media]:
    """Read the representations of a response, which errors call `what`."""
    with within(what):
        response = resolve(document, expect_mapping(raw, "it"))
        for media_type, media in get_content(document, response).items():
            items = media.get("itemSchema")
            yield Media(
                media_type,
                get_schema(media) if media.get("schema") is not None else None,
                dict(items) if isinstance(items, Mapping) else None,
            )
