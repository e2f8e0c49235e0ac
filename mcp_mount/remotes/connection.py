"""The ways to another MCP server: Streamable HTTP, and a program's standard input and output.

* To a URL each call has a session of its own, over connections that are kept: nothing that the
  server remembers of one caller is there for the next.
* A program is started once, and its one session serves all callers.
* What leaves is what stands in the `Remote`: no header and no environment of ours. A redirect is
  followed only within the server's own origin, and no answer is read beyond its bound.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import anyio
import httpx2
from anyio.lowlevel import EventLoopToken, current_token
from fastmcp.client.transports import ClientTransport
from fastmcp.client.transports.base import TransportOptions
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, Implementation

from mcp_mount.backends.upstream import usual_tls
from mcp_mount.remotes.program import running
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.sieve import Sieve
from mcp_mount.version import __version__

HOPS_KEY: Final = "mcp-mount/hops"
"""In a request's ``_meta``: how many gateways it has passed."""

_CONNECTIONS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
"""As many as there are calls, which `Limits.max_concurrency` bounds."""

OURSELVES: Final = Implementation(name="mcp-mount", version=__version__)
"""What other servers are told of their client."""

_KEPT_META: Final = frozenset({"traceparent", "tracestate", "progressToken", HOPS_KEY})
_CONNECT: Final = 10.0
"""Seconds for a connection, and for a free one among those that are kept."""


class Unreachable(Exception):
    """The other server cannot be reached, or does not answer as one. Says why in a word or two."""


class TooLarge(httpx2.ReadError):
    """An answer is larger than its bound."""


class Session(ClientSession):
    """A session that tells the other server nothing of the caller's.

    Attributes:
        is_full: Whether an answer has been cut off at its bound.
        left_out: What has been left out of lists; see `Sieve`.
    """

    is_full = False

    def __init__(self, read: Any, write: Any, **options: Any) -> None:
        """Take the streams of a transport, and the SDK's options."""
        sieve = Sieve(read, write)
        super().__init__(dispatcher=sieve, **options)
        self.left_out = sieve.left_out

    async def validate_tool_result(self, name: str, result: CallToolResult) -> None:
        """Leave it to the client that gets the result, which does it again."""

    async def send_request(self, request: Any, *arguments: Any, **options: Any) -> Any:
        """Send a request with nothing in its ``_meta`` but the trace and the count of gateways."""
        params = request.params
        meta: Mapping[str, Any] = getattr(params, "meta", None) or {}
        if meta:
            kept = {key: value for key, value in meta.items() if key in _KEPT_META}
            request = request.model_copy(
                update={"params": params.model_copy(update={"meta": kept or None})}
            )
        return await super().send_request(request, *arguments, **options)


class HttpTransport(ClientTransport):
    """Streamable HTTP to one URL. A class because it keeps the connections of each event loop.

    Attributes:
        refused: The HTTP status with which the last request was refused; None if it was not.
    """

    refused: int | None = None

    def __init__(self, remote: Remote, most_bytes: int) -> None:
        """Take where it leads, and the bytes of one answer."""
        self._remote = remote
        self.most_bytes = most_bytes
        self._pools: dict[EventLoopToken, httpx2.AsyncHTTPTransport] = {}

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[anyio.Event]:
        """Keep connections while this lasts; yield an event that is set when they are lost."""
        token = current_token()
        async with httpx2.AsyncHTTPTransport(
            verify=usual_tls(), retries=1, limits=_CONNECTIONS
        ) as pool:
            self._pools[token] = pool
            try:
                yield anyio.Event()
            finally:
                del self._pools[token]

    @asynccontextmanager
    async def connect_session(
        self,
        *,
        transport_options: TransportOptions | None = None,  # noqa: ARG002 - FastMCP's signature
        **session_kwargs: Any,
    ) -> AsyncIterator[Session]:
        """Yield a session of its own, not yet initialized."""
        remote = self._remote
        headers = {"accept-encoding": "identity", **remote.headers}
        if isinstance(remote.auth, str):
            headers["authorization"] = f"Bearer {remote.auth}"
        async with AsyncExitStack() as stack:
            pool = self._pools.get(current_token())
            if pool is None:
                pool = await stack.enter_async_context(
                    httpx2.AsyncHTTPTransport(verify=usual_tls())
                )
            bounded = _Bounded(pool, self)
            http = await stack.enter_async_context(
                httpx2.AsyncClient(
                    transport=bounded,
                    headers=headers,
                    auth=remote.auth if isinstance(remote.auth, httpx2.Auth) else None,
                    timeout=httpx2.Timeout(_CONNECT, read=None),
                    # No ~/.netrc: the server gets the credentials that are its own.
                    trust_env=False,
                )
            )
            read, write = await stack.enter_async_context(
                # The size is bounded below; the SDK's own bound is for one event alone.
                streamable_http_client(
                    str(remote.url), http_client=http, max_sse_event_size=self.most_bytes
                )
            )
            session = await stack.enter_async_context(Session(read, write, **session_kwargs))
            bounded.session = session
            yield session


