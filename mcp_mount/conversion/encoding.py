"""Writes the values of arguments as a body: JSON, text, forms and files. Pure.

Like those of `styles`, the function that writes a body is prepared once for each tool.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import httpx2
import msgspec

from mcp_mount.conversion.styles import query_pairs
from mcp_mount.conversion.texts import write_text, write_utf8
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.bodies import Body, Encoding
from mcp_mount.openapi.media import FORM, MULTIPART, is_json, is_text
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

METHOD_FIELD: Final = "_method"
"""A field of a query or form that some frameworks take for the method of the request."""

_OVERRIDE: Final = re.compile(
    # PHP takes `.method` and `[method` for it, too, and Rack `[_method]`.
    r"(?:^|[&;])(?:[\s\[\]+]|%20|%5[BD])*(?:_|\.|\[|%5B)method(?:\]|%5D|\0|%00)*=",
    re.IGNORECASE,
)

AS_IS: Final = Encoding()
"""Of a field of which the document says nothing."""


@dataclass(frozen=True, slots=True)
class Field:
    """One property of a body, and the name of the argument that fills it."""

    argument: str
    name: str
    is_file: bool = False
    encoding: Encoding = AS_IS


_FormField = tuple[str, str, str | None]
"""Name, text and media type."""

_Part = tuple[str, tuple[str | None, bytes, str | None]]
"""Name, file name, content and media type; without a file name it is a plain field."""

_LONGEST_TYPE: Final = 255

_MOST_PARTS: Final = 5_000
"""Values and files of a form, written in some 30 ms; servers take a thousand."""

_LONGEST_NAMES: Final = 200_000
"""Characters of their names, which are written again for each item of a list, and of files'."""

_LONG_FORM: Final = 100_000
"""Bytes of values, of which four million take 0.3 s to write as they are written elsewhere."""

Content = tuple[bytes, str]
"""A body, and its content type."""


def body_writer(
    body: Body, fields: Sequence[Field], whole: str | None
) -> Callable[[Mapping[str, Any]], Content | None]:
    """Prepare a body that arguments fill: each a field of it, or `whole` all of it.

    What is returned gives the body for the arguments of a call; None where nothing is sent.
    """
    media_type = body.media_type
    if whole is not None:
        return lambda arguments: (
            _write_whole(whole, arguments[whole], body) if whole in arguments else None
        )

    def write_body(arguments: Mapping[str, Any]) -> Content | None:
        given = [(each, arguments[each.argument]) for each in fields if each.argument in arguments]
        if not given and not body.required:
            return None
        if media_type in {FORM, MULTIPART}:
            return _write_form(given, media_type)
        return write_utf8({field.name: value for field, value in given}), media_type

    return write_body


def _write_whole(argument: str, value: object, body: Body) -> Content:
    """Write a body that is one value: JSON, text, an open form, or the content of a file."""
    media_type = body.media_type
    if media_type in {FORM, MULTIPART}:
        if not isinstance(value, Mapping):
            raise InvalidArguments(f"{argument!r} is a form: it takes an object.")
        encodings = body.encodings
        fields = (
            (Field(argument, name, encoding=encodings.get(name, AS_IS)), item)
            for name, item in value.items()
        )
        return _write_form(fields, media_type)
    if is_json(media_type):
        return write_utf8(value), media_type
    if is_text(media_type):
        text = write_text(argument, value)
        media_type = media_type.replace("text/*", "text/plain")
        if not text.isascii() and "charset" not in media_type:
            # Without it some servers read Latin-1, which was once the default.
            media_type = f"{media_type}; charset=utf-8"
        return text.encode(), media_type
    _, content, own_type = _read_file(argument, value)
    # A range of types, such as `image/*`, leaves the choice to the sender.
    return content, own_type if "*" in media_type else media_type


def _write_form(given: Iterable[tuple[Field, Any]], media_type: str) -> Content:
    """Write a URL-encoded form, or one with files (RFC 7578)."""
    parts = [*_counted(_parts(given, is_typed=media_type != FORM))]
    for name, _ in parts:
        refuse_override(f"{name}=")
    if media_type == FORM:
        return _write_pairs([(name, content) for name, (_, content, _) in parts]), FORM
    # The host is never asked: httpx2 writes the parts, and nothing is sent through it.
    request = httpx2.Request("POST", "http://localhost", files=parts or {"": (None, b"")})
    return request.read(), request.headers["content-type"]


def _write_pairs(pairs: Iterable[tuple[str, bytes]]) -> bytes:
    pairs = [*pairs]
    if sum(len(content) for _, content in pairs) > _LONG_FORM:
        # Every byte may be written so, and all of them are in no time.
        return "&".join(
            f"{quote_plus(name)}={_escape(content)}" for name, content in pairs
        ).encode()
    return urlencode(pairs).encode()


