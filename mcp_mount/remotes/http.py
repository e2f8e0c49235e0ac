"""Streamable HTTP to another server: sessions over connections that are kept.

What leaves is what stands in the `Remote`. A redirect is followed only within the server's own
origin (the SDK does that), and no answer is read beyond its bounds.
"""

import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import Any, Final

import anyio
import httpx2
from anyio.abc import TaskGroup
from anyio.lowlevel import RunVar
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from mcp_mount.outgoing.excess import close_on_excess
from mcp_mount.outgoing.heads import BoundedTransport, FewCookies
from mcp_mount.outgoing.log import hide_url_async
from mcp_mount.outgoing.tls import usual_tls
from mcp_mount.remotes.bounds import Pace, begins_answer, too_large_error
from mcp_mount.remotes.events import EventStream, PacedStream
from mcp_mount.remotes.life import Key, Life
from mcp_mount.remotes.outgoing import OutgoingRequest, current_request, sending
from mcp_mount.remotes.reading import read_within
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.sdk_log import belongs_to, talking_to
from mcp_mount.remotes.session import Session

_CONNECTIONS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
"""As many as there are calls, which `Limits.max_concurrency` bounds."""

_CONNECT_SECONDS: Final = 10.0

_REQUEST: Final = re.compile(rb'\{"jsonrpc":\s*"2.0",\s*"id":\s*[^,]{1,40},\s*"method"')
"""How the SDK writes a request; a notification has no id, and an answer no method."""

_LISTEN: Final = re.compile(rb'[^}]{0,100}"method":\s*"subscriptions/listen"')
"""Beside it, nothing but the id stands before the parameters."""

_MAX_ANSWERS: Final = 20
"""Answers to what a server asks that it has not accepted; of more it hears nothing."""

_ANSWER: Final = 10
"""As how many messages the answer to a question counts, which is a request of ours: fifty a second
are 6 % of a core."""

_OPENING: Final = 20
"""So many messages a new stream of a session counts as; a server may end each at once."""

_MAX_RESUMED: Final = 500
"""So often the stream of one request is resumed: the SDK goes one call deeper each time, and Python
no deeper than a thousand."""

_INITIALIZE: Final = re.compile(_REQUEST.pattern + rb':\s*"initialize"')
"""The request that opens a session: what its answer says is not yet of any caller."""

_FAREWELL: Final = 5.0
"""Seconds in which a server can accept a notification, or an answer of ours."""


