"""Answers of an MCP endpoint that nobody vouches for, read no further than a bound.

The SDK fails one request where a stream of events breaks off, and all of them where a body does:
instead of a body that is too large, or no answer at all, it gets an error.
"""

import json
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import anyio
import httpx2
from mcp.client.streamable_http import MCP_SESSION_ID
from mcp_types import INTERNAL_ERROR

from mcp_mount.conversion.structure import Meter
from mcp_mount.outgoing.bodies import CheckedStream, TooMuch, refuse_compressed
from mcp_mount.outgoing.heads import BoundedClient
from mcp_mount.turns import Turns

logger = logging.getLogger("mcp_mount")

MOST_VALUES: Final = 2_000_000
"""Of one message, as `Meter` counts them: 10 MB of a usual list, which takes 200 MB when read."""

EVENTS: Final = "text/event-stream"
"""The kind of a stream. Nothing of its parameters is kept: the SDK would look up any charset."""

_NO_ANSWER: Final = "The endpoint cannot be reached, or broke off: try again, and see its log."
_TO_TAKE: Final = {"POST": 5.0, "DELETE": 1.0}
"""Seconds for an endpoint to take what has no answer: the SDK sends nothing else meanwhile."""


class EndpointClient(BoundedClient):
    """Answers a request itself where the endpoint does not."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Return the endpoint's response, or an error in its place."""
        if request.method not in _TO_TAKE:
            # The SDK opens a stream again by itself.
            return await super().send(request, **options)
        is_asked = b'"id"' in request.content and "id" in json.loads(request.content)
        try:
            with anyio.fail_after(None if is_asked else _TO_TAKE[request.method]):
                return await super().send(request, **options)
        except (httpx2.TransportError, TimeoutError):
            logger.warning(_NO_ANSWER)
            kind = {"content-type": "application/json"}
            answer = _error(request, _NO_ANSWER)
            return httpx2.Response(502, headers=kind, content=answer, request=request)


class TooManyEvents(TooMuch, httpx2.SSEError):
    """A stream of events has too much in it."""


def is_stream(response: httpx2.Response) -> bool:
    """Whether a response is a stream of events, and no body."""
    return response.headers.get("content-type", "").lower().startswith(EVENTS)


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
            response.headers["content-type"] = EVENTS
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
        except httpx2.TransportError:
            logger.warning(_NO_ANSWER)
            yield _error(self._request, _NO_ANSWER)

    async def _read(self) -> bytearray:
        if self._refusal is not None:
            raise self._refusal
        body, count, turns = bytearray(), counting(), Turns()
        async for chunk in self._stream:
            body += chunk
            if len(body) > self._most:
                raise TooMuch(f"The answer is larger than {self._most} bytes.")
            count(chunk)
            await turns.take()
        return body

    async def aclose(self) -> None:
        await self._stream.aclose()


def _error(request: httpx2.Request, message: str) -> bytes:
    asked = json.loads(request.content or b"{}")
    error = {"code": INTERNAL_ERROR, "message": message}
    return json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "error": error}).encode()
