"""Turns a response, whole or streaming, into the content of a tool result.

Text content and structured content always carry the same information.
"""

from base64 import b64encode
from dataclasses import dataclass, replace
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
from pydantic_core import to_json

from mcp_mount.backends.request import ResponseEnd
from mcp_mount.conversion.fields import Tree, pick
from mcp_mount.conversion.headers import read_filename
from mcp_mount.conversion.items import StreamItems
from mcp_mount.conversion.output import OutputSchema
from mcp_mount.conversion.reader import ResponseReader
from mcp_mount.conversion.spooled import SpooledText
from mcp_mount.conversion.values import TooManyValues, read_json
from mcp_mount.openapi.media import is_json

_SHORTENED: Final = (
    "[This is only the beginning: all of it came as progress, and the message that ends such a "
    "stream is limited (max_event_bytes). A call without a progress token gets the whole.]"
)
_LONGEST_TYPE: Final = 127
"""Characters of a media type (RFC 6838 §4.2)."""

# Sent beside the result, for a client's code rather than its model.
_REPORTED_HEADERS = frozenset({"location", "etag", "link", "x-total-count"})
# What a caller needs to go on after an error or a redirect.
_HELPFUL_HEADERS = ("Location", "Retry-After", "WWW-Authenticate")

Block = str | SpooledText | ContentBlock
"""A part of a result; a text, whole or in slices, stands for a block of text."""


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

    @property
    def is_in_file(self) -> bool:
        """Whether a text of it is in a file, and not in memory."""
        return any(isinstance(block, SpooledText) for block in self.content)


_NO_ANSWER: Final = {
    "broken": "before it failed. The call was ended.",
    "shutdown": "before the server was shut down. What the call was to do may or may not be done.",
}


def write_json(value: object) -> str:
    """Write a value as JSON; Python's own takes ten times as long for fractions, in one step.

    Raises:
        ValueError: it holds half of a character.
    """
    return str(to_json(value), "utf-8")


def error(text: str) -> Result:
    """Return a tool error with this text (MCP "Tools", "Error Handling")."""
    return Result(content=(text,), is_error=True)


def to_result(
    reader: ResponseReader,
    output: OutputSchema,
    *,
    outcome: ResponseEnd,
    timeout: float,
    fields: Tree | None = None,
) -> Result:
    """Write what was read as the result of the tool.

    `fields` is what of a JSON document is asked for; None: all of it.
    """
    status = reader.status
    if not status:
        what = _NO_ANSWER.get(outcome, f"within {timeout:g} seconds. The call was ended.")
        return error(f"The API gave no answer {what}")
    if reader.is_damaged and outcome not in {"timeout", "shutdown"}:
        outcome = "broken"
    note = _why_incomplete(reader, outcome, timeout)
    if status >= 400:
        body = reader.text() if reader.is_readable else ""
        lines = [_status_lines(reader), *filter(None, (body, note))]
        return Result(content=("\n".join(lines),), meta=_meta(reader), is_error=True)
    if reader.is_stream:
        return _stream_result(reader, output, note, is_broken=outcome in {"broken", "shutdown"})
    if note:
        # Half of a JSON document, or of an image, is none.
        blocks = (reader.text(), note) if reader.is_readable else (note,)
        return Result(content=blocks, meta=_meta(reader), is_error=True)
    if status >= 300:
        # Not followed, it is no success, where one is documented.
        said = f"The API answered {_status_line(status)}, but not with what it documents:"
        lines = [said] if output.is_declared else []
        content = (*lines, _status_lines(reader))
        return Result(content, meta=_meta(reader), is_error=output.is_declared)
    if status == 204 or not reader.body():
        return _undocumented_result(reader, output, _status_line(status))
    if is_json(reader.media_type):
        return _json_result(reader, output, fields)
    return _undocumented_result(reader, output, _binary_block(reader))


def _why_incomplete(reader: ResponseReader, outcome: ResponseEnd, timeout: float) -> str | None:
    if outcome == "shutdown":
        return "[The response ends here, because the server is shutting down. There may be more.]"
    if outcome == "broken":
        return "[The response broke off here: the API failed while it was answering.]"
    limit = reader.full or (f"{timeout:g} seconds (timeout)" if outcome == "timeout" else None)
    return limit and f"[Ended at the limit of {limit}. There may be more.]"