class HTTPConnection:
    """The way to a server at a URL.

    Attributes:
        patience: Seconds that a list waits for a server that has not answered yet.
        refused: The status with which the last request was refused; None if it was not.
    """

    patience = 2.0
    refused: int | None = None

    def __init__(self, remote: Remote, max_bytes: int, max_blocks: int) -> None:
        self._remote = remote
        self.max_bytes = max_bytes
        self.name = remote.name
        self.pace = Pace()
        self._max_blocks = max_blocks
        self._ids = count(1)
        self._pool: RunVar[httpx2.AsyncHTTPTransport | None] = RunVar(remote.name, None)

    @asynccontextmanager
    async def keep(self, **_: Any) -> AsyncIterator[Life]:
        """Keep connections while this lasts; yield a life that does not end."""
        async with _connection_pool() as pool:
            token = self._pool.set(pool)
            try:
                yield Life()
            finally:
                self._pool.reset(token)

    @asynccontextmanager
    async def open_session(
        self, _: Key = (), *, stream: EventStream | None = None, **callbacks: Any
    ) -> AsyncIterator[Session]:
        """Yield a session that has not agreed on a version yet, whoever is its owner.

        `stream` is told of the stream of the session.
        """
        remote = self._remote
        headers = {"accept-encoding": "identity", **remote.headers}
        if isinstance(remote.auth, str):
            headers["authorization"] = f"Bearer {remote.auth}"
        async with anyio.create_task_group() as tasks, AsyncExitStack() as stack:
            stack.callback(tasks.cancel_scope.cancel)
            stack.enter_context(talking_to(remote.name))
            pool = self._pool.get()
            if pool is None:
                pool = await stack.enter_async_context(_connection_pool())
            transport = _BoundedTransport(pool, self, stream or EventStream(), tasks)
            client = await stack.enter_async_context(
                _Client(
                    transport=transport,
                    headers=headers,
                    auth=remote.auth if isinstance(remote.auth, httpx2.Auth) else None,
                    cookies=FewCookies(),
                    event_hooks={"request": [hide_url_async], "response": [close_on_excess]},
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
                _HTTPSession(read, write, ids=self._ids, max_blocks=self._max_blocks, **callbacks)
            )


class _Client(httpx2.AsyncClient):
    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        try:
            return await super().send(request, **options)
        except Exception as error:
            # Of `auth`, which has got no token: it would end what others do in the session.
            if request.method != "POST":
                raise
            (current_request() or OutgoingRequest()).failure = error
            return httpx2.Response(503, request=request)


def _connection_pool() -> httpx2.AsyncHTTPTransport:
    return BoundedTransport(verify=usual_tls(), retries=1, limits=_CONNECTIONS)


class _HTTPSession(Session):
    ends_by_closing = True

    async def send_request(self, *arguments: Any, **options: Any) -> Any:
        request = current_request()
        if request is None:
            with sending(OutgoingRequest()) as own:
                try:
                    return await self.send_request(*arguments, **options)
                except anyio.get_cancelled_exc_class():
                    own.abandon()
                    raise
        try:
            return await super().send_request(*arguments, **options)
        except MCPError:
            # The SDK says something else of a stream that is cut off, or a connection that is lost.
            if request.is_too_large:
                raise MCPError.from_error_data(too_large_error()) from None
            if request.failure is not None:
                raise request.failure from None
            raise

    def was_said(self, error: MCPError) -> bool:
        # The SDK answers in the server's place where there is no response, with the same codes.
        request = current_request()
        ends = request.ends if request is not None else b""
        return b'"error"' in ends and str(error.code).encode() in ends


class _BoundedTransport(httpx2.AsyncBaseTransport):
    """Sends over connections that it does not own, and reads no more than the bounds.

    A connection that cannot be made, or is lost, fails the request that it was for: other requests
    of the same session have connections of their own. A cookie is kept where it is set when the
    session is opened: callers can share the session, and none is given another one's.
    """

    def __init__(
        self,
        pool: httpx2.AsyncBaseTransport,
        connection: HTTPConnection,
        stream: EventStream,
        tasks: TaskGroup,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._stream = stream
        self._tasks = tasks
        self._answers = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        outgoing = current_request() or OutgoingRequest()
        # This is a task of the SDK's.
        belongs_to(self._connection.name)
        if request.method != "POST":
            outgoing.resumed += "last-event-id" in request.headers
            if outgoing.is_abandoned or outgoing.resumed > _MAX_RESUMED:
                raise httpx2.ReadError("Nobody waits for the response any more.")
            return await self._get(request)
        if begins_answer(request.content):
            # Calls do not wait for a server that accepts no answers to what it asks.
            self._connection.pace.owe(_ANSWER, time.monotonic())
            if self._answers < _MAX_ANSWERS:
                self._answers += 1
                self._tasks.start_soon(self._send_answer, request)
            return httpx2.Response(202)
        response = httpx2.Response(504)
        try:
            if _REQUEST.match(request.content):
                if outgoing.is_abandoned:
                    return response
                with anyio.CancelScope() as outgoing.reading:
                    response = await self._send(request)
            else:
                # The SDK sends nothing else until a notification is accepted.
                with anyio.move_on_after(_FAREWELL):
                    response = await self._send(request)
        except httpx2.TransportError as error:
            outgoing.failure = error
            return httpx2.Response(503)
        self._connection.refused = response.status_code if response.status_code >= 300 else None
        outgoing.status = self._connection.refused
        pace = self._connection.pace
        if _LISTEN.match(request.content):
            response.stream = PacedStream(response.stream, pace)
            return read_within(self._connection.max_bytes, request, response)
        return read_within(self._connection.max_bytes, request, response, pace=pace)

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._pool.handle_async_request(request)
        if "set-cookie" in response.headers and not _INITIALIZE.match(request.content):
            del response.headers["set-cookie"]
        return response

    async def _get(self, request: httpx2.Request) -> httpx2.Response:
        """Open the session's stream, or end the session."""
        stream = self._stream if request.method == "GET" else EventStream()
        try:
            await self._connection.pace.keep(_OPENING, 0)
            response = await self._send(request)
        except BaseException:
            stream.ended.set()
            raise
        stream.was_open |= response.is_success
        response.stream = PacedStream(response.stream, self._connection.pace)
        max_bytes = self._connection.max_bytes
        return read_within(max_bytes, request, response, ended=stream.ended.set)

    async def _send_answer(self, request: httpx2.Request) -> None:
        try:
            with anyio.move_on_after(_FAREWELL), suppress(httpx2.TransportError):
                response = await self._send(request)
                await response.aclose()
        finally:
            self._answers -= 1
