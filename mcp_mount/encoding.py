"""Writes the values of arguments where they go in a request: path, query, headers and body. Pure.

A value arrives at the route exactly as it was given, or the call is refused: nothing is cut,
cleaned or replaced. `null`, which only JSON can write, is left out elsewhere.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import httpx2

from mcp_mount.bodies import Encoding
from mcp_mount.errors import InvalidArguments
from mcp_mount.media import FORM, is_json, is_text
from mcp_mount.nodes import Schema
from mcp_mount.parameters import Parameter

FILE: Final[Schema] = {
    "type": "object",
    "description": "A file: its content as `text` or as `base64`.",
    "properties": {
        "filename": {"type": "string"},
        "media_type": {"type": "string", "description": "For example image/png."},
        "text": {"type": "string"},
        "base64": {"type": "string"},
    },
    "additionalProperties": False,
}

# RFC 3986 §2.3.
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")
# What `allowReserved` leaves as it is. The rest of RFC 3986 §2.2 ends a value, or a query, or reads
# as a space; a `%` is one that the value holds.
_RESERVED = ":/?@!$'()*,;="
_SCALAR = (str, int, float)
_SEPARATORS: Mapping[str, str] = {"spaceDelimited": " ", "pipeDelimited": "|"}


class Given(NamedTuple):
    """The value of one parameter, and the name of the argument it came from."""

    argument: str
    parameter: Parameter
    value: Any


AS_IS: Final = Encoding()
"""Of a field of which the document says nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """The value of one field of a form, and the name of the argument it came from."""

    argument: str
    name: str
    value: Any
    is_file: bool = False
    encoding: Encoding = AS_IS


def write_path(template: str, given: Iterable[Given]) -> tuple[str, dict[str, str]]:
    """Fill ``"/users/{id}"``; return the percent-encoded path, and the values in it.

    Each value stays in its segment: ``../admin`` is ``..%2Fadmin``.
    """
    values: dict[str, str] = {}
    written: dict[str, str] = {}
    for each in given:
        parameter = each.parameter
        if isinstance(each.value, _SCALAR) and parameter.style == "simple":
            text = _scalar(each.argument, each.value)
            written[parameter.name] = _quoted(text)
        else:
            text = _in_path(each, str)
            written[parameter.name] = _in_path(each, _quoted)
        if text in {"", ".", ".."} or "\0" in text:
            message = f"{each.argument!r} is part of a path: it cannot be {text!r}."
            raise InvalidArguments(message)
        values[parameter.name] = text
    filled = [*_template_parts(template)]
    for index in range(1, len(filled), 2):
        # A name that has no value is no parameter, and stays as it is.
        name = filled[index]
        filled[index] = written[name] if name in written else _quoted(f"{{{name}}}")
    path = "".join(filled)
    if "/." in path and not {".", ".."}.isdisjoint(path.split("/")):
        message = f"The path would be {path!r}, which leads elsewhere."
        raise InvalidArguments(message)
    return path, values


def _in_path(each: Given, write: Callable[[str], str]) -> str:
    """Write a value in its style (OpenAPI 3.1 §4.8.12.4), each of its texts with `write`."""
    value, parameter = each.value, each.parameter
    if value in ([], {}):
        return ""
    is_exploded = isinstance(value, list | Mapping) and parameter.explode
    if parameter.style == "label":
        return "." + _delimited(each, "." if is_exploded else ",", write)
    if parameter.style != "matrix":
        return _delimited(each, ",", write)
    name = write(parameter.name)
    if is_exploded and isinstance(value, list):
        items = [_delimited(each._replace(value=[item]), ";", write) for item in value]
        return "".join(f";{name}={item}" for item in items)
    if is_exploded:
        return ";" + _delimited(each, ";", write)
    text = _delimited(each, ",", write)
    return f";{name}={text}" if text else f";{name}"


@lru_cache(maxsize=4096)
def _template_parts(template: str) -> tuple[str, ...]:
    """Split ``"/users/{id}/x"`` into text and names in turn: ``("/users/", "id", "/x")``."""
    texts = re.split(r"\{([^{}]+)\}", template)
    texts[::2] = [quote(text, safe="/{}:@!$&'()*+,;=~%") for text in texts[::2]]
    return tuple(texts)


def _quoted(text: str, safe: str = "") -> str:
    """Percent-encode a text; most have nothing to encode, which is soon seen."""
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe=safe)


def write_query(given: Iterable[Given]) -> str:
    """Write ``"q=a%20b&tag=x&tag=y"``, each value in its style (OpenAPI 3.1 §4.8.12.2)."""
    return "&".join(
        f"{_quoted(name)}={_quoted(text, _RESERVED if each.parameter.allow_reserved else ',')}"
        for each in given
        for name, text in _query_pairs(each)
    )


