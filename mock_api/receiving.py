"""How much is received from the model's server, and what is not: as a hook of the HTTP client.

* A response is bounded in bytes, whatever is in it; OpenAI's client reads one of any size.
* So is each event, and in what it is made of: OpenAI's client makes an object of each choice and
  call in one step, in which nobody else is served.
* It is read as it stands: a compressed one, which was not asked for, could be a thousand times as
  large as what was received.
* No cookie is read, which takes Python half a second where a server sends them for that.
* OpenAI's client waits for as long as a server asks it to before it tries again, up to a minute; a
  person waits for `PATIENCE` seconds at the most.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from http.cookiejar import CookieJar
from typing import Any, Final, cast

import anyio.lowlevel
import httpx2

from mock_api.errors import ModelFailed

PATIENCE: Final = 3.0
"""Seconds that the model's server can ask us to wait before the one more try."""

MOST_OF_AN_EVENT: Final = 500_000
"""Bytes of one event. Some servers send a call whole, with all that it writes."""

MOST_MARKS: Final = 500
"""Marks between the values of one event, and lines; a usual one has some dozens."""

MOST_OF_A_REFUSAL: Final = 64 * 1024
"""Bytes of an answer that is an error."""

_MARKS: Final = b",:[{\r\n"
_STRING: Final = re.compile(rb'"(?:[^"\\\r\n]++|\\[^\r\n])*+"?')
_END: Final = re.compile(rb"(?>\r\n?|\n){2}")
"""A blank line."""

Hook = Callable[[httpx2.Response], Awaitable[None]]


class NoCookies(CookieJar):
    """Keeps no cookie, and reads none."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep nothing of what a response sets."""


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
        response.stream = _Bounded(stream, most_bytes if response.is_success else MOST_OF_A_REFUSAL)

    return bound


class _Bounded(httpx2.AsyncByteStream):
    """A stream, event by event, that breaks off where there is too much of it or in one."""

    def __init__(self, stream: httpx2.AsyncByteStream, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received, rest = 0, bytearray()
        async for chunk in self._stream:
            received += len(chunk)
            if received > self._most_bytes:
                raise _too_much()
            # What ends an event may have begun in the last chunk.
            known = max(0, len(rest) - 3)
            rest += chunk
            while end := _END.search(rest, known):
                # The oldest of OpenAI's clients see no end where two lines end differently.
                yield _bounded_event(bytes(rest[: end.end()])) + b"\n\n"
                del rest[: end.end()]
                known = 0
                # Of events without a word there may be thousands in a chunk.
                await anyio.lowlevel.checkpoint()
            if len(rest) > MOST_OF_AN_EVENT:
                raise _too_much()
            await anyio.lowlevel.checkpoint()
        yield _bounded_event(bytes(rest))

    async def aclose(self) -> None:
        await self._stream.aclose()


def _bounded_event(event: bytes) -> bytes:
    """Return an event; it has no more than it may, or `ModelFailed` is raised."""
    if len(event) <= MOST_OF_AN_EVENT:
        bare = _STRING.sub(b"", event)
        if len(bare) - len(bare.translate(None, _MARKS)) <= MOST_MARKS:
            return event
    raise _too_much()


def _too_much() -> ModelFailed:
    return ModelFailed("The model's server has sent too much for an answer. Try again.")


def _asks_for_patience(headers: httpx2.Headers) -> bool:
    """Tell whether a server asks to wait for longer than a person does, or until a date."""
    for name, in_a_second in (("retry-after-ms", 1_000), ("retry-after", 1)):
        if name in headers:
            try:
                return float(headers[name]) / in_a_second > PATIENCE
            except ValueError:
                return True
    return False
