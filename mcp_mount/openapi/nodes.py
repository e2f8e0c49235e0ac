"""Reads the nodes of an OpenAPI document, and follows its references.

Null counts as absent, and a number as text: both are common in real documents. Any other value of a
wrong type raises `InvalidDocument`, which names the place.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote

from mcp_mount.errors import InvalidDocument

Schema = dict[str, Any]

_TYPES: Final[Mapping[type, str]] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    type(None): "null",
}


def get_mapping(node: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object at `key`, or an empty one."""
    value = node.get(key)
    return {} if value is None else expect_mapping(value, repr(key))


def get_list(node: Mapping[str, Any], key: str) -> list[Any]:
    """Return the list at `key`, or an empty one."""
    value = node.get(key)
    if value is None:
        return []
    # A document given as a Python mapping may hold tuples.
    if not isinstance(value, list | tuple):
        raise InvalidDocument(f"{key!r} is {_describe_type(value)}, where a list is expected.")
    return [*value]


def get_text(node: Mapping[str, Any], key: str) -> str:
    """Return the text or number at `key` as text; ``""`` for anything else."""
    value = node.get(key)
    return str(value) if isinstance(value, str | int | float) else ""


def get_schema(node: Mapping[str, Any]) -> Schema:
    """Return the ``schema`` of a parameter or media type, or ``{}``."""
    schema = node.get("schema")
    if schema is None or schema is True:
        return {}
    return {"not": {}} if schema is False else dict(expect_mapping(schema, "'schema'"))


def get_content(document: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the ``content`` of a node by media type, without names that no header can hold."""
    return {
        str(name): resolve(document, expect_mapping({} if raw is None else raw, repr(name)))
        for name, raw in get_mapping(node, "content").items()
        if str(name).isascii() and str(name).isprintable() and not str(name).startswith("x-")
    }


def expect_mapping(value: object, what: str) -> Mapping[str, Any]:
    """Return `value` if it is an object; the error calls it `what`."""
    if not isinstance(value, Mapping):
        raise InvalidDocument(f"{what} is {_describe_type(value)}, where an object is expected.")
    return value


def _describe_type(value: object) -> str:
    return next((name for kind, name in _TYPES.items() if isinstance(value, kind)), "an object")


@contextmanager
def within(place: str) -> Iterator[None]:
    """Prefix errors with the place they come from, e.g. ``GET /items/{id}``."""
    try:
        yield
    except InvalidDocument as error:
        raise InvalidDocument(f"{place}: {error}") from None


def is_3_0(document: Mapping[str, Any]) -> bool:
    """Whether what stands beside a ``$ref`` is ignored (OpenAPI 3.0 §4.7.23)."""
    return str(document.get("openapi", "")).startswith("3.0")


def resolve(document: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Any]:
    """Follow ``$ref`` to its end, e.g. ``{"$ref": "#/components/parameters/Id"}``.

    From OpenAPI 3.1 on, a ``summary`` or ``description`` beside the reference replaces that of its
    target (§4.8.23).

    Raises:
        InvalidDocument: the target is missing, outside of the document, or the reference itself.
    """
    seen: set[str] = set()
    words: dict[str, Any] = {}
    while isinstance(pointer := node.get("$ref"), str):
        if pointer in seen:
            message = f"The OpenAPI document refers to itself at {pointer!r} and nothing else."
            raise InvalidDocument(message)
        seen.add(pointer)
        if not is_3_0(document):
            words = {key: node[key] for key in ("summary", "description") if key in node} | words
        node = expect_mapping(resolve_pointer(document, pointer), f"What is at {pointer!r}")
    return {**node, **words}


def resolve_pointer(document: Mapping[str, Any], pointer: str) -> object:
    """Return the value at an RFC 6901 pointer in URI fragment form, e.g. ``#/paths``.

    Raises:
        InvalidDocument: there is no such value. Other files and hosts are never read.
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
