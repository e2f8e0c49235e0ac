"""A client of the endpoint in this process, on behalf of the caller of a request.

* What it sends passes the app's whole middleware stack, with the caller's headers, address and
  state, as a tool call does; nothing is shared between callers, and there is no socket.
* It is an MCP request of its own: nothing tells it from one that the caller had sent.
* Whoever closes the client, or is cancelled while it waits, ends what the client began.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import anyio
import httpx2
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp_types.version import LATEST_MODERN_VERSION
from starlette.types import ASGIApp, Scope

from mcp_mount.backends.app_call import AppCall
from mcp_mount.backends.request import TOOL_KEY, Headers, OperationRequest
from mcp_mount.backends.scope import inner_scope
from mcp_mount.errors import MountError
from mcp_mount.headers import OF_THE_CONNECTION

if TYPE_CHECKING:
    from fastmcp import Client
    from fastmcp.client.transports import StreamableHttpTransport

_HERE: Final = "http://app"
"""Stands where a URL needs a host; the app sees the caller's."""

# Of the HTTP client, whose connection there is none of.
_NOT_SENT: Final = frozenset((b"host", b"user-agent", b"accept-encoding", b"connection"))

# Each request has its own of these (RFC 9110 §6 to §8, MCP "Transports").
_OF_THE_REQUEST: Final = OF_THE_CONNECTION | {
    *("host", "expect", "accept", "accept-encoding", "last-event-id")
}
_OF_THE_REQUEST_TOO: Final = ("content-", "mcp-")

# RFC 9110 §5.1 and §5.5
_NAME: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")

_SCHEMES: Final = {"ws": "http", "wss": "https"}
"""Of requests on behalf of who has opened a WebSocket."""


def client_for(
    app: ASGIApp,
    path: str,
    caller: Scope,
    *,
    headers: Mapping[str, str] | None = None,
    cookies: bool = False,
) -> "Client[StreamableHttpTransport]":
    """Return a client of the endpoint, not connected yet: use it with ``async with``.

    `caller` is the scope of a request to `app`, which says who calls. `headers` are sent besides
    the caller's, or in their place.

    Raises:
        MountError: a header is none, or describes the request itself.
    """
    # A quarter of a second to import, which apps whose routes use no tools need not wait.
    from fastmcp import Client  # noqa: PLC0415

    from mcp_mount.endpoints.transport import Transport  # noqa: PLC0415

    given = [*_fields(headers or {})]

    def connect(*_: Any, **__: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=_AsCaller(app, caller, given, cookies=cookies))

    transport = Transport(_HERE + path, httpx_client_factory=connect)
    return Client(transport, mode=LATEST_MODERN_VERSION)


def _fields(headers: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    """Yield headers as a scope has them."""
    for name, value in headers.items():
        lower = name.lower()
        if lower in _OF_THE_REQUEST or lower.startswith(_OF_THE_REQUEST_TOO):
            raise MountError(
                f"The header {name!r} cannot be given: each request of an MCP client has its own. "
                "Leave it out of headers=."
            )
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise MountError(
                f"{name!r} is no header: its name is made of letters, digits and hyphens, and its "
                "value of Latin-1 without control characters."
            )
        yield lower.encode("ascii"), value.encode("latin-1")


class _AsCaller(httpx2.AsyncBaseTransport):
    """Sends requests into an app on behalf of the caller of another."""

    _tasks: TaskGroup

    def __init__(self, app: ASGIApp, caller: Scope, given: Headers, *, cookies: bool) -> None:
        self._app = app
        self._caller = caller
        self._given = given
        self._cookies = cookies

    async def __aenter__(self) -> Self:
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        # By now every response is closed, so that each call ends: after its grace, or with its
        # thread, which nothing can interrupt.
        await self._tasks.__aexit__(*error)  # type: ignore[arg-type]  # as they came

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the response streams.

        Raises:
            ReadError: the app has failed before it answered.
        """
        sent, received = anyio.create_memory_object_stream[bytes](0)
        sink = _Sink(sent)
        body = await request.aread()
        call = AppCall(self._app, self._scope(request), body, sink)
        call.start()
        self._tasks.start_soon(sink.end_with, call)
        stream = _Body(call, received, self._tasks)
        try:
            await sink.started.wait()
        except BaseException:
            await stream.aclose()
            raise
        if sink.status is None:
            await stream.aclose()
            raise httpx2.ReadError("The app has failed; its log says how.", request=request)
        # The HTTP client would keep cookies, and send them in the place of the caller's.
        headers = [each for each in sink.headers if each[0].lower() != b"set-cookie"]
        return httpx2.Response(sink.status, headers=headers, stream=stream, request=request)

    def _scope(self, request: httpx2.Request) -> Scope:
        own = ((name.lower(), value) for name, value in request.headers.raw)
        meant = OperationRequest(
            method=request.method,
            path=request.url.raw_path.decode("ascii"),
            headers=(*(each for each in own if each[0] not in _NOT_SENT), *self._given),
        )
        scope = inner_scope(self._caller, meant, "", cookies=self._cookies)
        # The call of a tool is what comes of this request, and not the request.
        del scope[TOOL_KEY]
        if "scheme" in scope:
            scope["scheme"] = _SCHEMES.get(scope["scheme"], scope["scheme"])
        return scope


class _Sink:
    """Hands a response over, chunk by chunk."""

    may_wait = True

    def __init__(self, chunks: MemoryObjectSendStream[bytes]) -> None:
        self.started = anyio.Event()
        self.status: int | None = None
        self.headers: Headers = []
        self._chunks = chunks

    async def start(self, status: int, headers: Headers) -> None:
        self.status, self.headers = status, headers
        self.started.set()

    async def write(self, chunk: bytes) -> bool:
        try:
            await self._chunks.send(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # The client has closed the response, or was told to end.
            return False
        return True

    async def end_with(self, call: AppCall) -> None:
        """End the response with the call; what the app does in the background may last longer."""
        try:
            await call.wait_until_answered()
        finally:
            self._chunks.close()
            self.started.set()
        await asyncio.wait([call.task])


class _Body(httpx2.AsyncByteStream):
    """A response's body while it is produced; closing it ends the call."""

    def __init__(
        self, call: AppCall, chunks: MemoryObjectReceiveStream[bytes], tasks: TaskGroup
    ) -> None:
        self._call = call
        self._chunks = chunks
        self._tasks = tasks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk
        if self._call.outcome == "broken":
            raise httpx2.ReadError("The app has failed; its log says how.")

    async def aclose(self) -> None:
        self._chunks.close()
        if not self._call.is_done:
            self._tasks.start_soon(self._call.cancel)
