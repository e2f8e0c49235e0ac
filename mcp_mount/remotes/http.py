"""Streamable HTTP to another server: a session for each exchange, over connections that are kept.

What leaves is what stands in the `Remote`. A redirect is followed only within the server's own
origin (the SDK does that), and no answer is read beyond its bounds.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any, Final

import anyio
import anyio.lowlevel
import httpx2
from anyio.lowlevel import RunVar
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from mcp_mount.backends.upstream import usual_tls
from mcp_mount.conversion.structure import Meter
from mcp_mount.http_log import hide_url_async
from mcp_mount.remotes.bounds import too_large_error
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.session import Session

_CONNECTIONS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
"""As many as there are calls, which `Limits.max_concurrency` bounds."""

_CONNECT_SECONDS: Final = 10.0
_ENDS: Final = 64 * 1024
"""Bytes at both ends of a response in which an error is looked for."""

_LINES: Final = 64
"""Of a stream of events, that are passed on before others have their turn."""


class HTTPConnection:
    """The way to a server at a URL.

    Attributes:
        refused: The status with which the last request was refused; None if it was not.
    """

    refused: int | None = None

    def __init__(self, remote: Remote, max_bytes: int, max_blocks: int) -> None:
        self._remote = remote
        self.max_bytes = max_bytes
        self._max_blocks = max_blocks
        self._ids = count(1)
        self._pool: RunVar[httpx2.AsyncHTTPTransport | None] = RunVar(remote.name, None)

    @asynccontextmanager
    async def keep(self) -> AsyncIterator[anyio.Event]:
        """Keep connections while this lasts; yield an event that is never set."""
        async with _connection_pool() as pool:
            token = self._pool.set(pool)
            try:
                yield anyio.Event()
            finally:
                self._pool.reset(token)

    @asynccontextmanager
    async def open_session(self, **callbacks: Any) -> AsyncIterator[Session]:
        """Yield a session that has not agreed on a version yet."""
        remote = self._remote
        headers = {"accept-encoding": "identity", **remote.headers}
        if isinstance(remote.auth, str):
            headers["authorization"] = f"Bearer {remote.auth}"
        async with AsyncExitStack() as stack:
            pool = self._pool.get()
            if pool is None:
                pool = await stack.enter_async_context(_connection_pool())
            transport = _BoundedTransport(pool, self)
            client = await stack.enter_async_context(
                httpx2.AsyncClient(
                    transport=transport,
                    headers=headers,
                    auth=remote.auth if isinstance(remote.auth, httpx2.Auth) else None,
                    event_hooks={"request": [hide_url_async]},
                    timeout=httpx2.Timeout(_CONNECT_SECONDS, read=None),
                    # No ~/.netrc: the server gets the credentials that are its own.
                    trust_env=False,
                )
            )
            read, write = await stack.enter_async_context(
                # The SDK's bound is for one event; ours is for all of them.
                streamable_http_client(str(remote.url), http_client=client, max_sse_event_size=None)
            )
            yield await stack.enter_async_context(
                _HTTPSession(
                    transport, read, write, ids=self._ids, max_blocks=self._max_blocks, **callbacks
                )
            )


def _connection_pool() -> httpx2.AsyncHTTPTransport:
    return httpx2.AsyncHTTPTransport(verify=usual_tls(), retries=1, limits=_CONNECTIONS)


class _HTTPSession(Session):
    def __init__(self, transport: "_BoundedTransport", read: Any, write: Any, **more: Any) -> None:
        super().__init__(read, write, **more)
        self._transport = transport

    async def send_request(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().send_request(*arguments, **options)
        except MCPError:
            if not self._transport.is_too_large:
                raise
            # Of an event stream that is cut off, the SDK says something else.
            raise MCPError.from_error_data(too_large_error()) from None

    def was_said(self, error: MCPError) -> bool:
        # The SDK answers in the server's place where there is no response, with the same codes.
        ends = self._transport.ends
        return b'"error"' in ends and str(error.code).encode() in ends


class _BoundedTransport(httpx2.AsyncBaseTransport):
    """Sends over connections that it does not own, and reads no more than the bounds.

    Attributes:
        ends: The two ends of the last response, or the end of a stream.
        is_too_large: Whether it was cut off.
    """

    is_too_large = False

    def __init__(self, pool: httpx2.AsyncBaseTransport, connection: HTTPConnection) -> None:
        self._pool = pool
        self._connection = connection
        self.ends = b""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._pool.handle_async_request(request)
        if request.method == "POST":
            self._connection.refused = response.status_code if response.status_code >= 300 else None
            self.ends = b""
        if response.headers.get("content-encoding", "identity") != "identity":
            # What it unpacks to could be a thousand times as large.
            await response.aclose()
            raise httpx2.ReadError("The answer is compressed, which was not asked for.")
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        meter = Meter(self._connection.max_bytes, is_stream=is_stream)
        read = self._read_events if is_stream else self._read_body
        response.stream = _Chunks(response.stream, read(request, response.stream, meter))
        return response

    async def _read_body(
        self, request: httpx2.Request, stream: Any, meter: Meter
    ) -> AsyncGenerator[bytes]:
        chunks: list[bytes] = []
        async for chunk in stream:
            if not meter.add(chunk):
                self.is_too_large = True
                chunks = [_too_large_answer(request)]
                break
            chunks.append(chunk)
        body = b"".join(chunks)
        self.ends = body[:_ENDS] + body[-_ENDS:]
        yield body

    async def _read_events(
        self, request: httpx2.Request, stream: Any, meter: Meter
    ) -> AsyncGenerator[bytes]:
        async for chunk in stream:
            self.ends = (self.ends + chunk)[-_ENDS:]
            if not meter.add(chunk):
                self.is_too_large = True
                yield b"\n\ndata: " + _too_large_answer(request) + b"\n\n"
                return
            lines = chunk.splitlines(keepends=True)
            for start in range(0, len(lines), _LINES):
                yield b"".join(lines[start : start + _LINES])
                await anyio.lowlevel.checkpoint()


def _too_large_answer(request: httpx2.Request) -> bytes:
    """Return what stands in the place of an answer that is not read to its end."""
    message = json.loads(request.content or b"{}")
    error = too_large_error().model_dump(exclude_none=True)
    return json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "error": error}).encode()


class _Chunks(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, chunks: AsyncGenerator[bytes]) -> None:
        self._stream = stream
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        await self._chunks.aclose()
        await self._stream.aclose()
