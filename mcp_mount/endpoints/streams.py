"""The event streams of the HTTP+SSE transport, each of which is its caller's alone.

* A message to somebody else's stream is answered as if there were no such stream.
* What a call began lives among the tasks of the stream: the POST that asked for it ends before it.
* A stream ends with its client, with the server, and when its client does not read it.
"""

import asyncio
import hmac
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlencode

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.access.sessions import session_owner
from mcp_mount.backends.request import request_context, wait_for_tasks
from mcp_mount.endpoints.aside import Aside
from mcp_mount.endpoints.form import is_message
from mcp_mount.endpoints.guard import refuse, replay_body
from mcp_mount.endpoints.outbox import Outbox, request_size, send_in_pieces, size_of_request
from mcp_mount.turns import Turns

logger = logging.getLogger("mcp_mount")

# As the SDK writes it in the first event, which tells the client where to POST (MCP 2024-11-05
# "Transports", "HTTP with SSE").
_ENDPOINT = re.compile(rb"\?session_id=([0-9a-f]{32})(?=\r\n)")
# The SDK gives out no such id, so it answers as it does for a stream that is not there.
_NOBODYS = b"session_id=" + b"0" * 32
_PARSE_ERROR = -32700
_UNREAD = "Too much waits on this stream: read it, and send the message again."


@dataclass(slots=True)
class Stream:
    """One that is open: whose it is, what its calls live in, and its id once that is known."""

    caller: bytes
    outbox: Outbox
    aside: Aside = field(default_factory=Aside)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    id: str = ""


current_outbox: ContextVar[Outbox | None] = ContextVar("mcp_mount_outbox", default=None)
"""That of the stream that the current task serves."""


@dataclass(slots=True)
class Streams:
    """The streams that are open in one event loop."""

    _by_id: dict[str, Stream] = field(default_factory=dict)
    _ends: set[anyio.Event] = field(default_factory=set)
    _outboxes: set[Outbox] = field(default_factory=set)
    _stopping: anyio.Event = field(default_factory=anyio.Event)

    async def stop(self) -> None:
        """End all streams."""
        self._stopping.set()
        for each in [*self._ends]:
            await each.wait()

    @asynccontextmanager
    async def opened(self, caller: bytes) -> AsyncIterator[Stream]:
        """Keep a stream of a caller, and stay until what its calls began has ended."""
        end = anyio.Event()
        self._ends.add(end)
        stream = Stream(caller, Outbox(self._outboxes))
        self._outboxes.add(stream.outbox)
        token = current_outbox.set(stream.outbox)
        try:
            yield stream
        finally:
            current_outbox.reset(token)
            self._outboxes.discard(stream.outbox)
            stream.aside.close()
            self._by_id.pop(stream.id, None)
            # What runs on are background tasks, for which no server's end waits over REST.
            self._ends.discard(end)
            end.set()
            await wait_for_tasks(stream.tasks)

    def name(self, stream: Stream, id_: str) -> None:
        """Let a stream be found by its id."""
        stream.id = id_
        self._by_id[id_] = stream

    def find(self, id_: str, caller: bytes) -> Stream | None:
        """Return a stream; None where the caller has no such stream."""
        stream = self._by_id.get(id_)
        if stream is None or stream.outbox.is_closed.is_set():
            return None
        return stream if hmac.compare_digest(stream.caller, caller) else None

    def until_stopped(self, receive: Receive, outbox: Outbox) -> Receive:
        """Return a `receive` to which the server's end, and the outbox's, is the client's."""

        async def receive_or_stop() -> Message:
            message: Message = {"type": "http.disconnect"}

            async def stop(event: anyio.Event) -> None:
                await event.wait()
                either.cancel_scope.cancel()

            async with anyio.create_task_group() as either:
                either.start_soon(stop, self._stopping)
                either.start_soon(stop, outbox.is_closed)
                message = await receive()
                either.cancel_scope.cancel()
            # Hundreds may go at once.
            await Turns().begin()
            return message

        return receive_or_stop


