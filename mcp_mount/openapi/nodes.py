"""The parts of an OpenAPI document, each as what it has to be. Pure.

Null is as good as absent, and words may be numbers: both are common in the wild. Anything else of
another kind than the specification's is refused, with where it stands.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote

from mcp_mount.errors import InvalidDocument

Schema = dict[str, Any]

_KINDS: Final[Mapping[type, str]] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    type(None): "null",
}


def mapping_in(node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object at a key of a node; an empty one where there is none.

    Raises:
        InvalidDocument: there is something else.
    """
    value = node.get(key)
    return {} if value is None else as_mapping(value, repr(key))


def list_in(node: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list at a key of a node; an empty one where there is none.

    Raises:
        InvalidDocument: there is something else.
    """
    value = node.get(key)
    if value is None:
        return []
    # A mapping that is given in Python may hold tuples.
    if not isinstance(value, list | tuple):
        raise InvalidDocument(f"{key!r} is {_kind(value)}, where a list is expected.")
    return [*value]


def text_in(node: Mapping[str, Any], key: str) -> str:
    """Return the words at a key of a node; none where there is anything but words."""
    value = node.get(key)
    return str(value) if isinstance(value, str | int | float) else ""


def as_mapping(value: object, what: str) -> Mapping[str, Any]:
    """Return what is an object.

    Raises:
        InvalidDocument: it is none; `what` says how to call it.
    """
    if not isinstance(value, Mapping):
        raise InvalidDocument(f"{what} is {_kind(value)}, where an object is expected.")
    return value


def _kind(value: object) -> str:
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "an object")


@contextmanager
def within(place: str) -> Iterator[None]:
    """Name the place, e.g. ``GET /items/{id}``, in the errors of what is read meanwhile."""
    try:
        yield
    except InvalidDocument as error:
        raise InvalidDocument(f"{place}: {error}") from None


def is_3_0(document: Mapping[str, Any]) -> bool:
    """Whether nothing may stand beside a ``$ref`` (OpenAPI 3.0 §4.7.23)."""
    return str(document.get("openapi", "")).startswith("3.0")


def resolve(document: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """Follow ``$ref`` until it ends, e.g. ``{"$ref": "#/components/parameters/Id"}``.

    From OpenAPI 3.1 on a reference may replace the description of what it points to (§4.8.23).

    Raises:
        InvalidDocument: the reference is not inside the document, points to nothing, or to itself.
    """
    seen: set[str] = set()
    words: dict[str, Any] = {}
    current = node
    while isinstance(pointer := current.get("$ref"), str):
        if pointer in seen:
            message = f"The OpenAPI document refers to itself at {pointer!r} and nothing else."
            raise InvalidDocument(message)
        seen.add(pointer)
        if not is_3_0(document):
            own = {key: current[key] for key in ("summary", "description") if key in current}
            words = own | words
        current = as_mapping(pointed_to(document, pointer), f"What is at {pointer!r}")
    return {**current, **words}


def pointed_to(document: Mapping[str, Any], pointer: str) -> object:
    """Return what is at an RFC 6901 pointer in URI fragment form (``#/a/b``).

    Raises:
        InvalidDocument: there is nothing. Another file, or another host, is never asked.
    """
    target: Any = document
    try:
        if not pointer.startswith("#/"):
            raise KeyError(pointer)
        for part in pointer[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            target = target[int(key)] if isinstance(target, list) else target[key]
    except (KeyError, IndexError, TypeError, ValueError):
        target = None
    if target is None:
        message = f"The OpenAPI document refers to {pointer!r}, which it does not contain."
        if not pointer.startswith("#"):
            message += " Put its files into one first, for example with `redocly bundle`."
        raise InvalidDocument(message)
    found: object = target
    return found


def schema_in(node: Mapping[str, Any]) -> Schema:
    """Return the schema of a parameter or of a body; ``{}`` where there is none.

    Raises:
        InvalidDocument: there is something else.
    """
    schema = node.get("schema")
    if schema is None or schema is True:
        return {}
    return {"not": {}} if schema is False else dict(as_mapping(schema, "'schema'"))


def content_in(document: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the representations of a body by media type; those that cannot be written are left."""
    return {
        str(media_type): resolve(document, as_mapping({} if raw is None else raw, repr(media_type)))
        for media_type, raw in mapping_in(node, "content").items()
        if str(media_type).isascii() and str(media_type).isprintable()
        if not str(media_type).startswith("x-")
    }
