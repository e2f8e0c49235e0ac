"""Reads one response while it arrives, within the limits of a call.

Text, Server-Sent Events and JSON Lines are decoded part by part; everything else is collected.
"""

import json
import zlib
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeVar

from anyio import CancelScope
from anyio.lowlevel import checkpoint

from mcp_mount.conversion.decoders import (
    Decoder,
    Event,
    EventDecoder,
    JSONLinesDecoder,
    TextDecoder,
    decode_whole,
    looks_like_text,
)
from mcp_mount.conversion.deltas import UNKNOWN_FORM, StreamForm
from mcp_mount.conversion.headers import read_content_type
from mcp_mount.conversion.items import StreamItems
from mcp_mount.conversion.spooled import SLICE, SpooledText, cut_to_fit, json_length
from mcp_mount.limits import Limits
from mcp_mount.loops import in_thread
from mcp_mount.openapi.media import FORM, is_json, is_text
from mcp_mount.turns import Turns

Progress = Callable[[str], Awaitable[None]]
Value = TypeVar("Value")

_JSON_LINES = frozenset(
    {"application/jsonl", "application/x-ndjson", "application/ndjson", "application/json-lines"}
)
_EVENTS = "text/event-stream"
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
# What a byte and an item can take in a message at the most: `\\u0000` in a string of JSON, which is
# in the text and in the structured content; and the names of an event's fields in both.
_LONGEST_ESCAPE: Final = 16
_LONGEST_FIELDS: Final = 256
# Each of these is written as six characters (`\\u0001`); in items, which are in the text and in the
# structured content, and in a text as JSON in JSON, there are only so many.
_ESCAPE: Final = 6
_CONTROLS: Final = bytes({*range(0x20)} - {*b"\t\n\r"})
_MOST_UNPACKED: Final = 1024 * 1024
"""Bytes that are unpacked in one step."""

_JSON_BEGINS = frozenset((b"{", b"[", b'"'))
_BYTES = "application/octet-stream"


