"""Closes a connection on which more has come than the response that was asked for.

The HTTP library would keep the rest, and read it as the answer to the next request: another
caller's. It has no public way to ask for it.
"""

from collections.abc import AsyncIterator

import httpx2


async def close_on_excess(response: httpx2.Response) -> None:
    """Have the connection of a response closed with it if more has come (an event hook)."""
    if "network_stream" in response.extensions and isinstance(
        response.stream, httpx2.AsyncByteStream
    ):
        response.stream = _CheckedBody(response, response.stream)


class _CheckedBody(httpx2.AsyncByteStream):
    """A response's body, whose connection is kept for another request only where it is clean."""

    def __init__(self, response: httpx2.Response, stream: httpx2.AsyncByteStream) -> None:
        self._network = response.extensions["network_stream"]
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        try:
            if _has_excess(self._stream):
                # The pool sees that it is closed, and opens another.
                await self._network.aclose()
        finally:
            await self._stream.aclose()


def _has_excess(stream: object) -> bool:
    """Whether bytes are left behind the response; also where that cannot be found out."""
    connection = None
    while stream is not None and connection is None:
        connection = getattr(stream, "_connection", None)
        stream = getattr(stream, "_stream", None) or getattr(stream, "_httpcore_stream", None)
    state = getattr(connection, "_h11_state", None)
    return state is None or bool(state.trailing_data[0])