class _Opening:
    """The answer to a GET while it is sent."""

    def __init__(self, send: Send, outbox: Outbox, on_id: Callable[[str], None], keys: str) -> None:
        """Take the server's `send`, and keys of the query that the client is to send again."""
        self._send = send
        self._outbox = outbox
        self._on_id = on_id
        self._keys = keys.encode()
        self._is_named = False
        self._is_started = False
        self._is_over = False

    async def send(self, message: Message) -> None:
        """Send a message of the stream, and nothing of the empty response that comes after it."""
        is_start = message["type"] == "http.response.start"
        if self._is_over or (is_start and self._is_started):
            return
        self._is_started = True
        if not (is_start or self._is_named):
            message = {**message, "body": self._read(message.get("body", b""))}
        self._is_over = not (is_start or message.get("more_body", False))
        try:
            if is_start:
                await self._send(message)
            else:
                await send_in_pieces(self._send, message, self._outbox.is_closed.set)
        except OSError:
            # The client does not read, or is gone, which `receive` tells as well (ASGI,
            # "Disconnected Client").
            self._is_over = True

    async def close(self) -> None:
        """End the answer, which the SDK leaves open when it is not the client that ends it."""
        if self._outbox.is_closed.is_set():
            # What would end the answer would wait for the client too; the server closes it so.
            logger.warning("A stream of HTTP with SSE was closed: its client does not read it")
        elif self._is_started:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    def _read(self, body: bytes) -> bytes:
        found = _ENDPOINT.search(body)
        if found is None:
            return body
        self._is_named = True
        self._on_id(found[1].decode())
        return body[: found.end()] + self._keys + body[found.end() :]


class StreamGate:
    """Lets each caller have its own streams. Pure ASGI middleware around the MCP app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        streams: Streams,
        credentials: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        """Wrap `app`; `credentials` returns where the app looks for keys (see `Operation`)."""
        self._app = app
        self._streams = streams
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a GET, which opens a stream, or a POST, which is a message to one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        places = [*self._credentials()]
        caller = session_owner(scope, places)
        if scope["method"] == "GET":
            async with self._streams.opened(caller) as stream:
                on_id = partial(self._streams.name, stream)
                opening = _Opening(send, stream.outbox, on_id, _keys(scope, places))
                until_stopped = self._streams.until_stopped(receive, stream.outbox)
                await self._app(scope, until_stopped, stream.aside.around(opening.send))
                await opening.close()
        else:
            await self._pass_on(scope, receive, send, caller)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, caller: bytes) -> None:
        id_ = Request(scope).query_params.get("session_id")
        stream = self._streams.find(id_, caller) if id_ is not None else None
        body = (await receive()).get("body", b"")
        if stream is None:
            if id_ is not None:
                scope = {**scope, "query_string": _NOBODYS}
            await self._app(scope, replay_body(body, receive), send)
            return
        size = await size_of_request(scope, body)
        if not stream.outbox.has_room(size):
            await refuse(429, _UNREAD)(scope, receive, send)
            return
        if not _is_message(body):
            # The SDK would write it to the log, with a traceback.
            refusal = refuse(400, "The body is no message of JSON-RPC 2.0.", _PARSE_ERROR)
            await refusal(scope, receive, send)
            return
        # The SDK reads all of it again.
        await asyncio.sleep(0)
        if (ctx := request_context.get()) is not None:
            stream.tasks[:] = [task for task in stream.tasks if not task.done()]
            ctx.tasks = stream.tasks
        token = request_size.set(size)
        try:
            # It waits here while the stream's session takes none, and there with its answer.
            async with stream.outbox.counted(size):
                with stream.aside.used():
                    await self._app(scope, replay_body(body, receive), send)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # The stream has ended between the answer to this, 202, and its being handed on. Nobody
            # is left to be told.
            return
        finally:
            request_size.reset(token)


def _is_message(body: bytes) -> bool:
    try:
        return is_message(body)
    except ValueError:
        return False


def _keys(scope: Scope, places: Iterable[tuple[str, str]]) -> str:
    """Return what of the query of a GET is meant for each message: keys, and what to be shown.

    A client does not send it again by itself.
    """
    names = {"surface", *(name for where, name in places if where == "query")}
    sent = Request(scope).query_params.multi_items()
    keys = urlencode([(name, value) for name, value in sent if name.lower() in names])
    return f"&{keys}" if keys else ""
