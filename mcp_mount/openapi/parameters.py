"""The parameters of an operation: path, query, header and cookie values."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mcp_mount.errors import InvalidDocument
from mcp_mount.headers import OF_THE_CONNECTION
from mcp_mount.openapi.nodes import (
    Document,
    Schema,
    expect_mapping,
    get_content,
    get_list,
    get_schema,
    get_text,
    resolve,
    within,
)

Location = Literal["path", "query", "header", "cookie"]

LOCATIONS: tuple[Location, ...] = ("path", "query", "header", "cookie")
# OpenAPI 3.1 §4.8.12.1 ignores the first three, which follow from body, response and security. The
# others belong to the message and its connection, so no caller may choose them.
_IGNORED_HEADERS = OF_THE_CONNECTION | {
    *("accept", "content-type", "authorization", "host", "content-length")
}
# The default style of each location first (OpenAPI 3.1 §4.8.12.2; `cookie` is 3.2's).
STYLES: Mapping[Location, tuple[str, ...]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form", "cookie"),
}
_IN_BRACES = re.compile(r"\{([^{}]*)\}")
_PATH_PARAMETER = re.compile(r"\{([\w.-]+)\}")
_HEADER_NAME = re.compile(r"[\x21-\x39\x3b-\x7e\xa1-\xff]+")
_COOKIE_NAME = re.compile(r"[\x21-\x2b\x2d-\x3a\x3c\x3e-\x7e\xa1-\xff]+")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value outside of the body, e.g. ``item_id`` in ``/items/{item_id}``.

    `style`, `explode` and `allow_reserved` are OpenAPI's (§4.8.12.2). An empty style is FastAPI's
    list in a header, one line for each item, or a cookie whose style is not documented.
    `media_type` is set where ``content`` replaces ``schema``: the value is a serialized document,
    and with `is_whole` it is the entire query (``in: querystring``, OpenAPI 3.2 §4.12.1).
    """

    name: str
    location: Location
    schema: Schema
    required: bool = False
    description: str = ""
    style: str = "form"
    explode: bool = True
    media_type: str | None = None
    allow_reserved: bool = False
    deprecated: bool = False
    is_whole: bool = False


def read_parameters(
    document: Document, path: str, item: Mapping[str, Any], node: Mapping[str, Any]
) -> Iterator[Parameter]:
    """Read the parameters of a path item, and those of its operation, which replace them by name.

    Raises:
        InvalidDocument: one is malformed; the message names it.
    """
    declared = _merge(document, [*get_list(item, "parameters"), *get_list(node, "parameters")])
    in_path = {*_IN_BRACES.findall(path)}
    for name in _PATH_PARAMETER.findall(path):
        # Required by OpenAPI 3.1 §4.8.8.2, and sometimes forgotten.
        declared.setdefault(("path", name), {"schema": {"type": "string"}})
    for location in LOCATIONS:
        for (where, name), parameter in declared.items():
            is_ignored = (location == "header" and name.lower() in _IGNORED_HEADERS) or (
                location == "path" and name not in in_path
            )
            if where == location and not is_ignored:
                with within(f"the parameter {name!r}"):
                    yield _read_parameter(document, parameter, name, location)


def _merge(document: Document, nodes: Iterable[object]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return parameter nodes by location and name; the last of each wins."""
    merged: dict[tuple[str, str], Mapping[str, Any]] = {}
    for raw in nodes:
        if raw is None:
            continue
        parameter = resolve(document, expect_mapping(raw, "a parameter"))
        name, location = get_text(parameter, "name"), get_text(parameter, "in").lower()
        if location == "querystring":
            name, location = name or "query", "query"
        if location not in LOCATIONS:
            known = ", ".join(LOCATIONS)
            message = f"the parameter {name!r} is in {location!r}. It needs an 'in' of {known}."
            raise InvalidDocument(message)
        # Postman exports the empty rows of its forms.
        if name:
            merged[location, name] = parameter
    return merged


def _read_parameter(
    document: Document, node: Mapping[str, Any], name: str, location: Location
) -> Parameter:
    allowed = {"header": _HEADER_NAME, "cookie": _COOKIE_NAME}.get(location)
    if allowed and not allowed.fullmatch(name):
        raise InvalidDocument(f"no {location} can have this name.")
    media_type, schema = None, get_schema(node)
    for media_type, media in get_content(document, node).items():  # noqa: B007 - one entry
        schema = get_schema(media)
    if "example" in node:
        schema = {"example": node["example"], **schema}
    style = get_text(node, "style")
    if style not in STYLES[location]:
        # FastAPI reads one header line for each item of a list; its schemas all have a title.
        has_none = location == "cookie" or (location == "header" and "title" in schema)
        style = "" if has_none and "explode" not in node else STYLES[location][0]
    explode = node.get("explode")
    return Parameter(
        name=name,
        location=location,
        schema=schema,
        required=node.get("required") is True or location == "path",
        description=get_text(node, "description"),
        style=style,
        explode=explode if isinstance(explode, bool) else style == "form" or location == "cookie",
        media_type=media_type,
        allow_reserved=node.get("allowReserved") is True,
        deprecated=node.get("deprecated") is True,
        is_whole=media_type is not None and get_text(node, "in").lower() == "querystring",
    )