def _stream_result(
    reader: ResponseReader, output: OutputSchema, note: str | None, *, is_broken: bool
) -> Result:
    if reader.is_shortened:
        note = f"{_SHORTENED}\n{note}" if note else _SHORTENED
    if reader.items is not None:
        result = _items_result(reader, reader.items, output)
    else:
        result = _undocumented_result(
            reader, output, reader.streamed() or _status_line(reader.status)
        )
    if note:
        structured = result.structured_content
        structured = structured and {**structured, "ended": note}
        result = replace(result, content=(*result.content, note), structured_content=structured)
    return replace(result, is_error=True) if is_broken else result


def _items_result(reader: ResponseReader, items: StreamItems, output: OutputSchema) -> Result:
    """Return the joined text of a stream, and its items: both as text, and both as structure."""
    text, values = items.text(), items.values()
    blocks = (text, "\n".join(items.lines())) if text else ("\n".join(items.lines()),)
    if not text:
        structured = _structured(reader, output, values)
    elif output.wrapped is False:
        structured = _structured(reader, output, {"text": text, "result": values})
    else:
        structured = {"text": text, **(_structured(reader, output, values) if values else {})}
    content = tuple(filter(None, blocks)) or (_status_line(reader.status),)
    return Result(content, structured, _meta(reader))


def _json_result(reader: ResponseReader, output: OutputSchema, fields: Tree | None) -> Result:
    text = reader.text()
    try:
        value, is_strict = read_json(text)
    except TooManyValues as error:
        return _undocumented_result(reader, output, text, kind=str(error))
    except ValueError:
        return _undocumented_result(reader, output, text)
    if fields is not None:
        value = pick(value, fields)
        text, is_strict = write_json(value), True
    structured, json = _structured(reader, output, value), None
    if is_strict and structured is value:
        json = text
    elif is_strict and structured.keys() == {"result"} and structured["result"] is value:
        # What was parsed is what was written, so the text says the same in any message.
        json = f'{{"result":{text}}}'
    return Result((text,), structured, _meta(reader), json=json)


def _structured(reader: ResponseReader, output: OutputSchema, value: object) -> dict[str, Any]:
    """Write a value as structured content that conforms to the schema, where there is one."""
    comparison = output.comparison
    if comparison is not None and reader.size > comparison.most_bytes:
        told = {"undocumented": value}
        return told if output.conforms(told) else {}
    structured = output.wrap(value)
    if structured is not None and output.conforms(structured):
        return structured

    def stray() -> str:
        place = "" if structured is None else output.stray_place(structured)
        return f"{_status_line(reader.status)} with another value at {place!r}"

    output.log_stray("schema", stray)
    return output.fit(value)


def _undocumented_result(
    reader: ResponseReader, output: OutputSchema, block: Block, *, kind: str = ""
) -> Result:
    """Return a result without a value, which no schema allows for; `kind` says of what it is."""
    structured = None
    if output.is_declared:
        said = repr(reader.media_type[:_LONGEST_TYPE])[1:-1]
        kind = kind or (said if reader.size else "no content")
        output.log_stray(kind, lambda: f"{_status_line(reader.status)} with {kind}")
        structured = output.fit(block if isinstance(block, str) else kind)
    return Result((block,), structured, _meta(reader))


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


def _binary_block(reader: ResponseReader) -> ContentBlock:
    media_type = reader.media_type
    data = b64encode(reader.body()).decode("ascii")
    kind = media_type.partition("/")[0]
    if kind == "image":
        return ImageContent(type="image", data=data, mime_type=media_type)
    if kind == "audio":
        return AudioContent(type="audio", data=data, mime_type=media_type)
    disposition = reader.headers.get("content-disposition", "")
    filename = read_filename(disposition) or f"content{guess_extension(media_type) or '.bin'}"
    contents = BlobResourceContents(
        uri=f"attachment:///{quote(filename)}", mime_type=media_type, blob=data
    )
    return EmbeddedResource(type="resource", resource=contents)
