"""Reads an OpenAPI document into frozen `Operation` values. Pure; knows nothing of MCP.

Reads OpenAPI 3.0, 3.1 and 3.2 as FastAPI and others write them: path-level parameters, references
to parameters, bodies and responses, and the ``itemSchema`` of streams (OpenAPI 3.2 §4.14.4).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import unquote

from mcp_mount.errors import InvalidDocument

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
_STYLES: Mapping[Location, str] = {
    "path": "simple",
    "query": "form",
    "header": "simple",
    "cookie": "form",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value outside the body, e.g. ``item_id`` in ``/items/{item_id}``.

    `style` and `explode` are OpenAPI's (§4.8.12.2); `media_type` is set where the value is a
    serialized document of its own (``content`` instead of ``schema``).
    """

    name: str
    location: Location
    schema: Schema
    required: bool = False
    description: str = ""
    style: str = "form"
    explode: bool = True
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The request body, in the one media type chosen to send it."""

    media_type: str
    schema: Schema
    required: bool = False
    description: str = ""


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
        InvalidDocument: a reference in the document points to nothing.
    """
    credentials = frozenset((*_credentials(document), *credentials))
    return tuple(
        _operation(document, path, method, item, credentials)
        for path, raw in document.get("paths", {}).items()
        for item in [resolve(document, raw)]
        for method in _METHODS
        if method in item
    )


def resolve(document: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """Follow ``$ref`` until it ends, e.g. ``{"$ref": "#/components/schemas/Item"}``.

    Raises:
        InvalidDocument: the reference is not inside the document, points to nothing, or to itself.
    """
    seen: set[str] = set()
    current = node
    while isinstance(pointer := current.get("$ref"), str):
        if pointer in seen:
            message = f"The OpenAPI document refers to itself at {pointer!r} and nothing else."
            raise InvalidDocument(message)
        seen.add(pointer)
        current = _at(document, pointer)
    return dict(current)


def _at(document: Mapping[str, Any], pointer: str) -> Mapping[str, Any]:
    """Return the object at an RFC 6901 pointer in URI fragment form (``#/a/b``)."""
    target: Any = document
    try:
        if not pointer.startswith("#/"):
            raise KeyError(pointer)
        for part in pointer[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            target = target[int(key)] if isinstance(target, list) else target[key]
    except (KeyError, IndexError, TypeError, ValueError):
        target = None
    if not isinstance(target, Mapping):
        message = f"The OpenAPI document refers to {pointer!r}, which it does not contain."
        raise InvalidDocument(message)
    return target


def _operation(
    document: Mapping[str, Any],
    path: str,
    method: str,
    item: Mapping[str, Any],
    credentials: frozenset[tuple[str, str]],
) -> Operation:
    node = item[method]
    return Operation(
        method=method.upper(),
        path=path,
        id=node.get("operationId") or "",
        summary=node.get("summary") or item.get("summary") or "",
        description=node.get("description") or item.get("description") or "",
        tags=tuple(node.get("tags", ())),
        deprecated=bool(node.get("deprecated", False)),
        parameters=tuple(_parameters(document, item, node)),
        body=_body(document, node),
        responses={
            str(status): tuple(_media(document, raw))
            for status, raw in node.get("responses", {}).items()
        },
        credentials=credentials,
        scopes=tuple(_scopes(node.get("security", document.get("security", ())))),
        server=first_server(node) or first_server(item),
        mark=node.get("x-mcp"),
    )


def first_server(node: Mapping[str, Any]) -> str:
    """Return the URL of the first of a node's ``servers``, with its variables' defaults.

    E.g. ``"/api/v3"`` for ``{"url": "/api/{version}", "variables": …}``; empty where there is none.
    """
    server = next(iter(node.get("servers") or ()), {})
    url = str(server.get("url", ""))
    for name, variable in server.get("variables", {}).items():
        url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    return url


def _parameters(
    document: Mapping[str, Any], item: Mapping[str, Any], node: Mapping[str, Any]
) -> Iterator[Parameter]:
    """Read path-level parameters, then the operation's own, which replace those of one name."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for raw in (*item.get("parameters", ()), *node.get("parameters", ())):
        parameter = resolve(document, raw)
        merged[parameter["in"], parameter["name"]] = parameter
    for location in _LOCATIONS:
        for (where, name), parameter in merged.items():
            ignored = location == "header" and name.lower() in _NEVER_PARAMETERS
            if where == location and not ignored:
                yield _parameter(parameter, name, location)


def _parameter(node: Mapping[str, Any], name: str, location: Location) -> Parameter:
    media_type, schema = None, node.get("schema", {})
    for media_type, media in node.get("content", {}).items():  # noqa: B007 - at most one entry
        schema = media.get("schema", {})
    style = node.get("style", _STYLES[location])
    return Parameter(
        name=name,
        location=location,
        schema=schema,
        required=bool(node.get("required", False)),
        description=node.get("description") or "",
        style=style,
        explode=bool(node.get("explode", style == "form")),
        media_type=media_type,
    )


def _body(document: Mapping[str, Any], node: Mapping[str, Any]) -> Body | None:
    if "requestBody" not in node:
        return None
    body = resolve(document, node["requestBody"])
    content = body.get("content", {})
    if not content:
        return None
    media_type = min(content, key=_body_preference)
    return Body(
        media_type=media_type,
        schema=content[media_type].get("schema", {}),
        required=bool(body.get("required", False)),
        description=body.get("description") or "",
    )


def _body_preference(media_type: str) -> int:
    """Rank how well a model can write the media type; `min` keeps the document's order."""
    if is_json(media_type):
        return 0
    order = ("multipart/form-data", "application/x-www-form-urlencoded", "text/plain")
    return order.index(media_type) + 1 if media_type in order else len(order) + 1


@lru_cache(maxsize=256)
def is_json(media_type: str) -> bool:
    """Whether a media type is one JSON document, e.g. ``application/problem+json``."""
    essence = media_type.partition(";")[0].strip().lower()
    return essence in {"application/json", "text/json"} or essence.endswith("+json")


def _media(document: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[Media]:
    for media_type, media in resolve(document, raw).get("content", {}).items():
        yield Media(media_type, media.get("schema"), media.get("itemSchema"))


def _scopes(security: Iterable[Mapping[str, Iterable[str]]]) -> Iterator[frozenset[str]]:
    """Read a list of security requirements (OpenAPI §4.8.30), leaving out those without scopes.

    FastAPI lists what a route's dependencies ask for one by one, although all of them must be
    content: an API key beside a token does not make up for the token's scopes.
    """
    for requirement in security:
        if scopes := frozenset(scope for needed in requirement.values() for scope in needed):
            yield scopes


def _credentials(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    schemes = document.get("components", {}).get("securitySchemes", {})
    for raw in schemes.values():
        scheme = resolve(document, raw)
        if scheme.get("type") == "apiKey":
            yield scheme["in"], scheme["name"].lower()
