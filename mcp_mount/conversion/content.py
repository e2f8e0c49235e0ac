"""Turns a response, whole or streaming, into the content of a tool result.

Text content and structured content always carry the same information.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from mimetypes import guess_extension
from typing import Any, Final
from urllib.parse import quote

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
)

from mcp_mount.backends.request import Outcome
from mcp_mount.conversion.decoders import read_json
from mcp_mount.conversion.reader import ResponseReader
from mcp_mount.conversion.spooled import SpooledText
from mcp_mount.openapi.media import is_json

_SHORTENED: Final = (
    "[This is only the beginning: all of it came as progress, and the message that ends such a "
    "stream is limited (max_event_bytes). A call without a progress token gets the whole.]"
)

Validator = Callable[[object], bool]
Block = str | SpooledText | ContentBlock
"""A part of a result; a text, whole or in pieces, stands for a block of text."""

_NO_CONTENT: Final = 204
_MULTIPLE_CHOICES: Final = 300
_BAD_REQUEST: Final = 400

# Sent beside the result, for a client's code rather than its model.
_REPORTED_HEADERS = frozenset({"location", "etag", "link", "x-total-count"})
# What a caller needs to go on after an error or a redirect.
_HELPFUL_HEADERS = ("Location", "Retry-After", "WWW-Authenticate")


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """How a tool's results are written: as its ``outputSchema`` says, where it has one.

    `wrapped` tells that the schema is of ``{"result": …}``; None that there is no schema, so that
    each value decides for itself.
    """

    wrapped: bool | None = None
    conforms: Validator = field(default=lambda _: True)
    is_items: bool = False

    @property
    def is_one_value(self) -> bool:
        """Whether results are whole JSON values, of which nothing can be shown before the end."""
        return self.is_declared and not self.is_items

    @property
    def is_declared(self) -> bool:
        """Whether results must have structured content."""
        return self.wrapped is not None

    def structured(self, value: object) -> dict[str, Any] | None:
        """Write a value as structured content, which is always an object; None if it cannot be."""
        if isinstance(value, dict) and not self.wrapped:
            return value
        # Inside an object that was documented otherwise, it would pass for that object.
        return None if self.wrapped is False else {"result": value}


@dataclass(frozen=True, slots=True)
class Result:
    """What a call of a tool gives, as the specification names it (MCP "Tools", "Tool Result").

    `json` is the structured content as the route wrote it, where that can stand in a message as it
    is: whoever writes the message need not write the value again.
    """

    content: tuple[Block, ...]
    structured_content: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None
    is_error: bool = False
    json: str | None = None


def to_result(
    reader: ResponseReader, shape: OutputSchema, *, outcome: Outcome, timeout: float
) -> Result:
    """Write what was read as the result of the tool.

    Args:
        reader: The response, whole or as far as it came.
        shape: What the tool declared.
        outcome: How the response came to its end.
        timeout: The seconds after which an incomplete response was ended.
    """
    if not reader.status:
        what = f"within {timeout:g} seconds" if outcome == "timeout" else "before it failed"
        return error(f"The API gave no answer {what}. The call was ended.")
    note = _note(reader, outcome, timeout)
    if reader.status >= _BAD_REQUEST:
        return _failed(reader, note)
    if reader.is_stream:
        return _stream(reader, shape, note, failed=outcome == "broken")
    if note:
        return _part(reader, note)
    return _whole(reader, shape)


def _note(reader: ResponseReader, outcome: Outcome, timeout: float) -> str | None:
    """Tell the reader why a response is not whole; None where it is."""
    if outcome == "broken":
        return "[The response broke off here: the API failed while it was answering.]"
    limit = reader.full or (f"{timeout:g} seconds (timeout)" if outcome == "timeout" else None)
    return limit and f"[Ended at the limit of {limit}. There may be more.]"


def error(text: str) -> Result:
    """Return a tool error with this text (MCP "Tools", "Error Handling")."""
    return Result(content=(text,), is_error=True)


def _stream(
    reader: ResponseReader, shape: OutputSchema, note: str | None, *, failed: bool
) -> Result:
    structured: dict[str, Any] | None = {"result": reader.items()} if reader.is_items else None
    blocks: list[Block] = [reader.streamed() or _status_line(reader.status)]
    if reader.is_shortened:
        note = f"{_SHORTENED}\n{note}" if note else _SHORTENED
    if note:
        blocks.append(note)
        structured = structured and {**structured, "ended": note}
    result = _finished(reader, shape, blocks, structured=structured)
    return replace(result, is_error=True) if failed else result


def _whole(reader: ResponseReader, shape: OutputSchema) -> Result:
    if reader.status >= _MULTIPLE_CHOICES:
        return _finished(reader, shape, [_status_lines(reader)])
    if reader.status == _NO_CONTENT or not reader.body():
        return _finished(reader, shape, [_status_line(reader.status)])
    if is_json(reader.media_type):
        return _json_result(reader, shape)
    return _finished(reader, shape, [_binary(reader)])


def _json_result(reader: ResponseReader, shape: OutputSchema) -> Result:
    text = reader.text()
    try:
        value, is_plain = read_json(text)
    except ValueError:
        return _finished(reader, shape, [text])
    structured = shape.structured(value)
    if structured is None or not is_plain:
        return _finished(reader, shape, [text], structured)
    # What was parsed is what was written, so the text says the same in any message.
    written = text if structured is value else f'{{"result":{text}}}'
    return _finished(reader, shape, [text], structured, written)


def _finished(
    reader: ResponseReader,
    shape: OutputSchema,
    blocks: Sequence[Block],
    structured: dict[str, Any] | None = None,
    written: str | None = None,
) -> Result:
    """Finish a result, and keep the promise of the output schema: to conform, or be an error."""
    meta = _meta(reader)
    if shape.is_declared and (structured is None or not shape.conforms(structured)):
        note = f"The API answered {_status_line(reader.status)}, but not with what it documents:"
        return Result(content=(note, *blocks), meta=meta, is_error=True)
    return Result(tuple(blocks), structured, meta, json=written)


def _failed(reader: ResponseReader, note: str | None) -> Result:
    lines = [_status_lines(reader)]
    if body := reader.text() if reader.is_readable else "":
        lines.append(body)
    if note:
        lines.append(note)
    return Result(content=("\n".join(lines),), meta=_meta(reader), is_error=True)


def _part(reader: ResponseReader, note: str) -> Result:
    """Report a whole (JSON, an image) of which only a part arrived; the part is kept if text."""
    blocks = [note]
    if reader.is_readable:
        blocks.insert(0, reader.text())
    return Result(content=tuple(blocks), meta=_meta(reader), is_error=True)


def _status_lines(reader: ResponseReader) -> str:
    found = ((name, reader.headers.get(name.lower())) for name in _HELPFUL_HEADERS)
    lines = (f"{name}: {value}" for name, value in found if value is not None)
    return "\n".join([_status_line(reader.status), *lines])


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _meta(reader: ResponseReader) -> dict[str, Any] | None:
    if _REPORTED_HEADERS.isdisjoint(reader.headers):
        return None
    headers = {name: value for name, value in reader.headers.items() if name in _REPORTED_HEADERS}
    return {"http": {"status": reader.status, "headers": headers}}


def _binary(reader: ResponseReader) -> ContentBlock:
    media_type = reader.media_type
    data = b64encode(reader.body()).decode("ascii")
    kind = media_type.partition("/")[0]
    if kind == "image":
        return ImageContent(type="image", data=data, mime_type=media_type)
    if kind == "audio":
        return AudioContent(type="audio", data=data, mime_type=media_type)
    filename = reader.filename or f"content{guess_extension(media_type) or '.bin'}"
    contents = BlobResourceContents(
        uri=f"attachment:///{quote(filename)}", mime_type=media_type, blob=data
    )
    return EmbeddedResource(type="resource", resource=contents)
