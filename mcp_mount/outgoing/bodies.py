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
        refuse_compressed(response)
        left = most

        def take(chunk: bytes) -> None:
            nonlocal left
            left -= len(chunk)
            if left < 0:
                raise TooMuch(f"The answer is larger than {most} bytes.")

        response.stream = CheckedStream(response.stream, take)

    return bound


def refuse_compressed(response: httpx2.Response) -> None:
    """Refuse a response that is compressed, which nobody has asked for.

    Raises:
        TooMuch: it is.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise TooMuch("The answer is compressed, which was not asked for.")


class CheckedStream(httpx2.AsyncByteStream):
    """A body of which each chunk is checked before it is handed on."""

    def __init__(self, stream: Any, check: Callable[[bytes], None]) -> None:
        """Wrap `stream`; `check` raises `TooMuch` where enough was read."""
        self._stream = stream
        self._check = check

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the chunks."""
        async for chunk in self._stream:
            self._check(chunk)
            yield chunk

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