def _query_pairs(each: Given) -> Iterator[tuple[str, str]]:
    parameter, value = each.parameter, each.value
    if parameter.media_type is not None:
        yield parameter.name, _document(each)
    elif isinstance(value, _SCALAR):
        yield parameter.name, _scalar(each.argument, value)
    elif isinstance(value, Mapping) and parameter.style == "deepObject":
        for key, text in _properties(each):
            yield f"{parameter.name}[{key}]", text
    elif isinstance(value, Mapping) and parameter.explode:
        yield from _properties(each)
    elif isinstance(value, list) and parameter.explode:
        for item in value:
            yield parameter.name, _scalar(each.argument, item)
    elif value not in ([], {}):
        yield parameter.name, _delimited(each, _SEPARATORS.get(parameter.style, ","))


def write_headers(given: Iterable[Given]) -> Iterator[tuple[bytes, bytes]]:
    """Yield header lines; a list without a style is one line for each item (RFC 9110 §5.3)."""
    for each in given:
        value, parameter = each.value, each.parameter
        if isinstance(value, list) and not parameter.style:
            items = value
        else:
            items = [] if value in ([], {}) else [_delimited(each, ",")]
        for item in items:
            text = _scalar(each.argument, item)
            yield parameter.name.lower().encode("latin-1"), _field_value(each.argument, text)


def write_cookies(given: Iterable[Given]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the one ``Cookie`` header (RFC 6265 §4.2.1), if there is anything for it."""
    pairs = [
        name.encode("latin-1") + b"=" + _field_value(each.argument, text)
        for each in given
        for name, text in _cookie_pairs(each)
    ]
    if pairs:
        yield b"cookie", b"; ".join(pairs)


def _cookie_pairs(each: Given) -> Iterator[tuple[str, str]]:
    value, parameter = each.value, each.parameter
    if parameter.media_type is not None:
        # A JSON document has quotation marks, which no cookie can hold.
        yield parameter.name, _quoted(_document(each))
        return
    is_styled = isinstance(value, list | Mapping) and parameter.style != ""
    if is_styled and parameter.explode:
        pairs = [*_query_pairs(each)]
        _check_cookie(each.argument, [text for pair in pairs for text in pair], ";,&=")
        if parameter.style == "form" and pairs:
            # By the letter of OpenAPI 3.1, where a cookie is in the form of a query (appendix D).
            (name, text), *others = pairs
            pairs = [(name, "&".join([text, *("=".join(pair) for pair in others)]))]
        yield from pairs
    elif value not in ([], {}):
        text = _delimited(each, ",")
        _check_cookie(each.argument, [text], ";" if is_styled else ";,")
        yield parameter.name, text


def _check_cookie(argument: str, texts: Iterable[str], separators: str) -> None:
    if any(re.search(rf'[{separators}"\\\s]', text) for text in texts):
        known = " ".join(separators)
        message = f'{argument!r} is a cookie: it cannot hold spaces or any of {known} " \\.'
        raise InvalidArguments(message)


def write_json(value: object) -> bytes:
    """Write JSON in ASCII: half a character then stays the escape it was, and breaks no encoder."""
    return _compact(value).encode()


def write_form(parts: Iterable[Part]) -> tuple[bytes, str]:
    """Write a URL-encoded form; return it with its content type."""
    fields = [(name, text) for part in parts for name, text, _ in _form_fields(part)]
    return urlencode(fields).encode(), FORM


def write_multipart(parts: Iterable[Part]) -> tuple[bytes, str]:
    """Write a form with files (RFC 7578); return it with its content type.

    A part without a file name is a plain field.
    """
    written: list[tuple[str, tuple[str | None, bytes, str | None]]] = []
    for part in parts:
        media_type = part.encoding.media_type
        if not part.is_file:
            written += [
                (name, (None, text.encode(), kind))
                for name, text, kind in _form_fields(part, media_type)
            ]
        elif part.value is not None:
            for item in part.value if isinstance(part.value, list) else [part.value]:
                file = _file(part.argument, item, media_type)
                written.append((part.name, (file.filename, file.content, file.media_type)))
    # The host is never asked: httpx2 writes the parts, and nothing is sent through it.
    request = httpx2.Request("POST", "http://localhost", files=written or {"": (None, b"")})
    return request.read(), request.headers["content-type"]


def write_whole(argument: str, value: object, media_type: str) -> tuple[bytes, str]:
    """Write a body that is one value: JSON, text, or the content of a file."""
    if is_json(media_type):
        return write_json(value), media_type
    if is_text(media_type):
        text = _scalar(argument, value)
        media_type = media_type.replace("text/*", "text/plain")
        if not text.isascii() and "charset" not in media_type:
            # Without it some servers read Latin-1, which was once the default.
            media_type = f"{media_type}; charset=utf-8"
        return text.encode(), media_type
    file = _file(argument, value)
    # A range of types, such as `image/*`, leaves the choice to the sender.
    return file.content, file.media_type if "*" in media_type else media_type


def _form_fields(part: Part, media_type: str = "") -> Iterator[tuple[str, str, str | None]]:
    """Yield name, text and media type of a field; an object is JSON (OpenAPI 3.1 §4.8.15.1)."""
    if part.value is None:
        return
    if part.encoding.style and isinstance(part.value, list | Mapping):
        style, explode = part.encoding.style, part.encoding.explode
        parameter = Parameter(part.name, "query", {}, style=style, explode=explode)
        for name, text in _query_pairs(Given(part.argument, parameter, part.value)):
            yield name, text, None
        return
    for item in part.value if isinstance(part.value, list) else [part.value]:
        if isinstance(item, dict | list):
            yield part.name, _compact(item), media_type or "application/json"
        else:
            text = _compact(item) if is_json(media_type) else _scalar(part.argument, item)
            yield part.name, text, media_type or None


def _properties(each: Given) -> Iterator[tuple[str, str]]:
    for key, item in each.value.items():
        if item is not None:
            yield _scalar(each.argument, key), _scalar(each.argument, item)


def _delimited(each: Given, separator: str, write: Callable[[str], str] = str) -> str:
    """Write a value as one text; what it consists of cannot hold what separates it."""
    value, parameter = each.value, each.parameter
    if parameter.media_type is not None:
        return write(_document(each))
    items: list[tuple[str, ...]]
    if isinstance(value, list):
        items = [(_scalar(each.argument, item),) for item in value]
    elif isinstance(value, Mapping):
        items = [*_properties(each)]
    else:
        return write(_scalar(each.argument, value))
    if any(separator in text for item in items for text in item):
        message = f"{each.argument!r} separates its items by {separator!r}: none can hold it."
        raise InvalidArguments(message)
    within = "=" if parameter.explode else separator
    return separator.join(within.join(map(write, item)) for item in items)


def _document(each: Given) -> str:
    """Write a value that is a document of its own (`content` instead of `schema`)."""
    is_text = isinstance(each.value, _SCALAR) and not is_json(each.parameter.media_type or "")
    return _scalar(each.argument, each.value) if is_text else _compact(each.value)


def _scalar(argument: str, value: object) -> str:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            message = f"{argument!r} holds half of a character (a lone surrogate)."
            raise InvalidArguments(message) from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        # Without an exponent, which a path's own pattern for numbers does not take.
        return format(Decimal(repr(value)), "f")
    if isinstance(value, float):
        return _compact(value)
    kind = {type(None): "null", dict: "object"}.get(type(value), type(value).__name__)
    message = f"{argument!r} is written as text: it cannot hold a value of type {kind}."
    raise InvalidArguments(message)


_compact: Final = json.JSONEncoder(separators=(",", ":")).encode


def _field_value(argument: str, text: str) -> bytes:
    """Write a header's value (RFC 9110 §5.5): Latin-1, and nothing that a reader would drop."""
    try:
        value = text.encode("latin-1")
    except UnicodeEncodeError:
        message = f"{argument!r} is a header: it can hold Latin-1 characters only."
        raise InvalidArguments(message) from None
    if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]\Z", value):
        message = f"{argument!r} is a header: no control characters, no spaces around it."
        raise InvalidArguments(message)
    return value


