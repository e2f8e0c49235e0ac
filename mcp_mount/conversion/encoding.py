"""Writes the values of arguments as a body: JSON, text, forms and files. Pure.

What `texts` says of the values of parameters is true here as well.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import httpx2

from mcp_mount.conversion.styles import query_pairs
from mcp_mount.conversion.texts import Given, write_compact, write_text
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.bodies import Encoding
from mcp_mount.openapi.media import FORM, is_json, is_text
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.parameters import Parameter

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


def write_json(value: object) -> bytes:
    """Write JSON in ASCII: half a character then stays the escape it was, and breaks no encoder."""
    return write_compact(value).encode()


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
        text = write_text(argument, value)
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
        for name, text in query_pairs(Given(part.argument, parameter, part.value)):
            yield name, text, None
        return
    for item in part.value if isinstance(part.value, list) else [part.value]:
        if isinstance(item, dict | list):
            yield part.name, write_compact(item), media_type or "application/json"
        else:
            text = write_compact(item) if is_json(media_type) else write_text(part.argument, item)
            yield part.name, text, media_type or None


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
        content, default = write_text(argument, value["text"]).encode(), "text/plain; charset=utf-8"
    else:
        content, default = _decoded(argument, value["base64"]), "application/octet-stream"
    filename = write_text(argument, value.get("filename", "file"))
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
