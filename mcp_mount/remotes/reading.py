"""Reads a response of another server while it arrives, and no more of it than is allowed."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import Any, Final

import anyio
import httpx2

from mcp_mount.conversion.structure import Meter
from mcp_mount.remotes.bounds import JUNK, Pace, too_large_error
from mcp_mount.remotes.events import Events
from mcp_mount.remotes.large import event_without_large_result, without_large_result
from mcp_mount.remotes.outgoing import OutgoingRequest, current_request
from mcp_mount.remotes.sdk_log import tell_of_junk
from mcp_mount.turns import Turns

_EVENTS: Final = "text/event-stream"
_LONGEST_KIND: Final = 100

_ENDS: Final = 64 * 1024
"""Bytes at both ends of a response in which an error is looked for."""

_FREE: Final = 10
_EVENT: Final = 0.5
"""Events of an answer that nothing has to wait for, and what each other one counts: of all answers
of a server, 4,000 at once and 1,000 a second, as fifty models that write have."""

_CHUNK: Final = 0.1
"""What a chunk counts at the pace of its response: 20,000 at once and 5,000 a second. HTTP has a
chunk of one byte cost as much to read as one of 64 KB."""


def read_within(
    max_bytes: int,
    request: httpx2.Request,
    response: httpx2.Response,
    *,
    pace: Pace | None = None,
    ended: Callable[[], None] | None = None,
) -> httpx2.Response:
    """Have the body of a response read within a bound, and `ended` called after that.

    Its events are read at a pace, if there is one.
    """
    outgoing = current_request() or OutgoingRequest()
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    # Nothing of its parameters: the SDK's client would look up any charset, and decode with it.
    is_stream = kind.startswith(_EVENTS)
    response.headers["content-type"] = _EVENTS if is_stream else kind[:_LONGEST_KIND]
    meter = Meter(min(max_bytes, outgoing.max_bytes), is_stream=is_stream)
    read = partial(_read_events, pace) if is_stream else _read_body
    if response.headers.get("content-encoding", "identity") != "identity":
        # What it unpacks to could be a thousand times as large.
        del response.headers["content-encoding"]
        read = _refuse_body
    chunks = read(request, response.stream, meter, outgoing)
    response.stream = _Chunks(response.stream, chunks, ended)
    return response


async def _read_chunks(stream: Any, outgoing: OutgoingRequest) -> AsyncIterator[bytes]:
    """Yield what comes until the request is abandoned, while others have their turns."""
    chunks, turns, pace = aiter(stream), Turns(), Pace()
    while not outgoing.is_abandoned:
        chunk = None
        with anyio.CancelScope() as outgoing.reading:
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk
        await turns.take()
        await pace.keep(_CHUNK, 0)


async def _refuse_body(
    request: httpx2.Request, stream: Any, meter: Meter, outgoing: OutgoingRequest
) -> AsyncGenerator[bytes]:
    del request, stream, meter
    outgoing.failure = httpx2.ReadError("The answer is compressed, which was not asked for.")
    yield b""


async def _read_body(
    request: httpx2.Request, stream: Any, meter: Meter, outgoing: OutgoingRequest
) -> AsyncGenerator[bytes]:
    chunks: list[bytes] = []
    try:
        async for chunk in _read_chunks(stream, outgoing):
            if not meter.add(chunk):
                outgoing.is_too_large = True
                chunks = [_too_large_answer(request)]
                break
            chunks.append(chunk)
    except httpx2.TransportError as error:
        outgoing.failure, chunks = error, []
    if outgoing.is_abandoned:
        # Nobody reads it, but half an answer is no MCP, which the SDK would tell.
        chunks = [_too_large_answer(request)]
    body = b"".join(chunks)
    outgoing.ends = body[:_ENDS] + body[-_ENDS:]
    yield await without_large_result(body, outgoing)


async def _read_events(
    pace: Pace | None,
    request: httpx2.Request,
    stream: Any,
    meter: Meter,
    outgoing: OutgoingRequest,
) -> AsyncGenerator[bytes]:
    events, turns, ends, free, dropped = Events(), Turns(), bytearray(), _FREE, 0
    outgoing.ends = ends
    async for chunk in _read_chunks(stream, outgoing):
        ends += chunk
        if len(ends) > 2 * _ENDS:
            # Not for each chunk: of those there may be one for each byte.
            del ends[:-_ENDS]
        if not meter.add(chunk):
            outgoing.is_too_large = True
            yield b"\n\ndata: " + _too_large_answer(request) + b"\n\n"
            return
        for event in events.add(chunk):
            if event:
                free -= 1
                if pace is not None and free < 0:
                    await pace.keep(_EVENT, 0)
                yield await event_without_large_result(event, outgoing)
            await turns.take()
        if events.dropped > dropped:
            tell_of_junk()
            if pace is not None:
                await pace.keep(JUNK * (events.dropped - dropped), 0)
            dropped = events.dropped
    yield events.rest()


def _too_large_answer(request: httpx2.Request) -> bytes:
    """Return what stands in the place of an answer that is not read to its end."""
    message = json.loads(request.content or b"{}")
    error = too_large_error().model_dump(exclude_none=True)
    return json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error}).encode()


class _Chunks(httpx2.AsyncByteStream):
    def __init__(
        self, stream: Any, chunks: AsyncGenerator[bytes], ended: Callable[[], None] | None
    ) -> None:
        self._stream = stream
        self._chunks = chunks
        self._ended = ended

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        if self._ended is not None:
            self._ended()
        await self._chunks.aclose()
        await self._stream.aclose()
