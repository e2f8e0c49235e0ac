"""Writes the values of parameters in their styles: path, query, headers and cookies. Pure.

Each function here prepares, once for each tool, the function that writes the values of a call.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from mcp_mount.conversion.texts import (
    SCALAR,
    check_length,
    join,
    write_delimited,
    write_text,
    write_utf8,
)
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.media import FORM
from mcp_mount.openapi.parameters import Parameter

Named = tuple[str, Parameter]
"""A parameter, and before it the name of the argument that fills it."""

# RFC 3986 §2.3.
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")
# What `allowReserved` leaves as it is. The rest of RFC 3986 §2.2 ends a value, or a query, or reads
# as a space; a `%` is one that the value holds.
_RESERVED: Final = ":/?@!$'()*,;="
_DEEPEST: Final = 30
_LONGEST_NAME: Final = 2_000
"""Characters of a name with brackets, which is written anew for each value inside."""
_MOST_LINES: Final = 1_000
"""Lines of header fields; servers take fewer, and everybody between here and there reads each."""
_SEPARATORS: Final[Mapping[str, str]] = {"spaceDelimited": " ", "pipeDelimited": "|"}


def percent_encode(text: str, safe: str = "") -> str:
    """Percent-encode a text; most have nothing to encode, which is soon seen."""
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe=safe)


def path_writer(
    template: str, parameters: Iterable[Named]
) -> Callable[[Mapping[str, Any]], tuple[str, dict[str, str]]]:
    """Prepare a path such as ``"/users/{id}"``.

    What is returned gives, for the arguments of a call, the percent-encoded path and the values in
    it. Each value stays in its segment: ``../admin`` is ``..%2Fadmin``.
    """
    named = {parameter.name: (argument, parameter) for argument, parameter in parameters}
    # A name that no parameter has stays as it is.
    names = "|".join(map(re.escape, named)) or "(?!)"
    start, *rest = re.split(rf"\{{({names})\}}", template)
    start, *ends = (quote(text, safe="/:@!$&'()*+,;=~%") for text in (start, *rest[1::2]))
    slots = [(*named[name], end) for name, end in zip(rest[::2], ends, strict=True)]

    def write_path(arguments: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        path, values = start, {}
        for argument, parameter, end in slots:
            value = arguments.get(argument)
            if value is None:
                raise InvalidArguments(f"Missing argument {argument!r}.")
            text = write_delimited(argument, parameter, value)
            check_length(argument, len(text))
            encoded = percent_encode(text)
            if isinstance(value, list | Mapping):
                encoded = write_delimited(argument, parameter, value, encode=percent_encode)
            if text in {"", ".", ".."} or "\0" in text:
                raise InvalidArguments(f"{argument!r} is part of a path: it cannot be {text!r}.")
            values[parameter.name] = text
            path += encoded + end
        if "/." in path and not {".", ".."}.isdisjoint(path.split("/")):
            raise InvalidArguments(f"The path would be {path!r}, which leads elsewhere.")
        return path, values

    return write_path


def query_writer(parameters: Iterable[Named]) -> Callable[[Mapping[str, Any]], str]:
    """Prepare a query such as ``"q=a%20b&tag=x&tag=y"`` (OpenAPI 3.1 §4.8.12.2)."""
    prepared = [(argument, _query_part_writer(argument, each)) for argument, each in parameters]

    def write_query(arguments: Mapping[str, Any]) -> str:
        texts, length = [], 0
        for argument, write in prepared:
            value = arguments.get(argument)
            if value is not None and (text := write(value)):
                texts.append(text)
                length += len(text)
                check_length(argument, length)
        return "&".join(texts)

    return write_query


def _query_part_writer(argument: str, parameter: Parameter) -> Callable[[Any], str]:
    is_form = parameter.is_whole and parameter.media_type == FORM
    if is_form:
        # The fields of a form are the query that an object is, exploded.
        parameter = replace(parameter, media_type=None, is_whole=False)
    safe = _RESERVED if parameter.allow_reserved else ","
    start = f"{percent_encode(parameter.name)}="

    def encode(text: str, safe: str = safe) -> str:
        check_length(argument, len(text))
        return percent_encode(text, safe)

    def write(value: Any) -> str:
        if isinstance(value, SCALAR) and parameter.media_type is None:
            return start + encode(write_text(argument, value))
        if isinstance(value, list | Mapping):
            check_length(argument, len(value))
        if is_form and isinstance(value, Mapping):
            items = value.items()
            value = {
                key: write_utf8(each).decode() if isinstance(each, Mapping) else each
                for key, each in items
            }
        pairs = query_pairs(argument, parameter, value)
        if parameter.is_whole:
            return "".join(encode(text) for _, text in pairs)
        texts = (f"{encode(name, '')}={encode(text)}" for name, text in pairs)
        return join(argument, "&", texts)

    return write


def query_pairs(argument: str, parameter: Parameter, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of one parameter, as they stand in a query or in a form."""
    if _is_empty(argument, parameter, value):
        return
    is_structure = isinstance(value, list | Mapping) and parameter.media_type is None
    if is_structure and parameter.style == "deepObject":
        yield from _deep_pairs(argument, parameter.name, value)
    elif is_structure and parameter.explode:
        # A list in an object is written like one beside it: Spring's `Pageable` has one of these.
        for key, item in value.items() if isinstance(value, Mapping) else [(parameter.name, value)]:
            for each in item if isinstance(item, list) else [] if item is None else [item]:
                yield write_text(argument, key), write_text(argument, each)
    else:
        separator = _SEPARATORS.get(parameter.style, ",")
        yield parameter.name, write_delimited(argument, parameter, value, separator)


