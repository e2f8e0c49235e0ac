"""Reads an OpenAPI document into frozen `Operation` values. Pure; knows nothing of MCP.

Reads OpenAPI 3.0, 3.1 and 3.2 as FastAPI and others write them: path-level parameters, references
to parameters, bodies and responses, and the ``itemSchema`` of streams (OpenAPI 3.2 §4.14.4).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mcp_mount.errors import InvalidDocument
from mcp_mount.media import FORM, MULTIPART, essence_of, is_any, is_json, preference
from mcp_mount.nodes import as_mapping, list_in, mapping_in, resolve, text_in, within

Location = Literal["path", "query", "header", "cookie"]
Schema = dict[str, Any]

_LOCATIONS: tuple[Location, ...] = ("path", "query", "header", "cookie")
# HEAD, OPTIONS and TRACE say nothing that a model could use, and QUERY is in OpenAPI since 3.2.
_METHODS = ("get", "put", "post", "delete", "patch", "query")
# OpenAPI 3.1 §4.8.12.1: the first three follow from body, response and security, and are no
# parameters. The others belong to the message and its connection, which nobody may choose.
_NEVER_PARAMETERS = frozenset(
    {
        *("accept", "content-type", "authorization"),
        *("host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade"),
    }
)
# The default of each place first (OpenAPI 3.1 §4.8.12.2; the style of cookies is 3.2's).
_STYLES: Mapping[Location, tuple[str, ...]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form", "cookie"),
}
_NAMES_IN_PATH = re.compile(r"\{([\w.-]+)\}")
_HEADER_NAME = re.compile(r"[^\x00-\x20:\x7f-\xa0]+")
_COOKIE_NAME = re.compile(r"[^\x00-\x20=,;\x7f-\xa0]+")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value outside the body, e.g. ``item_id`` in ``/items/{item_id}``.

    `style`, `explode` and `allow_reserved` are OpenAPI's (§4.8.12.2). The style is empty where the
    value stands in no style: a list in FastAPI's headers is one line for each item, and a list in
    a cookie of which the document says nothing cannot be written. `media_type` is set where the
    value is a serialized document of its own (``content`` instead of ``schema``).
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
    """The request body, in the one media type chosen to send it."""

    media_type: str
    schema: Schema
    required: bool = False
    description: str = ""
    encodings: Mapping[str, Encoding] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Media:
    """One documented representation of a response; `item_schema` describes a stream's items."""

    media_type: str
    schema: Schema | None = None
    item_schema: Schema | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path, e.g. ``GET /items/{item_id}``, with everything a call needs.

    `responses` maps a status (``"200"``, ``"2XX"``, ``"default"``) to its representations.
    `scopes` are alternatives: a caller needs all the scopes of one of them.
    `credentials` are where security schemes look for keys, names in lower case, e.g.
    ``("header", "x-key")``. `server` is the URL of the operation's own server, where the document
    has one for it, e.g. ``"/v2"``. `mark` is the operation's ``x-mcp`` value, unread.
    """

    method: str
    path: str
    id: str = ""
    summary: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    deprecated: bool = False
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    responses: Mapping[str, tuple[Media, ...]] = field(default_factory=dict)
    credentials: frozenset[tuple[str, str]] = frozenset()
    scopes: tuple[frozenset[str], ...] = ()
    server: str = ""
    mark: object = None

    def __str__(self) -> str:
        """Show the operation as people write it: ``GET /items/{item_id}``."""
        return f"{self.method} {self.path}"


def read_operations(
    document: Mapping[str, Any], credentials: Iterable[tuple[str, str]] = ()
) -> tuple[Operation, ...]:
    """Read every operation of an OpenAPI document, in the document's order.

    Args:
        document: The document.
        credentials: What is a credential whether the document says so or not; see `Operation`.

    Raises:
        InvalidDocument: a part of the document that is needed is not what OpenAPI says it is; the
            message names the place.
    """
    credentials = frozenset((*_credentials(document), *credentials))
    return tuple(
        _operation(document, path, method, item, credentials)
        for path, item in _path_items(document)
        for method in _METHODS
        if item.get(method) is not None
    )


def successes(operation: Operation) -> list[tuple[Media, ...]]:
    """Return the documented forms of each success; ``default`` is one where no other is named."""
    found = [medias for status, medias in operation.responses.items() if status.startswith("2")]
    return found or [operation.responses[key] for key in ("default",) if key in operation.responses]


def _path_items(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, raw in mapping_in(document, "paths").items():
        if raw is None or str(path).startswith("x-"):
            continue
        if not str(path).startswith("/"):
            raise InvalidDocument(f"The path {path!r} has to begin with '/'.")
        with within(path):
            item = as_mapping(raw, "the path")
            # What stands beside the reference of a path belongs to it, too (OpenAPI 3.1 §4.8.9).
            beside = {key: value for key, value in item.items() if key != "$ref"}
            yield path, {**resolve(document, item), **beside}


def _operation(
    document: Mapping[str, Any],
    path: str,
    method: str,
    item: Mapping[str, Any],
    credentials: frozenset[tuple[str, str]],
) -> Operation:
    with within(f"{method.upper()} {path}"):
        node = as_mapping(item[method], "the operation")
        needed = node if node.get("security") is not None else document
        return Operation(
            method=method.upper(),
            path=path,
            id=text_in(node, "operationId"),
            summary=text_in(node, "summary") or text_in(item, "summary"),
            description=text_in(node, "description") or text_in(item, "description"),
            tags=_tags(node),
            deprecated=node.get("deprecated") is True,
            parameters=tuple(_parameters(document, path, item, node)),
            body=_body(document, node),
            responses={
                str(status): tuple(_media(document, raw, f"the response {status!r}"))
                for status, raw in mapping_in(node, "responses").items()
                if raw is not None and not str(status).startswith("x-")
            },
            credentials=credentials,
            scopes=tuple(_scopes(list_in(needed, "security"))),
            server=first_server(node) or first_server(item),
            mark=node.get("x-mcp"),
        )


def _tags(node: Mapping[str, Any]) -> tuple[str, ...]:
    tags = node.get("tags")
    if isinstance(tags, str):
        return (tags,)
    return tuple(str(tag) for tag in list_in(node, "tags") if tag is not None)


def first_server(node: Mapping[str, Any]) -> str:
    """Return the URL of the first of a node's ``servers``; empty where there is none."""
    return next(iter(server_urls(node)), "")


