"""Reads an OpenAPI document into frozen `Operation` values. Pure; knows nothing of MCP.

Reads OpenAPI 3.0, 3.1 and 3.2 as FastAPI and others write them: path-level parameters, references
to parameters, bodies and responses, and the ``itemSchema`` of streams (OpenAPI 3.2 §4.14.4).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mcp_mount.errors import InvalidDocument
from mcp_mount.openapi.bodies import Body, Media, read_body, read_media
from mcp_mount.openapi.nodes import as_mapping, list_in, mapping_in, resolve, text_in, within
from mcp_mount.openapi.parameters import LOCATIONS, Parameter, read_parameters

# HEAD, OPTIONS and TRACE say nothing that a model could use, and QUERY is in OpenAPI since 3.2.
_METHODS = ("get", "put", "post", "delete", "patch", "query")
# What has a place of its own, and CONNECT, which asks for no answer (RFC 9110 §9.3.6).
_FIXED = frozenset({*_METHODS, "head", "options", "trace", "connect"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path, e.g. ``GET /items/{item_id}``, with everything a call needs.

    `responses` maps a status (``"200"``, ``"2XX"``, ``"default"``) to its representations.
    `scopes` are alternatives: a caller needs all the scopes of one of them.
    `credentials` are where security schemes look for keys, names in lower case, e.g.
    ``("header", "x-key")``. `server` is the URL of the operation's own server, where the document
    has one for it, e.g. ``"/v2"``. `mark` is the operation's ``x-mcp`` value, unread.
    `fault` is what is wrong with it, so that it can be left out but not offered.
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
    fault: str = ""

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
        InvalidDocument: a part of the document that all need is not what OpenAPI says it is; the
            message names the place. What is wrong with one operation is its `Operation.fault`.
    """
    credentials = frozenset((*_credentials(document), *credentials))
    return tuple(
        _operation(document, path, item, method, node, credentials=credentials)
        for path, item in _path_items(document)
        for method, node in _methods_of(path, item)
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


def _methods_of(path: str, item: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield the operations of a path by method; since OpenAPI 3.2 it may be any (§4.9)."""
    known = ((method, item.get(method)) for method in _METHODS)
    yield from ((method.upper(), node) for method, node in known if node is not None)
    with within(path):
        others = mapping_in(item, "additionalOperations")
        for method, node in others.items():
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", str(method)):
                raise InvalidDocument(f"no request can have the method {method!r}.")
            if node is not None and method.lower() not in _FIXED and method[:2] != "x-":
                yield method, node


def _operation(
    document: Mapping[str, Any],
    path: str,
    item: Mapping[str, Any],
    method: str,
    raw: object,
    *,
    credentials: frozenset[tuple[str, str]],
) -> Operation:
    known = Operation(method=method, path=path)
    try:
        with within(str(known)):
            node = as_mapping(raw, "the operation")
            # What it can be left out by comes first.
            known = replace(
                known, mark=node.get("x-mcp"), id=text_in(node, "operationId"), tags=_tags(node)
            )
            needed = node if node.get("security") is not None else document
            return replace(
                known,
                summary=text_in(node, "summary") or text_in(item, "summary"),
                description=text_in(node, "description") or text_in(item, "description"),
                deprecated=node.get("deprecated") is True,
                parameters=tuple(read_parameters(document, path, item, node)),
                body=read_body(document, node),
                responses={
                    str(status): tuple(read_media(document, raw, f"the response {status!r}"))
                    for status, raw in mapping_in(node, "responses").items()
                    if raw is not None and not str(status).startswith("x-")
                },
                credentials=credentials,
                scopes=tuple(_scopes(list_in(needed, "security"))),
                server=first_server(node) or first_server(item),
            )
    except InvalidDocument as error:
        return replace(known, fault=str(error))


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
            if where not in LOCATIONS or not key:
                message = f"The security scheme {name!r} needs an 'in' and a 'name' for its key."
                raise InvalidDocument(message)
            yield where, key