class _Bounded(httpx2.AsyncBaseTransport):
    """Sends over connections that it does not own, and reads no more than a bound.

    A class because it tells the session, which comes after it, that an answer was cut off.
    """

    def __init__(self, pool: httpx2.AsyncBaseTransport, owner: HttpTransport) -> None:
        self._pool = pool
        self._owner = owner
        self.session: Session | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._pool.handle_async_request(request)
        if request.method == "POST":
            status = response.status_code
            self._owner.refused = status if status >= HTTPStatus.MULTIPLE_CHOICES else None
        if response.headers.get("content-encoding", "identity") != "identity":
            # What it unpacks to could be a thousand times as large.
            await response.aclose()
            raise httpx2.ReadError("The answer is compressed, which was not asked for.")
        response.stream = _BoundedStream(response.stream, self)
        return response

    def full(self) -> TooLarge:
        if self.session is not None:
            self.session.is_full = True
        return TooLarge("The answer is too large.")

    @property
    def most_bytes(self) -> int:
        return self._owner.most_bytes


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, transport: _Bounded) -> None:
        self._stream = stream
        self._transport = transport

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > self._transport.most_bytes:
                raise self._transport.full()
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class StdioTransport(ClientTransport):
    """A program that speaks MCP. A class because it keeps its one session in each event loop."""

    refused: int | None = None

    def __init__(self, remote: Remote, most_bytes: int) -> None:
        """Take which program, and the bytes of one message."""
        self._remote = remote
        self._most_bytes = most_bytes
        self._sessions: dict[EventLoopToken, Session] = {}

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[anyio.Event]:
        """Run the program while this lasts; yield an event that is set when it has ended."""
        token = current_token()
        async with self._started({"client_info": OURSELVES}) as (session, ended):
            self._sessions[token] = session
            try:
                yield ended
            finally:
                del self._sessions[token]

    @asynccontextmanager
    async def connect_session(
        self,
        *,
        transport_options: TransportOptions | None = None,  # noqa: ARG002 - FastMCP's signature
        **session_kwargs: Any,
    ) -> AsyncIterator[Session]:
        """Yield the session of the running program; where none runs, that of one for this call."""
        session = self._sessions.get(current_token())
        if session is not None:
            # It has no handlers: what the program asks for could not be told from whom.
            yield session
            return
        async with self._started(session_kwargs) as (session, _):
            yield session

    @asynccontextmanager
    async def _started(
        self, session_kwargs: Mapping[str, Any]
    ) -> AsyncIterator[tuple[Session, anyio.Event]]:
        async with AsyncExitStack() as stack:
            program = await stack.enter_async_context(running(self._remote, self._most_bytes))
            session = await stack.enter_async_context(
                Session(program.read, program.write, **session_kwargs)
            )
            yield session, program.ended
