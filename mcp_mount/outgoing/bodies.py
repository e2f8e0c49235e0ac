"""Bodies of responses, read no further than a bound."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import httpx2

from mcp_mount.turns import Turns

_USUAL: Final = 8
"""Bytes of a chunk, at least: HTTP has one of a byte cost as much to read as one of 64 KB."""


class TooMuch(httpx2.RequestError):
    """A response is larger than it may be, or compressed: nobody knows what it unpacks to."""


def reading_at_most(most: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """Return an event hook for a client that sends ``Accept-Encoding: identity``.

    Beyond so many bytes, or an eighth as many chunks, the body of a response is a `TooMuch`.
    """

    async def bound(response: httpx2.Response) -> None:
        refuse_compressed(response)
        left, chunks = most, most // _USUAL

        def take(chunk: bytes) -> None:
            nonlocal left, chunks
            left, chunks = left - len(chunk), chunks - 1
            if left < 0:
                raise TooMuch(f"The answer is larger than {most} bytes.")
            if chunks < 0:
                raise TooMuch("The answer comes in too many parts.")

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
    """A body of which each chunk is checked before it is handed on, while others have turns."""

    def __init__(self, stream: Any, check: Callable[[bytes], None]) -> None:
        """Wrap `stream`; `check` raises `TooMuch` where enough was read."""
        self._stream = stream
        self._check = check

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the chunks."""
        turns = Turns()
        async for chunk in self._stream:
            self._check(chunk)
            yield chunk
            await turns.take()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
