"""The parameters of an operation: what a request holds beside its body. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote_plus

from mcp_mount.errors import InvalidDocument
from mcp_mount.openapi.nodes import (
    Schema,
    as_mapping,
    content_in,
    list_in,
    resolve,
    schema_in,
    text_in,
    within,
)

Location = Literal["path", "query", "header", "cookie"]

LOCATIONS: tuple[Location, ...] = ("path", "query", "header", "cookie")
# OpenAPI 3.1 §4.8.12.1: the first three follow from body, response and security, and are no
# parameters. The others belong to the message and its connection, which nobody may choose.
_NEVER_PARAMETERS = frozenset(
    {
        *("accept", "content-type", "authorization"),
        *("host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade"),
    }
)
# The default of each place first (OpenAPI 3.1 §4.8.12.2; the style of cookies is 3.2's).
STYLES: Mapping[Location, tuple[str, ...]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form", "cookie"),
}
_NAMES_IN_PATH = re.compile(r"\{([\w.-]+)\}")
# Not within a name: `{?page}` is another language's.
_BEHIND_PATH = re.compile(r"[?#](?![^{}]*\})")
_VALUE_IN_QUERY = re.compile(r"([^={}]+)=\{([\w.-]+)\}")
_HEADER_NAME = re.compile(r"[^\x00-\x20:\x7f-\xa0]+")
_COOKIE_NAME = re.compile(r"[^\x00-\x20=,;\x7f-\xa0]+")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value outside the body, e.g. ``item_id`` in ``/items/{item_id}``.

    `style`, `explode` and `allow_reserved` are OpenAPI's (§4.8.12.2). The style is empty where the
    value stands in no style: a list in FastAPI's headers is one line for each item, and a list in
    a cookie of which the document says nothing cannot be written. `media_type` is set where the
    value is a serialized document of its own (``content`` instead of ``schema``); `is_whole` tells
    that such a document is the whole query (OpenAPI 3.2 §4.12.1).
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
    document: Mapping[str, Any], path: str, item: Mapping[str, Any], node: Mapping[str, Any]
) -> Iterator[Parameter]:
    """Read path-level parameters, then the operation's own, which replace those of one name.

    Raises:
        InvalidDocument: one of them is no parameter; the message names it.
    """
    route, fixed = route_of(path), names_in_query(query_of(path))
    declared = _declared(
        document, path, (*list_in(item, "parameters"), *list_in(node, "parameters"))
    )
    for location in LOCATIONS:
        for (where, name), parameter in declared.items():
            ignored = location == "header" and name.lower() in _NEVER_PARAMETERS
            # What is not in the path cannot be given.
            ignored = ignored or (location == "path" and f"{{{name}}}" not in route)
            # What the document itself writes there is what tells the operation from others.
            ignored = ignored or (location == "query" and name_in_query(name) in fixed)
            if where == location and not ignored:
                with within(f"the parameter {name!r}"):
                    yield _parameter(document, parameter, name, location)


def _declared(
    document: Mapping[str, Any], path: str, nodes: Iterable[object]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the parameters by place and name; of two the last, and none that is missing."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for raw in nodes:
        if raw is None:
            continue
        parameter = resolve(document, as_mapping(raw, "a parameter"))
        name, location = text_in(parameter, "name"), text_in(parameter, "in").lower()
        if location == "querystring":
            # The whole of it (OpenAPI 3.2 §4.12.1), whatever its name.
            name, location = name or "query", "query"
        if location not in LOCATIONS:
            message = (
                f"the parameter {name!r} is in {location!r}. It needs an 'in' of "
                f"{', '.join(LOCATIONS)}."
            )
            raise InvalidDocument(message)
        # Some tools write an empty row of their form; what has no name cannot be given.
        if name:
            merged[location, name] = parameter
    for name in _NAMES_IN_PATH.findall(route_of(path)):
        # Some forget to declare what a path cannot do without (OpenAPI 3.1 §4.8.8.2).
        merged.setdefault(("path", name), {"schema": {"type": "string"}})
    for pair in _pairs_behind(path):
        if not (found := _VALUE_IN_QUERY.fullmatch(pair)):
            continue
        name, value = found.groups()
        undeclared = {"schema": {"type": "string"}}
        merged.setdefault(("query", name), merged.pop(("path", value), undeclared))
    return merged


def route_of(path: str) -> str:
    """Return a path without what some write behind it, to tell operations of one path apart.

    E.g. ``"/photos"`` of ``"/photos?method=search&q={q}"``, and ``"/"`` of ``"/#Target=Put"``.
    """
    return _BEHIND_PATH.split(path, maxsplit=1)[0]


def query_of(path: str) -> str:
    """Return the query behind a path, e.g. ``"method=search"``, without what parameters fill."""
    fixed = [pair for pair in _pairs_behind(path) if not _VALUE_IN_QUERY.fullmatch(pair)]
    return quote("&".join(fixed), safe="/:@!$&'()*+,;=~%?")


def names_in_query(query: str) -> frozenset[str]:
    """Return the names in a query, as `name_in_query` writes them."""
    # Some servers still take a semicolon for an ampersand.
    pairs = (pair for pair in re.split("[&;]", query) if pair)
    return frozenset(name_in_query(unquote_plus(pair.partition("=")[0])) for pair in pairs)


def name_in_query(name: str) -> str:
    """Write a name as servers do that tell the fewest apart: ``Page.No[]`` is ``page_no``."""
    return re.sub("[ .]", "_", name.partition("[")[0].strip().lower())


def _pairs_behind(path: str) -> list[str]:
    behind = path[len(route_of(path)) :].partition("#")[0]
    return [pair for pair in behind.removeprefix("?").split("&") if pair]


def _parameter(
    document: Mapping[str, Any], node: Mapping[str, Any], name: str, location: Location
) -> Parameter:
    name_of = {"header": _HEADER_NAME, "cookie": _COOKIE_NAME}.get(location)
    if name_of and not (name_of.fullmatch(name) and max(name) <= "\xff"):
        raise InvalidDocument(f"no {location} can have this name.")
    media_type, schema = None, schema_in(node)
    for media_type, media in content_in(document, node).items():  # noqa: B007 - one entry
        schema = schema_in(media)
    if "example" in node:
        schema = {"example": node["example"], **schema}
    style = text_in(node, "style")
    if style not in STYLES[location]:
        has_none = location == "cookie" or _is_fastapi_header(schema, location)
        style = "" if has_none and "explode" not in node else STYLES[location][0]
    explode = node.get("explode")
    return Parameter(
        name=name,
        location=location,
        schema=schema,
        required=node.get("required") is True or location == "path",
        description=text_in(node, "description"),
        style=style,
        explode=explode if isinstance(explode, bool) else style == "form" or location == "cookie",
        media_type=media_type,
        allow_reserved=node.get("allowReserved") is True,
        deprecated=node.get("deprecated") is True,
        is_whole=media_type is not None and text_in(node, "in").lower() == "querystring",
    )


def _is_fastapi_header(schema: Schema, location: Location) -> bool:
    """Whether a list is read from one line for each item: FastAPI's schemas all have a title."""
    return location == "header" and "title" in schema