@dataclass(frozen=True, slots=True)
class _File:
    filename: str
    media_type: str
    content: bytes


def _file(argument: str, value: object, expected: str = "") -> _File:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, Mapping) or value.keys() - FILE["properties"].keys():
        message = f"{argument!r} is a file: an object with `filename`, `text` or `base64`."
        raise InvalidArguments(message)
    if any(not isinstance(item, str) for item in value.values()):
        message = f"{argument!r} is a file: all its properties are strings."
        raise InvalidArguments(message)
    if ("text" in value) == ("base64" in value):
        message = f"{argument!r} is a file: give its content either as `text` or as `base64`."
        raise InvalidArguments(message)
    if "text" in value:
        content, default = _scalar(argument, value["text"]).encode(), "text/plain; charset=utf-8"
    else:
        content, default = _decoded(argument, value["base64"]), "application/octet-stream"
    filename = _scalar(argument, value.get("filename", "file"))
    if not filename or re.search(r'[\x00-\x1f\x7f"\\]', filename):
        # Readers disagree on how these are escaped (RFC 7578 §4.2, RFC 6266 appendix D).
        message = f'{argument!r} has a `filename` that is empty, or holds ", \\ or a line break.'
        raise InvalidArguments(message)
    media_type = value.get("media_type", expected or default)
    # Each part ends where the next begins, so that no text takes long to refuse.
    is_written_well = re.fullmatch(r"[!#$&^\w.+-]+/[!#$&^\w.+*-]+(;[ -~]*)?", media_type, re.ASCII)
    if len(media_type) > 255 or not is_written_well or media_type.endswith(" "):
        message = f"{argument!r} has a `media_type` that is none: write it like image/png."
        raise InvalidArguments(message)
    return _File(filename, media_type, content)


def _decoded(argument: str, text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        message = f"{argument!r} holds `base64` that cannot be decoded."
        raise InvalidArguments(message) from None
