"""How much is received from the model's server, and what is not: as a hook of the HTTP client.

* A response is bounded in bytes, whatever is in it; OpenAI's client reads one of any size.
* It is read as it stands: a compressed one, which was not asked for, could be a thousand times as
  large as what was received.
* OpenAI's client waits for as long as a server asks it to before it tries again, up to a minute; a
  person waits for `PATIENCE` seconds at the most.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, cast

import httpx2

from mock_api.errors import ModelFailed

PATIENCE: Final = 3.0
"""Seconds that the model's server can ask us to wait before the one more try."""

Hook = Callable[[httpx2.Response], Awaitable[None]]


def bounded(most_bytes: int) -> Hook:
    """Return the hook that bounds each response.

    Where there are more bytes, reading the response raises `ModelFailed`.
    """

    async def bound(response: httpx2.Response) -> None:
        response.headers.pop("content-encoding", None)
        if _asks_for_patience(response.headers):
            # OpenAI's own header, which its client heeds before any other.
            response.headers["x-should-retry"] = "false"
        stream = cast("httpx2.AsyncByteStream", response.stream)
        response.stream = _Bounded(stream, most_bytes)

    return bound


class _Bounded(httpx2.AsyncByteStream):
    """A stream that breaks off where there is too much of it."""

    def __init__(self, stream: httpx2.AsyncByteStream, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in self._stream:
            received += len(chunk)
            if received > self._most_bytes:
                raise ModelFailed("The model's server has sent too much for an answer. Try again.")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def _asks_for_patience(headers: httpx2.Headers) -> bool:
    """Tell whether a server asks to wait for longer than a person does, or until a date."""
    for name, in_a_second in (("retry-after-ms", 1_000), ("retry-after", 1)):
        if name in headers:
            try:
                return float(headers[name]) / in_a_second > PATIENCE
            except ValueError:
                return True
    return False
