"""Reads the operations of an OpenAPI 3.0, 3.1 or 3.2 document into frozen values."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mcp_mount.errors import InvalidDocument
from mcp_mount.openapi.bodies import Body, Media, read_body, read_media
from mcp_mount.openapi.examples import example_words
from mcp_mount.openapi.nodes import (
    Document,
    expect_mapping,
    get_list,
    get_mapping,
    get_text,
    resolve,
    within,
)
from mcp_mount.openapi.parameters import LOCATIONS, Parameter, read_parameters
from mcp_mount.openapi.sizes import count_characters

# HEAD, OPTIONS and TRACE return nothing that a model could use. QUERY is new in OpenAPI 3.2.
_METHODS = ("get", "put", "post", "delete", "patch", "query")
# What the operations of a path item share, and all that is read of it.
_SHARED = ("parameters", "servers", "summary", "description")
_FIELDS = (*_METHODS, "additionalOperations", *_SHARED)
# `additionalOperations` may not repeat a method that has its own key, and CONNECT has no response
# (RFC 9110 §9.3.6).
_NEVER_ADDITIONAL = frozenset({*_METHODS, "head", "options", "trace", "connect"})
_MOST_PARTS: Final = 200_000
"""Parameters, servers, tags, responses and scopes of all operations, of which a few references can
make many."""
_OF_MARK: Final = 80
"""Characters of a mark that count as one of them."""
_MOST_TAGS: Final = 1_000
"""Tags of one operation."""
_LONGEST_SERVER: Final = 2_000
"""Characters of a server's URL, its variables filled in."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path, e.g. ``GET /items/{item_id}``, with everything a call needs.

    `responses` maps a status (``"200"``, ``"2XX"``, ``"default"``) to its representations.
    `scopes` are alternatives: a caller needs all the scopes of one of them.
    `credentials` are where security schemes look for keys, with names in lower case, e.g.
    ``("header", "x-key")``. `server` is the URL of the operation's own server, e.g. ``"/v2"``, or
    empty. `mark` is its ``x-mcp`` value, unread. `examples` are words of its examples. `fault` says
    why it cannot be offered.
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
    examples: str = ""
    fault: str = ""

    def __str__(self) -> str:
        """Return the operation as people write it: ``GET /items/{item_id}``."""
        return f"{self.method} {self.path}"


def read_operations(
    document: Mapping[str, Any], credentials: Iterable[tuple[str, str]] = ()
) -> tuple[Operation, ...]:
    """Read every operation of an OpenAPI document, in the document's order.

    `credentials` are parameters that are credentials whatever the document says; see `Operation`.

    Raises:
        InvalidDocument: a part of the document that all operations need is malformed; the message
            names the place. What is wrong with one operation is its `Operation.fault`.
    """
    document = Document(document)
    credentials = frozenset((*_read_credentials(document), *credentials))
    items = [*_read_path_items(document)]
    # Some documents tell operations apart by a query or fragment behind the path. An argument could
    # then lead to another operation, so none of them is offered.
    shared = {_route_of(path) for path, _ in items if _route_of(path) != path}
    found = []
    parts = 0
    marks: dict[int, int] = {}
    for path, item in items:
        for method, node in _read_methods(path, item):
            counted = ("parameters", "servers", "tags", "responses")
            parts += sum(_count(each, key) for each in (item, node) for key in counted)
            mark = node.get("x-mcp") if isinstance(node, Mapping) else None
            if id(mark) not in marks:
                marks[id(mark)] = count_characters(mark) // _OF_MARK
            parts += marks[id(mark)]
            is_too_much = parts > _MOST_PARTS
            read = _read_operation(document, path, item, method, node, is_too_much=is_too_much)
            parts += len(read.scopes)
            parts += sum(len(medias) - 1 for medias in read.responses.values() if medias)
            if _route_of(path) in shared and not read.fault:
                fault = f"{read}: only a query or fragment tells it from others of its path."
                read = replace(read, fault=fault)
            found.append(replace(read, credentials=credentials))
    return tuple(found)


def read_tag_descriptions(document: Mapping[str, Any]) -> dict[str, str]:
    """Return what a document says of its tags; tags that are malformed are left out."""
    tags = document.get("tags")
    return {
        str(tag["name"]): str(tag["description"])
        for tag in (tags if isinstance(tags, list) else ())
        if isinstance(tag, Mapping) and tag.get("name") and tag.get("description")
    }


def successes(operation: Operation) -> list[tuple[Media, ...]]:
    """Return the representations of each 2xx response, or of ``default`` if there is none."""
    found = [medias for status, medias in operation.responses.items() if status.startswith("2")]
    return found or [operation.responses[key] for key in ("default",) if key in operation.responses]


def _route_of(path: str) -> str:
    """Return a path without query and fragment; ``{?page}`` is a variable, and no query."""
    outside = re.sub(r"\{[^{}]*\}", lambda found: "_" * len(found[0]), path)
    behind = re.search(r"[?#]", outside)
    return path if behind is None else path[: behind.start()]