def _deep_pairs(
    argument: str, name: str, value: object, depth: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield ``("color[R]", "100")``, and what is inside of that as most servers read it.

    What OpenAPI leaves open is written as by PHP, Rails, Express and the API of Stripe:
    ``a[b][c]=1``, ``a[b][]=1`` for each item, and ``a[b][0][c]=1`` for items that hold others.
    """
    if depth > _DEEPEST:
        raise InvalidArguments(f"{argument!r} is nested too deeply for a query.")
    if len(name) > _LONGEST_NAME:
        message = f"{argument!r} has a name of more than {_LONGEST_NAME:,} characters."
        raise InvalidArguments(message)
    if isinstance(value, Mapping):
        for key, item in value.items():
            if item is not None:
                inner = f"{name}[{write_text(argument, key)}]"
                yield from _deep_pairs(argument, inner, item, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            inner = f"{name}[{index if isinstance(item, Mapping | list) else ''}]"
            yield from _deep_pairs(argument, inner, item, depth + 1)
    else:
        yield name, write_text(argument, value)


def _is_empty(argument: str, parameter: Parameter, value: object) -> bool:
    """Whether a value is an empty list or object, of which nothing is sent."""
    if value not in ([], {}) or parameter.media_type is not None:
        return False
    if parameter.schema.get("default"):
        raise InvalidArguments(f"{argument!r} cannot be empty, which is written like its default.")
    return True


def header_writer(
    headers: Iterable[Named], cookies: Iterable[Named]
) -> Callable[[Mapping[str, Any]], list[tuple[bytes, bytes]]]:
    """Prepare header lines, the one ``Cookie`` line (RFC 6265 §4.2.1) among them."""
    headers, cookies = [*headers], [*cookies]

    def write_headers(arguments: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
        lines: list[tuple[bytes, bytes]] = []
        for argument, parameter in headers:
            room = _MOST_LINES - len(lines)
            texts = _header_texts(argument, parameter, arguments.get(argument), room)
            name = parameter.name.lower().encode("latin-1")
            lines += ((name, _field_value(argument, text)) for text in texts)
        pairs = [
            parameter.name.encode("latin-1") + b"=" + _field_value(argument, text)
            for argument, parameter in cookies
            for text in _cookie_texts(argument, parameter, arguments.get(argument))
        ]
        return [*lines, (b"cookie", b"; ".join(pairs))] if pairs else lines

    return write_headers


def _header_texts(argument: str, parameter: Parameter, value: Any, room: int) -> list[str]:
    if value is None or _is_empty(argument, parameter, value):
        return []
    if isinstance(value, list) and not parameter.style:
        # A list without a style is one line for each item (RFC 9110 §5.3).
        if len(value) > room:
            message = f"{argument!r} is a header: all have {_MOST_LINES:,} lines at the most."
            raise InvalidArguments(message)
        texts = [write_text(argument, item) for item in value]
        check_length(argument, sum(map(len, texts)))
        return texts
    return [write_delimited(argument, parameter, value)]


def _cookie_texts(argument: str, parameter: Parameter, value: Any) -> list[str]:
    if value is None or _is_empty(argument, parameter, value):
        return []
    text = write_delimited(argument, parameter, value)
    if parameter.media_type is not None:
        # A JSON document has quotation marks, which no cookie can hold.
        return [percent_encode(text)]
    if isinstance(value, list | Mapping) and (parameter.explode or not parameter.style):
        raise InvalidArguments(f"{argument!r} is a cookie: it cannot hold a list or an object.")
    # A comma separates the items of a list, and nothing else may look like one.
    if re.search(r'[;"\\\s]' if isinstance(value, list | Mapping) else r'[;,"\\\s]', text):
        message = f'{argument!r} is a cookie: it cannot hold spaces or any of ; , " \\.'
        raise InvalidArguments(message)
    return [text]


def _field_value(argument: str, text: str) -> bytes:
    """Write a header's value (RFC 9110 §5.5): Latin-1, and nothing that a reader would drop."""
    check_length(argument, len(text))
    try:
        value = text.encode("latin-1")
    except UnicodeEncodeError:
        message = f"{argument!r} is a header: it can hold Latin-1 characters only."
        raise InvalidArguments(message) from None
    if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]\Z", value):
        message = f"{argument!r} is a header: no control characters, no spaces around it."
        raise InvalidArguments(message)
    return value
