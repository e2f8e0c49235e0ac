"""Bodies of responses, read no further than a bound."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2


class TooMuch(httpx2.RequestError):
    """A response is larger than it may be, or compressed: nobody knows what it unpacks to."""


def reading_at_most(most: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """Return an event hook for a client that sends ``Accept-Encoding: identity``.

    Beyond so many bytes the body of a response is a `TooMuch`.
    """

    async def bound(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise TooMuch("The answer is compressed, which was not asked for.")
        response.stream = _Bounded(response.stream, most)

    return bound


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, most: int) -> None:
        self._stream = stream
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise TooMuch(f"The answer is larger than {self._most} bytes.")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