def _escape(content: bytes) -> str:
    is_plain = content.isalnum() or not content
    return content.decode() if is_plain else "%" + content.hex("%").upper()


def refuse_override(form: str) -> None:
    """Refuse a name in a query or a form that would make the call one of another operation.

    Raises:
        InvalidArguments: there is one.
    """
    if _OVERRIDE.search(form):
        message = f"{METHOD_FIELD!r} cannot be sent: a tool has one method. Leave it out."
        raise InvalidArguments(message)


def _counted(parts: Iterable[_Part | None]) -> Iterator[_Part]:
    """Yield the parts of a form, while they are not too many for any server.

    Raises:
        InvalidArguments: there are more.
    """
    length = 0
    for number, each in enumerate(parts):
        if number == _MOST_PARTS:
            message = f"The form has too many values: it takes {_MOST_PARTS:,} in all, with files."
            raise InvalidArguments(message)
        if each is not None:
            length += len(each[0]) + len(each[1][0] or "")
            if length > _LONGEST_NAMES:
                most = f"{_LONGEST_NAMES:,} characters of names"
                raise InvalidArguments(f"The form has too long names: it takes {most} in all.")
            yield each


def _parts(given: Iterable[tuple[Field, Any]], *, is_typed: bool) -> Iterator[_Part | None]:
    """Yield the parts that fields fill; None for a field that fills none, which is work too."""
    for field, value in given:
        parts = _field_parts(field, value, is_typed=is_typed)
        yield next(parts, None)
        yield from parts


def _field_parts(field: Field, value: Any, *, is_typed: bool) -> Iterator[_Part]:
    media_type = field.encoding.media_type if is_typed else ""
    if not field.is_file:
        for name, text, kind in _form_fields(field, value, media_type):
            yield name, (None, text.encode(), kind)
    elif value is not None:
        for item in value if isinstance(value, list) else [value]:
            yield field.name, _read_file(field.argument, item, media_type)


def _form_fields(field: Field, value: Any, media_type: str = "") -> Iterator[_FormField]:
    """Yield name, text and media type of a field; an object is JSON (OpenAPI 3.1 §4.8.15.1)."""
    if value is None:
        return
    style, explode = field.encoding.style, field.encoding.explode
    if style and isinstance(value, list | Mapping):
        parameter = Parameter(field.name, "query", {}, style=style, explode=explode)
        for name, text in query_pairs(field.argument, parameter, value):
            yield name, text, None
        return
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict | list):
            yield field.name, write_utf8(item).decode(), media_type or "application/json"
        else:
            is_document = is_json(media_type)
            text = write_utf8(item).decode() if is_document else write_text(field.argument, item)
            yield field.name, text, media_type or None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    filename: str = "file"
    media_type: str | None = None
    text: str | None = None
    base64: str | None = None


def _read_file(argument: str, value: object, expected: str = "") -> tuple[str, bytes, str]:
    """Return a file's name, content and media type."""
    try:
        file = msgspec.convert({"text": value} if isinstance(value, str) else value, _File)
    except msgspec.ValidationError:
        raise InvalidArguments(
            f"{argument!r} is a file: an object with `filename`, `media_type`, and `text` or "
            "`base64`, all of them strings."
        ) from None
    if file.text is not None and file.base64 is None:
        content, default = write_text(argument, file.text).encode(), "text/plain; charset=utf-8"
    elif file.base64 is not None and file.text is None:
        content, default = _decode(argument, file.base64), "application/octet-stream"
    else:
        message = f"{argument!r} is a file: give its content either as `text` or as `base64`."
        raise InvalidArguments(message)
    filename = write_text(argument, file.filename)
    if not filename or re.search(r'[\x00-\x1f\x7f"\\]', filename):
        # Readers disagree on how these are escaped (RFC 7578 §4.2, RFC 6266 appendix D).
        message = f'{argument!r} has a `filename` that is empty, or holds ", \\ or a line break.'
        raise InvalidArguments(message)
    media_type = (expected or default) if file.media_type is None else file.media_type
    is_written_well = len(media_type) <= _LONGEST_TYPE and re.fullmatch(
        r"[!#$&^\w.+-]+/[!#$&^\w.+*-]+(;[ -~]*)?", media_type, re.ASCII
    )
    if not is_written_well or media_type.endswith(" "):
        message = f"{argument!r} has a `media_type` that is none: write it like image/png."
        raise InvalidArguments(message)
    return filename, content, media_type


def _decode(argument: str, text: str) -> bytes:
    try:
        return base64.b64decode(text.encode().translate(None, b" \t\n\r\f\v"), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArguments(f"{argument!r} holds `base64` that cannot be decoded.") from None
