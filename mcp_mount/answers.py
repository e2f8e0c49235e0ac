"""Answers of an MCP endpoint that nobody vouches for, read no further than a bound.

The SDK fails one request where a stream of events breaks off, and all of them where a body does:
instead of a body that is too large it gets an error.
"""

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import httpx2
from mcp.client.streamable_http import MCP_SESSION_ID
from mcp_types import INTERNAL_ERROR

from mcp_mount.conversion.structure import Meter
from mcp_mount.http_bounds import CheckedStream, TooMuch, refuse_compressed

MOST_VALUES: Final = 2_000_000
"""Of one message, as `Meter` counts them: 10 MB of a usual list, which takes 200 MB when read."""


class TooManyEvents(TooMuch, httpx2.SSEError):
    """A stream of events has too much in it."""


def is_stream(response: httpx2.Response) -> bool:
    """Whether a response is a stream of events, and no body."""
    return response.headers.get("content-type", "").lower().startswith("text/event-stream")


def counting(*, is_stream: bool = False) -> Callable[[bytes], None]:
    """Return what raises `TooMuch` where a body, or an event, has too many values."""
    meter = Meter(math.inf, is_stream=is_stream)
    error = TooManyEvents if is_stream else TooMuch

    def count(chunk: bytes) -> None:
        meter.add(chunk)
        if meter.values > MOST_VALUES:
            raise error("The answer has too many JSON values.")

    return count


def replacing(most: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """Return an event hook that puts an error in the place of a body of more than `most` bytes.

    Of a stream the SDK is told the most bytes of an event; its values are counted here. What is
    compressed could unpack to anything.
    """

    async def bound(response: httpx2.Response) -> None:
        if not response.headers.get(MCP_SESSION_ID, "").isascii():
            # It could not be sent back, and the SDK ends with all its requests there.
            del response.headers[MCP_SESSION_ID]
        try:
            refuse_compressed(response)
        except TooMuch as refusal:
            del response.headers["content-encoding"]
            response.headers["content-type"] = "application/json"
            response.stream = _Whole(response, most, refusal)
            return
        if is_stream(response):
            response.stream = CheckedStream(response.stream, counting(is_stream=True))
        else:
            response.stream = _Whole(response, most)

    return bound


class _Whole(httpx2.AsyncByteStream):
    """A body as a whole, or the error in its place."""

    def __init__(
        self, response: httpx2.Response, most: int, refusal: TooMuch | None = None
    ) -> None:
        self._stream: Any = response.stream
        self._request = response.request
        self._most = most
        self._refusal = refusal

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            yield bytes(await self._read())
        except TooMuch as error:
            yield _error(self._request, str(error))

    async def _read(self) -> bytearray:
        if self._refusal is not None:
            raise self._refusal
        body, count = bytearray(), counting()
        async for chunk in self._stream:
            body += chunk
            if len(body) > self._most:
                raise TooMuch(f"The answer is larger than {self._most} bytes.")
            count(chunk)
        return body

    async def aclose(self) -> None:
        await self._stream.aclose()


def _error(request: httpx2.Request, message: str) -> bytes:
    asked = json.loads(request.content or b"{}")
    error = {"code": INTERNAL_ERROR, "message": message}
    return json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "error": error}).encode()
