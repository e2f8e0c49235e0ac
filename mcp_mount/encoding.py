"""Writes the values of arguments where they go in a request: path, query, headers and body. Pure.

A value arrives at the route exactly as it was given, or the call is refused: nothing is cut,
cleaned or replaced. `null`, which only JSON can write, is left out elsewhere.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import httpx2

from mcp_mount.errors import InvalidArguments
from mcp_mount.operations import Parameter, Schema, is_json

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
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"

# RFC 3986 §2.3.
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")
_SCALAR = (str, int, float)
_SEPARATORS: Mapping[str, str] = {"spaceDelimited": " ", "pipeDelimited": "|"}


class Given(NamedTuple):
    """The value of one parameter, and the name of the argument it came from."""

    argument: str
    parameter: Parameter
    value: Any


@dataclass(frozen=True, slots=True)
class Part:
    """The value of one field of a form, and the name of the argument it came from."""

    argument: str
    name: str
    value: Any
    is_file: bool = False


def write_path(template: str, given: Iterable[Given]) -> tuple[str, dict[str, str]]:
    """Fill ``"/users/{id}"``; return the percent-encoded path, and the values in it.

    Each value stays in its segment: ``../admin`` is ``..%2Fadmin``.
    """
    values: dict[str, str] = {}
    for each in given:
        text = _delimited(each, ",")
        if text in {"", ".", ".."} or "\0" in text:
            message = f"{each.argument!r} is part of a path: it cannot be {text!r}."
            raise InvalidArguments(message)
        values[each.parameter.name] = text
    filled = [*_template_parts(template)]
    for index in range(1, len(filled), 2):
        # A name that has no value is no parameter, and stays as it is.
        name = filled[index]
        filled[index] = _quoted(values.get(name, f"{{{name}}}"))
    return "".join(filled), values


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
    pairs = [pair for each in given for pair in _query_pairs(each)]
    return "&".join(f"{_quoted(name)}={_quoted(text, ',')}" for name, text in pairs)


def _query_pairs(each: Given) -> Iterator[tuple[str, str]]:
    parameter, value = each.parameter, each.value
    if parameter.media_type is not None:
        yield parameter.name, _compact(value)
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
    """Yield header lines; a list is one line for each item (RFC 9110 §5.3)."""
    for each in given:
        items = each.value if isinstance(each.value, list) else [_delimited(each, ",")]
        for item in items:
            text = _scalar(each.argument, item)
            yield each.parameter.name.lower().encode("latin-1"), _field_value(each.argument, text)


def write_cookies(given: Iterable[Given]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the one ``Cookie`` header (RFC 6265 §4.2.1), if there is anything for it."""
    pairs = []
    for each in given:
        text = _delimited(each, ",")
        if re.search(r'[;,"\\\s]', text):
            message = f'{each.argument!r} is a cookie: it cannot hold spaces or any of ; , " \\.'
            raise InvalidArguments(message)
        value = _field_value(each.argument, text)
        pairs.append(each.parameter.name.encode("latin-1") + b"=" + value)
    if pairs:
        yield b"cookie", b"; ".join(pairs)


def write_json(value: object) -> bytes:
    """Write JSON in ASCII: half a character then stays the escape it was, and breaks no encoder."""
    return _compact(value).encode()


def write_form(parts: Iterable[Part]) -> tuple[bytes, str]:
    """Write a URL-encoded form; return it with its content type."""
    return urlencode([pair for part in parts for pair in _form_pairs(part)]).encode(), FORM


def write_multipart(parts: Iterable[Part]) -> tuple[bytes, str]:
    """Write a form with files (RFC 7578); return it with its content type.

    A part without a file name is a plain field.
    """
    written: list[tuple[str, tuple[str | None, bytes, str | None]]] = []
    for part in parts:
        if not part.is_file:
            written += [(name, (None, text.encode(), None)) for name, text in _form_pairs(part)]
        elif part.value is not None:
            for item in part.value if isinstance(part.value, list) else [part.value]:
                file = _file(part.argument, item)
                written.append((part.name, (file.filename, file.content, file.media_type)))
    # The host is never asked: httpx2 writes the parts, and nothing is sent through it.
    request = httpx2.Request("POST", "http://localhost", files=written or {"": (None, b"")})
    return request.read(), request.headers["content-type"]


def write_whole(argument: str, value: object, media_type: str) -> tuple[bytes, str]:
    """Write a body that is one value: JSON, text, or the content of a file."""
    if is_json(media_type):
        return write_json(value), media_type
    if media_type.startswith("text/"):
        return _scalar(argument, value).encode(), media_type
    file = _file(argument, value)
    # A range of types, such as `image/*`, leaves the choice to the sender.
    return file.content, file.media_type if "*" in media_type else media_type


def _form_pairs(part: Part) -> Iterator[tuple[str, str]]:
    if part.value is None:
        return
    for item in part.value if isinstance(part.value, list) else [part.value]:
        is_json_value = isinstance(item, dict | list)
        yield part.name, _compact(item) if is_json_value else _scalar(part.argument, item)


def _properties(each: Given) -> Iterator[tuple[str, str]]:
    for key, item in each.value.items():
        if item is not None:
            yield _scalar(each.argument, key), _scalar(each.argument, item)


def _delimited(each: Given, separator: str) -> str:
    """Write a value as one text; what it consists of cannot hold what separates it."""
    value = each.value
    if isinstance(value, _SCALAR):
        return _scalar(each.argument, value)
    if isinstance(value, list):
        texts = [_scalar(each.argument, item) for item in value]
    elif isinstance(value, Mapping) and each.parameter.explode:
        texts = ["=".join(pair) for pair in _properties(each)]
    elif isinstance(value, Mapping):
        texts = [text for pair in _properties(each) for text in pair]
    else:
        return _scalar(each.argument, value)
    if any(separator in text for text in texts):
        message = f"{each.argument!r} separates its items by {separator!r}: none can hold it."
        raise InvalidArguments(message)
    return separator.join(texts)


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


def _file(argument: str, value: object) -> _File:
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
    media_type = value.get("media_type", default)
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