def _read_path_items(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, raw in get_mapping(document, "paths").items():
        if raw is None or str(path).startswith("x-"):
            continue
        if not str(path).startswith("/"):
            raise InvalidDocument(f"The path {path!r} has to begin with '/'.")
        with within(path):
            item = expect_mapping(raw, "the path")
            # Fields beside the reference of a path item belong to it (OpenAPI 3.1 §4.8.9).
            parts = (resolve(document, item), item)
            yield path, {key: part[key] for part in parts for key in _FIELDS if key in part}


def _read_methods(path: str, item: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Yield the operations of a path by method, which may be any since OpenAPI 3.2 (§4.9)."""
    known = ((method, item.get(method)) for method in _METHODS)
    yield from ((method.upper(), node) for method, node in known if node is not None)
    with within(path):
        for method, node in get_mapping(item, "additionalOperations").items():
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", str(method)):
                raise InvalidDocument(f"no request can have the method {method!r}.")
            is_known = method.lower() in _NEVER_ADDITIONAL
            if node is not None and not is_known and method[:2] != "x-":
                yield method, node


def _count(node: object, key: str) -> int:
    parts = node.get(key) if isinstance(node, Mapping) else None
    return len(parts) if isinstance(parts, list | dict) else 0


def _read_operation(
    document: Document,
    path: str,
    item: Mapping[str, Any],
    method: str,
    raw: object,
    *,
    is_too_much: bool,
) -> Operation:
    read = Operation(method=method, path=path)
    try:
        with within(str(read)):
            node = expect_mapping(raw, "the operation")
            # First what `exclude=` looks at, so that a broken operation can be left out.
            read = replace(
                read, mark=node.get("x-mcp"), id=get_text(node, "operationId"), tags=_tags(node)
            )
            if is_too_much:
                what = f"more than {_MOST_PARTS:,} parameters, servers, tags and answers"
                raise InvalidDocument(f"with it, the operations have {what}.")
            secured = node if node.get("security") is not None else document
            # What it has in common with others is read once more.
            for shared in (item[key] for key in _SHARED if key in item):
                document.spend(shared)
            if secured is document and "security" in document:
                document.spend(document["security"])
            return replace(
                read,
                summary=get_text(node, "summary") or get_text(item, "summary"),
                description=get_text(node, "description") or get_text(item, "description"),
                deprecated=node.get("deprecated") is True,
                parameters=tuple(read_parameters(document, path, item, node)),
                body=read_body(document, node),
                responses={
                    str(status): tuple(read_media(document, raw, f"the response {status!r}"))
                    for status, raw in get_mapping(node, "responses").items()
                    if raw is not None and not str(status).startswith("x-")
                },
                scopes=tuple(_read_scopes(get_list(secured, "security"))),
                examples=example_words(node),
                server=next(filter(None, [*server_urls(node), *server_urls(item)]), ""),
            )
    except InvalidDocument as error:
        return replace(read, fault=str(error))


def _tags(node: Mapping[str, Any]) -> tuple[str, ...]:
    tags = node.get("tags")
    if isinstance(tags, str):
        return (tags,)
    tags = get_list(node, "tags")
    if len(tags) > _MOST_TAGS:
        raise InvalidDocument(f"it has more than {_MOST_TAGS:,} tags.")
    return tuple(str(tag) for tag in tags if tag is not None)


def server_urls(node: Mapping[str, Any]) -> list[str]:
    """Return the URLs of a node's ``servers``, with their variables' defaults.

    E.g. ``["/api/v3"]`` for ``[{"url": "/api/{version}", "variables": …}]``. What stands in the
    place of a variable is not read for variables again (OpenAPI 3.1 §4.8.6).

    Raises:
        InvalidDocument: a server is malformed, or its URL is too long.
    """
    urls = []
    for raw in get_list(node, "servers"):
        server = expect_mapping(raw, "a server")
        url = get_text(server, "url")
        variables = get_mapping(server, "variables")
        # Each second part is the name of a variable.
        parts = re.split(r"\{([^{}]*)\}", url[:_LONGEST_SERVER])
        parts[1::2] = [_read_variable(variables, name) for name in parts[1::2]]
        # Counted before it is written: each of many variables may stand for much.
        if max(len(url), sum(map(len, parts))) > _LONGEST_SERVER:
            what = f"more than {_LONGEST_SERVER:,} characters"
            raise InvalidDocument(f"the URL of the server {url[:80]!r} has {what}.")
        urls.append("".join(parts).strip())
    return urls


def _read_variable(variables: Mapping[str, Any], name: str) -> str:
    """Return the default of a server variable, or else the variable as it stands."""
    known = expect_mapping(variables.get(name, {}), f"the server variable {name!r}")
    # A default is required, and sometimes left out.
    values = [get_text(known, "default")] if "default" in known else get_list(known, "enum")
    return str(next(iter(values), f"{{{name}}}"))


def _read_scopes(security: Iterable[object]) -> Iterator[frozenset[str]]:
    """Read security requirements (OpenAPI 3.1 §4.8.30) with scopes.

    FastAPI lists what each dependency requires as an alternative, although all of them must pass:
    an API key does not make up for the scopes of a token.
    """
    for raw in security:
        requirement = expect_mapping(raw, "what 'security' asks for")
        scopes = (scope for name in requirement for scope in get_list(requirement, name))
        if found := frozenset(map(str, scopes)):
            yield found


def _read_credentials(document: Document) -> Iterator[tuple[str, str]]:
    schemes = get_mapping(get_mapping(document, "components"), "securitySchemes")
    for name, raw in schemes.items():
        if raw is None or str(name).startswith("x-"):
            continue
        scheme = resolve(document, expect_mapping(raw, f"the security scheme {name!r}"))
        if scheme.get("type") == "apiKey":
            where, key = get_text(scheme, "in").lower(), get_text(scheme, "name").lower()
            if where not in LOCATIONS or not key:
                message = f"The security scheme {name!r} needs an 'in' and a 'name' for its key."
                raise InvalidDocument(message)
            yield where, key