def server_urls(node: Mapping[str, Any]) -> list[str]:
    """Return the URLs of a node's ``servers``, with their variables' defaults.

    E.g. ``["/api/v3"]`` for ``[{"url": "/api/{version}", "variables": …}]``.
    """
    urls = []
    for raw in list_in(node, "servers"):
        server = as_mapping(raw, "a server")
        url = text_in(server, "url")
        for name, variable in mapping_in(server, "variables").items():
            known = as_mapping(variable, f"the server variable {name!r}")
            # A default is required, and yet sometimes left out.
            values = [text_in(known, "default"), *map(str, list_in(known, "enum"))]
            if "default" in known or len(values) > 1:
                value = values[0] if "default" in known else values[1]
                url = url.replace(f"{{{name}}}", value)
        urls.append(url.strip())
    return urls


def _parameters(
    document: Mapping[str, Any], path: str, item: Mapping[str, Any], node: Mapping[str, Any]
) -> Iterator[Parameter]:
    """Read path-level parameters, then the operation's own, which replace those of one name."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for raw in (*list_in(item, "parameters"), *list_in(node, "parameters")):
        if raw is None:
            continue
        parameter = resolve(document, as_mapping(raw, "a parameter"))
        name, location = text_in(parameter, "name"), text_in(parameter, "in").lower()
        if location not in _LOCATIONS or not name:
            message = (
                f"the parameter {name!r} is in {location!r}. It needs a 'name', and an 'in' of "
                f"{', '.join(_LOCATIONS)}."
            )
            raise InvalidDocument(message)
        merged[location, name] = parameter
    for name in _NAMES_IN_PATH.findall(path):
        # Some forget to declare what a path cannot do without (OpenAPI 3.1 §4.8.8.2).
        merged.setdefault(("path", name), {"schema": {"type": "string"}})
    for location in _LOCATIONS:
        for (where, name), parameter in merged.items():
            ignored = location == "header" and name.lower() in _NEVER_PARAMETERS
            # What is not in the path cannot be given.
            ignored = ignored or (location == "path" and f"{{{name}}}" not in path)
            if where == location and not ignored:
                with within(f"the parameter {name!r}"):
                    yield _parameter(document, parameter, name, location)


def _parameter(
    document: Mapping[str, Any], node: Mapping[str, Any], name: str, location: Location
) -> Parameter:
    name_of = {"header": _HEADER_NAME, "cookie": _COOKIE_NAME}.get(location)
    if name_of and not (name_of.fullmatch(name) and max(name) <= "\xff"):
        raise InvalidDocument(f"no {location} can have this name.")
    media_type, schema = None, _schema(node)
    for media_type, media in _content(document, node).items():  # noqa: B007 - one entry
        schema = _schema(media)
    style = text_in(node, "style")
    if style not in _STYLES[location]:
        has_none = location == "cookie" or _is_fastapi_header(schema, location)
        style = "" if has_none and "explode" not in node else _STYLES[location][0]
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
    )


def _is_fastapi_header(schema: Schema, location: Location) -> bool:
    """Whether a list is read from one line for each item: FastAPI's schemas all have a title."""
    return location == "header" and "title" in schema