class ResponseReader:
    """Reads one response while it arrives. A `mcp_mount.backends.request.Sink`.

    Attributes:
        status: The HTTP status; 0 until the response starts.
        headers: By lower-case name; several of one name are joined by commas.
        media_type: Without parameters, e.g. ``"image/png"``; bytes where the body is in an
            encoding that cannot be unpacked.
        size: The bytes of the body so far, unpacked.
        items: The events or lines of a stream; None where the response is none of them.
        full: The limit that was reached, e.g. ``"1000 items (max_items)"``.
        is_shortened: Whether a part of the stream is left out, which went as progress before.
        is_damaged: Whether the body is compressed, and cannot be unpacked to its end.
    """

    status = 0
    media_type = _BYTES
    size = 0
    _escaped = 0
    full: str | None = None
    is_shortened = False
    is_damaged = False
    _charset = "utf-8"
    _decoder: Decoder | None = None
    _text: SpooledText | None = None
    items: StreamItems | None = None
    _is_packed = False
    _unpacker: "zlib._Decompress | None" = None
    _is_shown = False
    _has_no_type = False
    _turns: Turns | None = None

    def __init__(
        self, limits: Limits, progress: Progress | None, form: StreamForm = UNKNOWN_FORM
    ) -> None:
        self.headers: dict[str, str] = {}
        self._limits = limits
        self._progress = progress
        self._form = form
        # As one, because many small parts of a body take thirty times its length.
        self._body: bytes | bytearray = b""

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Choose the decoder from the content type."""
        self.status, named = status, self.headers
        for name, value in headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            named[key] = f"{named[key]}, {text}" if key in named else text
        encoding = named.get("content-encoding", "identity").lower()
        self._is_packed = encoding in _PACKED
        if self._is_packed or encoding == "identity":
            self.media_type, self._charset = read_content_type(named.get("content-type", _BYTES))
            self._has_no_type = "content-type" not in named
        if "content-length" in named:
            # It is one piece, however it is sent; the result will have it soon enough.
            self._progress = None
        if status >= 300:
            return
        are_events = self.media_type == _EVENTS
        if are_events or self.media_type in _JSON_LINES:
            self._decoder = EventDecoder() if are_events else JSONLinesDecoder()
            self.items = StreamItems(self._form, self._limits.max_items, are_events=are_events)
        elif self.is_readable and not is_json(self.media_type):
            self._decoder, self._text = TextDecoder(self._charset), SpooledText()

    @property
    def may_wait(self) -> bool:
        """Whether `write` shows what it takes, and so may wait for the client."""
        return self._progress is not None

    async def write(self, chunk: bytes) -> bool:
        """Take a part of the body; False when a limit is reached, of which `full` tells."""
        if not (self._is_packed and chunk):
            await self._add(chunk)
            return self.full is None
        part = self._unpack(chunk)
        await self._add(part)
        # Part by part: a thousand times as much can come out as comes in.
        while len(part) == _MOST_UNPACKED and self._unpacker is not None and self.full is None:
            await checkpoint()
            part = self._unpack(self._unpacker.unconsumed_tail)
            await self._add(part)
        return self.full is None and not self.is_damaged

    async def _add(self, chunk: bytes) -> None:
        """Take a part of the body as it was before it was compressed."""
        room = self._limits.max_bytes - self.size
        self.size += len(chunk)
        if len(chunk) > room:
            self.full = f"{self._limits.max_bytes} bytes (max_bytes)"
            chunk = chunk[:room]
        if self._has_no_type and chunk:
            self._has_no_type = False
            if self.status < 300 and looks_like_text(chunk[:SLICE]):
                # As a browser would (WHATWG MIME Sniffing §7): a stream of words often has no type.
                self.media_type = "text/plain"
                self._decoder, self._text = TextDecoder("utf-8"), SpooledText()
        if self._decoder is None:
            self._collect(chunk)
            return
        # Part by part: what is of nothing but line ends takes long.
        for start in range(0, len(chunk), SLICE):
            if start:
                await checkpoint()
            part = chunk[start : start + SLICE]
            await self._take(self._decoder.decode(part))
            if self.items is not None:
                self._escaped += _ESCAPE * (len(part) - len(part.translate(None, _CONTROLS)))
                if self._escaped > self._limits.max_bytes:
                    self.full = self.full or f"{self._limits.max_bytes} bytes (max_bytes)"
                    return

    def _collect(self, chunk: bytes) -> None:
        """Keep a part of a body; most have only one, which is not copied."""
        if not self._body:
            self._body = chunk
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += chunk

    def _unpack(self, chunk: bytes) -> bytes:
        """Unpack some of a part of the body that was compressed although nobody asked for it."""
        if self._unpacker is None:
            self._unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                return self._unpacker.decompress(chunk, _MOST_UNPACKED)
            except zlib.error:
                # Some servers send it without its header (RFC 9110 §8.4.1.2).
                self._unpacker = zlib.decompressobj(_RAW_DEFLATE)
        try:
            # What comes after the end is no part of it.
            return b"" if self._unpacker.eof else self._unpacker.decompress(chunk, _MOST_UNPACKED)
        except zlib.error:
            self.is_damaged = True
            return b""

    async def end(self) -> None:
        """Take the end of the body, whole or not."""
        if self._unpacker is not None and not self._unpacker.eof and self.full is None:
            self.is_damaged = True
        try:
            if self._decoder is not None:
                await self._take(self._decoder.decode(b"", final=True))
            if self.items is not None:
                for line in await self._run(self.items.unshown, self.size):
                    await self._show(line)
        finally:
            # A deadline may come first.
            if self._is_shown:
                with CancelScope(shield=True):
                    await self._shorten()

    async def _take(self, pieces: Iterable[str | Event | None]) -> None:
        """Keep the pieces of a stream, and show them; others run from time to time.

        A part of the body can be thousands of events.
        """
        self._turns = self._turns or Turns()
        for piece in pieces:
            await self._turns.take()
            if piece is None:
                continue
            shown: str | None = None
            if self.items is not None:
                shown = await self._run(partial(self.items.add, piece), len(piece))
                if self.items.is_full:
                    self.full = self.full or f"{self._limits.max_items} items (max_items)"
                    return
            elif self._text is not None and isinstance(piece, str):
                self._text.append(shown := piece)
            await self._show(shown)

    async def _run(self, function: Callable[[], Value], size: int) -> Value:
        """Run what handles so many characters, in a thread if they are many."""
        return function() if size <= SLICE else await in_thread(function)

    async def _show(self, piece: str | None) -> None:
        """Send a piece of the stream as progress."""
        if piece and self._progress is not None:
            self._is_shown = True
            for part in cut_to_fit(piece, self._most_shown):
                await self._progress(part)

    @property
    def _most_shown(self) -> int:
        """The bytes of a message; the rest of what it may have is for what is around it."""
        return self._limits.max_event_bytes * 7 // 8

    async def _shorten(self) -> None:
        """Keep as much of what was shown as fits into the message that ends an event stream."""
        most = self._most_shown - json_length(self.headers)
        items = len(self.items) if self.items is not None else 0
        if self.size * _LONGEST_ESCAPE + items * _LONGEST_FIELDS <= most:
            return
        if self.items is not None:
            self.is_shortened = await self._run(partial(self.items.shorten, most), self.size)
        elif self._text is not None:
            self.is_shortened = self._text.shorten(most)

    def close(self) -> None:
        """Forget a text that was streamed, once its result is written or nobody waits for it."""
        if self._text is not None:
            self._text.close()

    @property
    def is_stream(self) -> bool:
        """Whether what has arrived is of use without the rest."""
        return self._decoder is not None

    def streamed(self) -> str | SpooledText:
        """Return the text of a stream without items; a long one in slices."""
        return self._text.text() if self._text is not None else ""

    def text(self) -> str:
        """Return the body as text, in its own charset."""
        if self._decoder is not None:
            return "".join(self.streamed())
        body, charset = self.body(), self._charset
        if is_json(self.media_type):
            # Most begin with an ASCII character and no zero byte, which is UTF-8.
            is_utf8 = body[:1] in _JSON_BEGINS and body[1:2] != b"\0"
            charset = "utf-8" if is_utf8 else json.detect_encoding(body)
        if len(body) <= SLICE:
            return body.decode(charset, "replace")
        return decode_whole(body, charset)

    def body(self) -> bytes:
        """Return the collected bytes of a body that is no stream."""
        self._body = bytes(self._body)
        return self._body

    @property
    def is_readable(self) -> bool:
        """Whether the body is text that a model can read."""
        return is_json(self.media_type) or is_text(self.media_type) or self.media_type == FORM
