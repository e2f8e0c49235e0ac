"""Writes the answer to one MCP request: JSON or an event stream, in both eras."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from typing import Any, Final

import anyio
import msgspec
from starlette.types import Send

from mcp_mount.backends.request import Headers
from mcp_mount.conversion.content import Block, Result, write_json
from mcp_mount.conversion.reader import Progress
from mcp_mount.conversion.spooled import SLICE, SpooledText, sliced
from mcp_mount.conversion.texts import write_ascii
from mcp_mount.fastpath.context import run_in_context
from mcp_mount.loops import in_thread
from mcp_mount.turns import Turns

_STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
]
_JSON: Final = (b"content-type", b"application/json")

_SPLIT: Final = 3
"""How deeply a structure is written member by member."""

_MEMBER: Final = 64
"""Characters that take as long to write as a member does, however short it is."""

_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_LARGE: Final = 8 * 1024 * 1024
"""Bytes from which on an answer is put together in a thread."""

_LONG: Final = 1_000
"""Characters from which on a text is worth a look at how it is best written."""


def write_ascii_text(text: str) -> str:
    """Write a text as JSON in ASCII, as `write_ascii` does."""
    if len(text) < _LONG or not text.isascii():
        return write_ascii(text)
    # Four times as fast where little is to be escaped; it would leave other characters as they are.
    return write_json(text)


class ResponseWriter:
    """Writes the answer to one request as JSON, or as an event stream.

    It becomes a stream as soon as there is progress to show, or when it is long in coming, to keep
    proxies waiting.

    Attributes:
        context: That of the request's middleware, through which progress has to go.
        client_gone: Nobody reads: whatever is written is dropped.
        is_over: The final message has been begun.
    """

    def __init__(self, id_: str | int, progress_token: str | int | None, send: Send) -> None:
        self._id = write_ascii(id_) if isinstance(id_, str) else id_
        self._token = write_ascii(progress_token) if progress_token is not None else None
        self._send = send
        self._count = 0
        self._is_stream = False
        self._lock = asyncio.Lock()
        self.context = copy_context()
        self.client_gone = False
        self.is_over = False

    @property
    def progress(self) -> Progress | None:
        """Where the pieces of a stream go; None where the client did not ask for them."""
        return self._show if self._token is not None else None

    async def write(self, result: Iterable[str], *, is_in_file: bool = False) -> None:
        """Send the result, given in parts; that ends the response.

        It is sent at once, as a route's own response is: what the client has not read waits in the
        server then, and nothing of the call with it. Only a text in a file is sent part by part.
        """
        self.is_over = True
        if self._is_stream:
            async with self._lock:
                # What has been begun, its start at the least, is sent first.
                pass
        start = f'{{"jsonrpc":"2.0","id":{self._id},"result":'
        if isinstance(result, tuple) and not self._is_stream:
            body = f"{start}{''.join(result)}}}".encode()
        else:
            parts = self._framed(chain((start,), result, ("}",)))
            if is_in_file:
                await self._write_parts(parts)
                return
            body = await joined(parts)
        if not self._is_stream:
            await self._start([(b"content-length", b"%d" % len(body)), _JSON])
        await self._write_body(body, more=False)

    async def _write_parts(self, parts: Iterable[bytes]) -> None:
        turns = Turns()
        if not self._is_stream:
            await self._start([_JSON])
        for part in parts:
            await self._write_body(part, more=True)
            await turns.take()
        await self._write_body(b"", more=False)

    def _framed(self, parts: Iterable[str]) -> Iterator[bytes]:
        """Return JSON as the end of the response has it."""
        if not self._is_stream:
            return (part.encode() for part in parts)
        # An event is of lines, and readers differ in what ends one; so it is plain ASCII.
        lines = (to_one_line(part).encode() for part in parts)
        return chain((b"event: message\r\ndata: ",), lines, (b"\r\n\r\n",))

    async def ping(self) -> None:
        """Show that the answer is still to come (WHATWG HTML §9.2.7 advises comments for it)."""
        await self._write_early(b": ping\r\n\r\n")

    async def _show(self, piece: str) -> None:
        """Send a piece of the response as progress (MCP "Progress")."""
        self._count += 1
        # FastMCP counts in floating point.
        count, message = f"{self._count}.0", write_ascii_text(piece)
        params = f'{{"progressToken":{self._token},"progress":{count},"message":{message}}}'
        text = f'{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}'
        await self._write_early(f"event: message\r\ndata: {text}\r\n\r\n".encode())

    async def _write_early(self, frame: bytes) -> None:
        """Send a part of the event stream, beginning it first, whichever task this runs in."""
        # Whoever waits no longer is no reason to stop: the call still has its end to come to.
        with suppress(OSError, anyio.BrokenResourceError):
            async with self._lock:
                if self.is_over:
                    return
                if not self._is_stream:
                    self._is_stream = True
                    # A deadline may cancel this, but the end of the answer needs its start.
                    with anyio.CancelScope(shield=True):
                        await run_in_context(self._start(_STREAM), self.context)
                await run_in_context(self._write_body(frame, more=True), self.context)

    async def _start(self, headers: Headers) -> None:
        if not self.client_gone:
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _write_body(self, body: bytes, *, more: bool) -> None:
        if not self.client_gone:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


@dataclass(frozen=True, slots=True)
class ServerMeta:
    """What every result of an era says of the server in its ``_meta``, and how a result ends."""

    meta: Mapping[str, Any]
    ending: str = field(init=False)

    def __post_init__(self) -> None:
        """Write the end of a result that has nothing more to say."""
        object.__setattr__(self, "ending", self.ending_with({}))

    @property
    def is_modern(self) -> bool:
        """Whether results have a ``resultType`` and name the server."""
        return bool(self.meta)

    def ending_with(self, meta: Mapping[str, Any]) -> str:
        """Write the end of a result that has a ``_meta`` of its own."""
        kind = ',"resultType":"complete"' if self.is_modern else ""
        whole = {**meta, **self.meta}
        return f'{kind},"_meta":{write_ascii(whole)}}}' if whole else f"{kind}}}"


NO_META: Final = ServerMeta({})
"""Of the handshake versions."""


def serialize(result: Result, server: ServerMeta) -> Iterable[str]:
    """Write a result as JSON: a small one as a tuple, a large one in many parts.

    What the route wrote is put in as it is: `Result.json` is only set for a text that was parsed
    without a change, so that any reader finds the same value in it.
    """
    texts = result.content
    if len(texts) == 1 and isinstance(texts[0], str) and len(texts[0]) <= SLICE:
        return (*_serialize(result, server),)
    return _serialize(result, server)


def _serialize(result: Result, server: ServerMeta) -> Iterator[str]:
    yield '{"content":['
    for number, block in enumerate(result.content):
        if number:
            yield ","
        yield from _serialize_block(block)
    yield '],"isError":true' if result.is_error else '],"isError":false'
    if result.structured_content is not None:
        yield ',"structuredContent":'
        text = result.json
        yield from write_members(result.structured_content) if text is None else sliced(text)
    yield server.ending_with(result.meta) if result.meta else server.ending


def _serialize_block(block: Block) -> Iterable[str]:
    if not isinstance(block, str | SpooledText):
        return sliced(block.model_dump_json(by_alias=True, exclude_none=True))
    if isinstance(block, str) and len(block) <= SLICE:
        return (f'{{"type":"text","text":{write_ascii(block)}}}',)
    return chain(('{"type":"text","text":',), _write_text(block), ("}",))


def _write_text(text: str | SpooledText) -> Iterator[str]:
    """Write a long text as JSON in parts."""
    pieces = sliced(text) if isinstance(text, str) else text
    # Each character is escaped by itself, so the slices are escaped as the whole would be.
    return chain('"', (_write_piece(part)[1:-1] for part in pieces), '"')


def _write_piece(text: str) -> str:
    """Write a text as JSON, with its characters as they are: escaped, most are twice as long."""
    try:
        return write_json(text)
    except ValueError:
        # It holds half of a character.
        return write_ascii(text)


def write_members(value: object) -> Iterator[str]:
    """Write a value as JSON in parts of which none takes long."""
    waiting, size = list[str](), 0
    for part in _members_of(value, _SPLIT):
        waiting.append(part)
        size += len(part) + _MEMBER
        if size > SLICE:
            yield "".join(waiting)
            waiting, size = [], 0
    yield "".join(waiting)


def _members_of(value: object, depth: int) -> Iterator[str]:
    """Write a value as JSON: what is deeper inside is written as a whole."""
    if isinstance(value, str) and len(value) > SLICE:
        yield from _write_text(value)
    elif isinstance(value, dict) and depth:
        for before, (name, each) in zip(chain("{", repeat(",")), value.items(), strict=False):
            yield f"{before}{write_ascii(name)}:"
            yield from _members_of(each, depth - 1)
        yield "}" if value else "{}"
    elif isinstance(value, list) and depth:
        for before, each in zip(chain("[", repeat(",")), value, strict=False):
            yield before
            yield from _members_of(each, depth - 1)
        yield "]" if value else "[]"
    else:
        yield msgspec.json.encode(value).decode()


async def joined(parts: Iterable[bytes]) -> bytes:
    """Put parts together, of which each may take a moment to write; others run meanwhile."""
    turns, taken = Turns(), []
    for part in parts:
        taken.append(part)
        await turns.take()
    if sum(map(len, taken)) < _LARGE:
        return b"".join(taken)
    # Python lets others run while it copies so much, if they run in another thread.
    return await in_thread(partial(b"".join, taken))


def to_one_line(text: str) -> str:
    """Write JSON in ASCII on one line: outside strings, only white space can break it."""
    if text.isascii() and "\n" not in text and "\r" not in text:
        return text
    text = text.replace("\r", " ").replace("\n", " ")
    return _NOT_ASCII.sub(lambda found: write_ascii(found[0])[1:-1], text)