def _schema(node: Mapping[str, Any]) -> Schema:
    schema = node.get("schema")
    if schema is None or schema is True:
        return {}
    return {"not": {}} if schema is False else dict(as_mapping(schema, "'schema'"))


def _content(document: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the representations of a body by media type; those that cannot be written are left."""
    return {
        str(media_type): resolve(document, as_mapping({} if raw is None else raw, repr(media_type)))
        for media_type, raw in mapping_in(node, "content").items()
        if str(media_type).isascii() and str(media_type).isprintable()
        if not str(media_type).startswith("x-")
    }


def _body(document: Mapping[str, Any], node: Mapping[str, Any]) -> Body | None:
    if not mapping_in(node, "requestBody"):
        return None
    with within("the request body"):
        body = resolve(document, node["requestBody"])
        content = _content(document, body)
        if not content:
            return None
        media_type = min(content, key=preference)
        media = content[media_type]
        schema = _schema(media)
        return Body(
            media_type=_sent_as(media_type, schema),
            schema=schema,
            required=body.get("required") is True,
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
    if style not in _STYLES["query"]:
        style = "form" if isinstance(explode, bool) else ""
    media_type = text_in(node, "contentType").partition(",")[0].strip()
    return Encoding(
        media_type="" if "*" in media_type or not media_type.isprintable() else media_type,
        style=style,
        explode=explode if isinstance(explode, bool) else style in {"", "form"},
    )


def _media(document: Mapping[str, Any], raw: object, what: str) -> Iterator[Media]:
    with within(what):
        response = resolve(document, as_mapping(raw, "it"))
        for media_type, media in _content(document, response).items():
            items = media.get("itemSchema")
            yield Media(
                media_type,
                _schema(media) if media.get("schema") is not None else None,
                dict(items) if isinstance(items, Mapping) else None,
            )


def _scopes(security: Iterable[object]) -> Iterator[frozenset[str]]:
    """Read a list of security requirements (OpenAPI §4.8.30), leaving out those without scopes.

    FastAPI lists what a route's dependencies ask for one by one, although all of them must be
    content: an API key beside a token does not make up for the token's scopes.
    """
    for raw in security:
        requirement = as_mapping(raw, "what 'security' asks for")
        scopes = (scope for name in requirement for scope in list_in(requirement, name))
        if found := frozenset(map(str, scopes)):
            yield found


def _credentials(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    schemes = mapping_in(mapping_in(document, "components"), "securitySchemes")
    for name, raw in schemes.items():
        if raw is None or str(name).startswith("x-"):
            continue
        scheme = resolve(document, as_mapping(raw, f"the security scheme {name!r}"))
        if scheme.get("type") == "apiKey":
            where, key = text_in(scheme, "in").lower(), text_in(scheme, "name").lower()
            if where not in _LOCATIONS or not key:
                message = f"The security scheme {name!r} needs an 'in' and a 'name' for its key."
                raise InvalidDocument(message)
            yield where, key
