"""Turns a response, whole or streaming, into the content of a tool result.

Text, Server-Sent Events and JSON Lines are decoded while they arrive; everything else is collected.
Text content and structured content always carry the same information.
"""

import codecs
import json
import math
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from mimetypes import guess_extension
from typing import Any, Final, Protocol
from urllib.parse import quote

from fastmcp.tools import ToolResult
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    TextContent,
)

from mcp_mount.call import Outcome
from mcp_mount.operations import is_json

Progress = Callable[[str], Awaitable[None]]
Validator = Callable[[object], bool]

# Sent beside the result, for a client's code rather than its model.
_REPORTED_HEADERS = frozenset({"location", "etag", "link", "x-total-count"})
# What a caller needs to go on after an error or a redirect.
_HELPFUL_HEADERS = ("Location", "Retry-After", "WWW-Authenticate")
_JSON_LINES = frozenset(
    {"application/jsonl", "application/x-ndjson", "application/ndjson", "application/json-lines"}
)
_EVENTS = "text/event-stream"
_TEXTS = frozenset(
    {
        *("application/xml", "application/javascript", "application/ecmascript"),
        *("application/yaml", "application/x-yaml", "application/toml", "application/sql"),
        *("application/graphql", "application/x-www-form-urlencoded", "application/x-sh"),
    }
)
# Text encodings of Python's own, which fail on bytes where a charset replaces them.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
# `json` follows the depth of its text, and what is nested deeper breaks whoever serializes it.
_DEEPEST: Final = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take before it is ended with what has arrived so far.

    Attributes:
        timeout: Seconds until the response must be complete.
        max_bytes: Bytes of the response's body.
        max_items: Events of a Server-Sent Events stream, or lines of JSON Lines.
    """

    timeout: float = 60.0
    max_bytes: int = 10 * 1024 * 1024
    max_items: int = 1_000

    def __post_init__(self) -> None:
        """Refuse limits under which no call could succeed.

        Raises:
            ValueError: a limit is not a positive, finite number.
        """
        for name in ("timeout", "max_bytes", "max_items"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                message = f"Limits.{name} must be a positive number, not {value!r}."
                raise ValueError(message)


class _Decoder(Protocol):
    """Takes a body in parts, and gives the pieces that are ready to be shown."""

    def decode(self, chunk: bytes) -> Iterator[str]: ...
    def flush(self) -> Iterator[str]: ...


class _Text:
    """Text in its charset; a character cut across two parts is put together."""

    def __init__(self, charset: str) -> None:
        self._decoder = codecs.getincrementaldecoder(charset)(errors="replace")

    def decode(self, chunk: bytes) -> Iterator[str]:
        yield self._decoder.decode(chunk)

    def flush(self) -> Iterator[str]:
        yield self._decoder.decode(b"", final=True)


class _Lines:
    """Lines that end in LF, CR LF or (in event streams) CR, without their ends."""

    def __init__(self, *, bare_cr: bool) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._rest: list[str] = []
        self._bare_cr = bare_cr
        self._after_cr = False

    def decode(self, chunk: bytes) -> Iterator[str]:
        yield from self._split(self._decoder.decode(chunk))

    def flush(self) -> Iterator[str]:
        yield from self._split(self._decoder.decode(b"", final=True))
        if rest := "".join(self._rest):
            self._rest.clear()
            yield rest

    def _split(self, text: str) -> Iterator[str]:
        if self._bare_cr:
            if self._after_cr and text.startswith("\n"):
                text = text[1:]
                self._after_cr = False
            if text:
                self._after_cr = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        first, *others = text.split("\n")
        self._rest.append(first)
        for following in others:
            yield "".join(self._rest).removesuffix("\r")
            self._rest = [following]


class _JsonLines:
    """JSON Lines: each line that is not blank, as it stands."""

    def __init__(self) -> None:
        self._lines = _Lines(bare_cr=False)

    def decode(self, chunk: bytes) -> Iterator[str]:
        yield from (line for line in self._lines.decode(chunk) if line.strip())

    def flush(self) -> Iterator[str]:
        yield from (line for line in self._lines.flush() if line.strip())


class _Events:
    """Server-Sent Events (WHATWG HTML §9.2.6), each as one line of JSON with ``data`` and so on."""

    def __init__(self) -> None:
        self._lines = _Lines(bare_cr=True)
        self._fields: dict[str, Any] = {}
        self._data: list[str] = []

    def decode(self, chunk: bytes) -> Iterator[str]:
        for line in self._lines.decode(chunk):
            yield from self._line(line)

    def flush(self) -> Iterator[str]:
        for line in self._lines.flush():
            yield from self._line(line)
        # The standard drops an event that no blank line ends; here it would be lost information.
        yield from self._line("")

    def _line(self, line: str) -> Iterator[str]:
        if not line:
            if self._data:
                event = {**self._fields, "data": _event_data("\n".join(self._data))}
                yield json.dumps(event, ensure_ascii=False)
            self._fields, self._data = {}, []
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "retry" and value.isdecimal() and value.isascii() and len(value) < 10:
            self._fields["retry"] = int(value)
        elif name == "event" or (name == "id" and "\0" not in value):
            self._fields[name] = value


def _event_data(text: str) -> object:
    """Read data that is a JSON object, list or string; a bare ``1.10`` may be a version."""
    if text[:1] in {"{", "[", '"'}:
        try:
            return _parsed(text)
        except ValueError:
            return text
    return text


class Reading:
    """Reads one response while it arrives. A `mcp_mount.call.Sink`."""

    def __init__(self, limits: Limits, progress: Progress | None) -> None:
        """Take the limits, and where to send the pieces of a stream (None: nowhere)."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.full: str | None = None
        self._limits = limits
        self._progress = progress
        self._decoder: _Decoder | None = None
        self._is_stream_of_items = False
        self._pieces: list[str] = []
        self._chunks: list[bytes] = []
        self._size = 0

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Choose the decoder from the content type."""
        self.status = status
        for name, value in headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
        essence, charset = self._content_type()
        if status >= HTTPStatus.MULTIPLE_CHOICES or "content-encoding" in self.headers:
            return
        if essence == _EVENTS:
            self._decoder, self._is_stream_of_items = _Events(), True
        elif essence in _JSON_LINES:
            self._decoder, self._is_stream_of_items = _JsonLines(), True
        elif _is_text(essence):
            self._decoder = _Text(charset)

    async def write(self, chunk: bytes) -> bool:
        """Take a part of the body; False when a limit is reached, of which `full` tells."""
        room = self._limits.max_bytes - self._size
        self._size += len(chunk)
        if len(chunk) > room:
            self.full = f"{self._limits.max_bytes} bytes (max_bytes)"
            chunk = chunk[:room]
        if self._decoder is None:
            self._chunks.append(chunk)
        else:
            await self._show(self._decoder.decode(chunk))
        return self.full is None

    async def end(self) -> None:
        """Take the end of the body, whole or not."""
        if self._decoder is not None:
            await self._show(self._decoder.flush())

    async def _show(self, pieces: Iterator[str]) -> None:
        for piece in pieces:
            if not piece:
                continue
            if self._is_stream_of_items and len(self._pieces) >= self._limits.max_items:
                self.full = self.full or f"{self._limits.max_items} items (max_items)"
                return
            self._pieces.append(piece)
            if self._progress is not None:
                await self._progress(piece)

    @property
    def is_stream(self) -> bool:
        """Whether what has arrived is of use without the rest."""
        return self._decoder is not None

    @property
    def is_items(self) -> bool:
        """Whether the response is a list of events or lines."""
        return self._is_stream_of_items

    def items(self) -> list[object]:
        """Return the events or lines, parsed; a line that is no JSON is itself."""
        return [_parsed_or_text(piece) for piece in self._pieces]

    def text(self) -> str:
        """Return the body as text, in its own charset."""
        if self._decoder is not None:
            return ("\n" if self._is_stream_of_items else "").join(self._pieces)
        body = self.body()
        essence, charset = self._content_type()
        return body.decode(json.detect_encoding(body) if is_json(essence) else charset, "replace")

    def body(self) -> bytes:
        """Return the collected bytes of a body that is no stream."""
        if len(self._chunks) > 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0] if self._chunks else b""

    def _content_type(self) -> tuple[str, str]:
        """Return the media type and charset, e.g. ``("text/plain", "latin-1")``."""
        message = Message()
        message["content-type"] = self.headers.get("content-type", "application/octet-stream")
        return message.get_content_type(), _known(str(message.get_param("charset", "utf-8")))

    @property
    def media_type(self) -> str:
        """The media type without its parameters, e.g. ``image/png``."""
        return self._content_type()[0]

    @property
    def filename(self) -> str | None:
        """The file name that ``Content-Disposition`` gives (RFC 6266), without folders."""
        message = Message()
        message["content-disposition"] = self.headers.get("content-disposition", "")
        name = (message.get_filename() or "").replace("\\", "/").rpartition("/")[2]
        return None if name in {"", ".", ".."} else name


@dataclass(frozen=True, slots=True)
class Shape:
    """How a tool's results are written: as its ``outputSchema`` says, where it has one.

    `wrapped` tells that the schema is of ``{"result": …}``; None that there is no schema, so that
    each value decides for itself.
    """

    wrapped: bool | None = None
    conforms: Validator = field(default=lambda _: True)

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


def to_result(reading: Reading, shape: Shape, *, outcome: Outcome, timeout: float) -> ToolResult:
    """Write what was read as the result of the tool.

    Args:
        reading: The response, whole or as far as it came.
        shape: What the tool declared.
        outcome: How the response came to its end.
        timeout: The seconds after which an incomplete response was ended.
    """
    if not reading.status:
        what = f"within {timeout:g} seconds" if outcome == "timeout" else "before it failed"
        return error(f"The API gave no answer {what}. The call was ended.")
    note = _note(reading, outcome, timeout)
    if reading.status >= HTTPStatus.BAD_REQUEST:
        return _failed(reading, note)
    if reading.is_stream:
        return _stream(reading, shape, note, failed=outcome == "broken")
    if note:
        return _part(reading, note)
    return _whole(reading, shape)


def _note(reading: Reading, outcome: Outcome, timeout: float) -> str | None:
    """Tell the reader why a response is not whole; None where it is."""
    if outcome == "broken":
        return "[The response broke off here: the API failed while it was answering.]"
    limit = reading.full or (f"{timeout:g} seconds (timeout)" if outcome == "timeout" else None)
    return limit and f"[Ended at the limit of {limit}. There may be more.]"


def error(text: str) -> ToolResult:
    """Return a tool error with this text (MCP "Tools", "Error Handling")."""
    return ToolResult(content=[_text(text)], is_error=True)


def _stream(reading: Reading, shape: Shape, note: str | None, *, failed: bool) -> ToolResult:
    structured: dict[str, Any] | None = {"result": reading.items()} if reading.is_items else None
    blocks = [_text(reading.text() or _status_line(reading.status))]
    if note:
        blocks.append(_text(note))
        structured = structured and {**structured, "ended": note}
    result = _plain(reading, shape, blocks, structured=structured)
    result.is_error = result.is_error or failed
    return result


def _whole(reading: Reading, shape: Shape) -> ToolResult:
    if reading.status >= HTTPStatus.MULTIPLE_CHOICES:
        return _plain(reading, shape, [_text(_status_lines(reading))])
    if reading.status == HTTPStatus.NO_CONTENT or not reading.body():
        return _plain(reading, shape, [_text(_status_line(reading.status))])
    if is_json(reading.media_type):
        return _json_result(reading, shape)
    return _plain(reading, shape, [_binary(reading)])


def _json_result(reading: Reading, shape: Shape) -> ToolResult:
    text = reading.text()
    try:
        value = _parsed(text)
    except ValueError:
        return _plain(reading, shape, [_text(text)])
    return _plain(reading, shape, [_text(text)], structured=shape.structured(value))


def _plain(
    reading: Reading,
    shape: Shape,
    blocks: Sequence[ContentBlock],
    structured: dict[str, Any] | None = None,
) -> ToolResult:
    """Finish a result, and keep the promise of the output schema: to conform, or be an error."""
    meta = _meta(reading)
    if shape.is_declared and (structured is None or not shape.conforms(structured)):
        note = f"The API answered {_status_line(reading.status)}, but not with what it documents:"
        return ToolResult(content=[_text(note), *blocks], meta=meta, is_error=True)
    return ToolResult(content=[*blocks], structured_content=structured, meta=meta)


def _failed(reading: Reading, note: str | None) -> ToolResult:
    lines = [_status_lines(reading)]
    if body := reading.text() if _is_readable(reading.media_type) else "":
        lines.append(body)
    if note:
        lines.append(note)
    return ToolResult(content=[_text("\n".join(lines))], meta=_meta(reading), is_error=True)


def _part(reading: Reading, note: str) -> ToolResult:
    """Report a whole (JSON, an image) of which only a part arrived; the part is kept if text."""
    blocks = [_text(note)]
    if _is_readable(reading.media_type):
        blocks.insert(0, _text(reading.text()))
    return ToolResult(content=blocks, meta=_meta(reading), is_error=True)


def _status_lines(reading: Reading) -> str:
    found = ((name, reading.headers.get(name.lower())) for name in _HELPFUL_HEADERS)
    lines = (f"{name}: {value}" for name, value in found if value is not None)
    return "\n".join([_status_line(reading.status), *lines])


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _meta(reading: Reading) -> dict[str, Any] | None:
    headers = {name: value for name, value in reading.headers.items() if name in _REPORTED_HEADERS}
    return {"http": {"status": reading.status, "headers": headers}} if headers else None


def _binary(reading: Reading) -> ContentBlock:
    media_type = reading.media_type
    data = b64encode(reading.body()).decode("ascii")
    kind = media_type.partition("/")[0]
    if kind == "image":
        return ImageContent(type="image", data=data, mime_type=media_type)
    if kind == "audio":
        return AudioContent(type="audio", data=data, mime_type=media_type)
    filename = reading.filename or f"content{guess_extension(media_type) or '.bin'}"
    contents = BlobResourceContents(
        uri=f"attachment:///{quote(filename)}", mime_type=media_type, blob=data
    )
    return EmbeddedResource(type="resource", resource=contents)


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _known(charset: str) -> str:
    """Return the charset if it is one that can be read, otherwise UTF-8."""
    try:
        # `base64` and its like have a decoder, but are no text encodings; this tells them apart.
        b" ".decode(charset, "replace")
        return "utf-8" if codecs.lookup(charset).name in _NO_CHARSETS else charset
    except (LookupError, ValueError):
        return "utf-8"


def _is_text(essence: str) -> bool:
    return (essence.startswith("text/") and essence != "text/json") or (
        essence in _TEXTS or essence.endswith(("+xml", "+yaml"))
    )


def _is_readable(essence: str) -> bool:
    return is_json(essence) or _is_text(essence)


def _parsed_or_text(piece: str) -> object:
    try:
        return _parsed(piece)
    except ValueError:
        return piece


def _parsed(text: str) -> object:
    """Parse JSON into a value that can be written as JSON again.

    NaN and infinities become null, as in JavaScript; half characters become U+FFFD.

    Raises:
        ValueError: the text is no JSON, or is nested too deeply for the message it would be in.
    """
    try:
        value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except RecursionError:
        raise ValueError(text[:20]) from None
    return _clean(value, 0) if _may_be_odd(text) else value


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _may_be_odd(text: str) -> bool:
    """Whether the text could hold a half character, or nest deeper than serializers go."""
    return "\\ud" in text or "\\uD" in text or text.count("[") + text.count("{") > _DEEPEST


def _clean(value: object, depth: int) -> object:
    if depth > _DEEPEST:
        message = "The JSON is nested too deeply."
        raise ValueError(message)
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {str(_clean(key, 0)): _clean(item, depth + 1) for key, item in value.items()}
    return value
