"""Reads the nodes of an OpenAPI document, and follows its references.

Null counts as absent, and a number as text: both are common in real documents. Any other value of a
wrong type raises `InvalidDocument`, which names the place.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote

from mcp_mount.errors import InvalidDocument
from mcp_mount.openapi.sizes import count_characters

Schema = dict[str, Any]

_MOST_SHARED: Final = 64 * 1024 * 1024
"""Characters that what operations share stands for, or a few times as many as a document has."""
_TIMES_DOCUMENT: Final = 4
_OF_VALUE: Final = 50
"""Characters whose reading takes as long as that of a value."""
_SHOWN: Final = 200
"""Characters of a reference that an error shows."""

_TYPES: Final[Mapping[type, str]] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    type(None): "null",
}


class Document(dict[str, Any]):
    """A document whose operations are read while what they share stands for no more than can be.

    What many references lead to is read for each of them.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take the document, which does not change meanwhile."""
        super().__init__(document)
        self._targets: dict[str, object] = {}
        self._left = _MOST_SHARED
        self._is_measured = False

    def follow(self, pointer: str) -> object:
        """Return what `resolve_pointer` does.

        Raises:
            InvalidDocument: as that does, or with it there is too much.
        """
        self.spend(pointer)
        if pointer not in self._targets:
            self._targets[pointer] = resolve_pointer(self, pointer)
        self.spend(self._targets[pointer])
        return self._targets[pointer]

    def spend(self, value: object) -> None:
        """Count a value that is read once more.

        Raises:
            InvalidDocument: with it, there is too much.
        """
        if self._left >= 0:
            self._left -= _weigh(value)
        if self._left < 0 and not self._is_measured:
            self._left += max(0, _TIMES_DOCUMENT * count_characters(self) - _MOST_SHARED)
            self._is_measured = True
        if self._left < 0:
            raise InvalidDocument("with it, what operations share is too much to be read for each.")


def _weigh(value: object) -> int:
    """Return how many characters take as long to be read as a JSON value."""
    count, values = 0, [value]
    while values:
        each = values.pop()
        count += _OF_VALUE
        if isinstance(each, str):
            count += len(each)
        elif isinstance(each, Mapping):
            count += sum(len(str(name)) for name in each)
            values += each.values()
        elif isinstance(each, list | tuple):
            values += each
    return count


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


def get_content(document: Document, node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
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


def resolve(document: Document, node: Mapping[str, Any]) -> Mapping[str, Any]:
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
            what = f"itself at {pointer[:_SHOWN]!r}"
            message = f"The OpenAPI document refers to {what} and nothing else."
            raise InvalidDocument(message)
        seen.add(pointer)
        if not is_3_0(document):
            words = {key: node[key] for key in ("summary", "description") if key in node} | words
        node = expect_mapping(document.follow(pointer), f"What is at {pointer[:_SHOWN]!r}")
    return {**node, **words} if words else node


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
        message = f"The OpenAPI document refers to {pointer[:_SHOWN]!r}, which it does not contain."
        if not pointer.startswith("#"):
            message += " Put its files into one first, for example with `redocly bundle`."
        raise InvalidDocument(message)
    found: object = target
    return found
