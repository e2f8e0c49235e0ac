"""The events of a session's streams, kept for a client whose connection broke.

It comes back with ``Last-Event-ID``, and gets what it missed (MCP "Resumability and Redelivery").
Which events there are is known here, because a session lives in one process; what they say is in a
store. FastMCP's own asks its store three times for each event, has no bound for a session, and
leaves a client waiting whose answer is gone.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import quote, unquote
from uuid import uuid4

from key_value.aio.protocols import AsyncKeyValue
from mcp.server.streamable_http import (
    GET_STREAM_KEY,
    EventCallback,
    EventId,
    EventMessage,
    EventStore,
    StreamId,
)
from mcp_types import (
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)

from mcp_mount.access.store import StoreGuard

T = TypeVar("T")

_KEPT_SECONDS: Final = 600
_LARGEST: Final = 1024 * 1024
"""Bytes of an event; clients refuse a larger one, the MCP Python SDK among them."""

_MOST_EVENTS: Final = 1_000
_MOST_BYTES: Final = 4 * _LARGEST
"""Of a session; of more, its oldest events are forgotten."""

_MOST_BYTES_IN_ALL: Final = 64 * _LARGEST
"""Of more, the oldest of the session that has been quiet for longest."""

_SMALL: Final = 16 * 1024
"""Bytes of an event that is put and opened beside others."""

_PATIENCE: Final = 1.0
"""Seconds that a large event waits for others; then it is not kept."""

_OVERHEAD: Final = 1_000
"""Bytes that an event takes up besides what it says."""

_COLLECTION: Final = "mcp_mount_events"

_GONE: Final = (
    "The answer came while the connection was broken, and is not kept any more. The call may have "
    "been made."
)


@dataclass(frozen=True, slots=True)
class _Event:
    """What is known of an event here.

    Attributes:
        stream: Where it was sent.
        size: The bytes that it takes up.
        digest: Tells whether the store has what was put there; None: it says nothing.
        answers: The request that it answers; None: it is no answer.
    """

    stream: StreamId
    size: int
    digest: bytes | None = None
    answers: RequestId | None = None


class KeptEvents(EventStore):
    """Events for ten minutes, and so many bytes of them."""

    def __init__(self, storage: AsyncKeyValue) -> None:
        """Take the store of what the events say."""
        self._storage = storage
        self._guard = StoreGuard()
        self._large = asyncio.Lock()
        # The sessions in the order of their last event, each with its events from the oldest on.
        self._sessions: dict[str, dict[EventId, _Event]] = {}
        self._bytes: dict[str, int] = {}
        self._bytes_in_all = 0

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """Keep an event; None says only that the stream is open."""
        event_id = f"{quote(stream_id, safe=':')}/{uuid4().hex}"
        text = ""
        if message is not None:
            text = message.model_dump_json(by_alias=True, exclude_unset=True)
        content = text.encode()
        is_kept = 0 < len(content) <= _LARGEST
        forgotten = self._add(
            event_id,
            _Event(
                stream_id,
                _OVERHEAD + 2 * len(event_id) + (len(content) if is_kept else 0),
                hashlib.sha256(content).digest() if is_kept else None,
                message.id if isinstance(message, JSONRPCResponse | JSONRPCError) else None,
            ),
        )
        if forgotten:
            await self._guard.ask(
                lambda: self._storage.delete_many(forgotten, collection=_COLLECTION)
            )
        if is_kept:
            value = {"message": text}
            await self._ask(
                len(content),
                lambda: self._storage.put(
                    event_id, value, collection=_COLLECTION, ttl=_KEPT_SECONDS
                ),
                patience=_PATIENCE,
            )
        return event_id

    async def replay_events_after(
        self, last_event_id: EventId, send_callback: EventCallback
    ) -> StreamId | None:
        """Send the events of a stream after one of them; return the stream's id.

        An answer that is gone is an error, so that nobody waits for it.
        """
        stream = unquote(last_event_id.rpartition("/")[0])
        events = self._sessions.get(_session_of(stream), {})
        if last_event_id not in events:
            # Everything after it may be gone. The stream of what is no answer just goes on.
            if not stream.endswith(f":{GET_STREAM_KEY}"):
                await send_callback(EventMessage(_gone(None)))
            return stream
        ids = [*events]
        after = ids[ids.index(last_event_id) + 1 :]
        missed = {each: events[each] for each in after if events[each].stream == stream}
        for event_id, event in missed.items():
            # One at a time: to open all of them at once holds up the event loop.
            text = await self._text(event_id, event) if event.digest is not None else ""
            # Who writes into the store by himself says nothing to our clients.
            if event.digest == hashlib.sha256(text.encode()).digest():
                message = jsonrpc_message_adapter.validate_json(text)
                await send_callback(EventMessage(message, event_id))
            elif event.answers is not None:
                await send_callback(EventMessage(_gone(event.answers), event_id))
        return stream

    async def _text(self, event_id: EventId, event: _Event) -> str:
        """Return what the store has of an event."""
        found = await self._ask(
            event.size, lambda: self._storage.get(event_id, collection=_COLLECTION)
        )
        return str((found or {}).get("message", ""))

    async def _ask(
        self, size: int, question: Callable[[], Awaitable[T]], patience: float | None = None
    ) -> T | None:
        """Return what the store answers; None where it does not, or after `patience` seconds.

        Large events are put and opened one after the other: all that are sealed at once take time
        of the event loop, which would count as the store's.
        """
        if size <= _SMALL:
            return await self._guard.ask(question)
        try:
            async with asyncio.timeout(patience):
                await self._large.acquire()
        except TimeoutError:
            return None
        try:
            return await self._guard.ask(question)
        finally:
            self._large.release()

    def _add(self, event_id: EventId, event: _Event) -> list[EventId]:
        """Remember an event; return those that are forgotten for it."""
        session = _session_of(event.stream)
        events = self._sessions[session] = self._sessions.pop(session, {})
        events[event_id] = event
        self._count(session, event.size)
        forgotten: list[EventId] = []
        while len(events) > _MOST_EVENTS or self._bytes[session] > _MOST_BYTES:
            forgotten.append(self._forget_oldest(session))
        while self._bytes_in_all > _MOST_BYTES_IN_ALL:
            forgotten.append(self._forget_oldest(next(iter(self._sessions))))
        return forgotten

    def _forget_oldest(self, session: str) -> EventId:
        events = self._sessions[session]
        event_id = next(iter(events))
        self._count(session, -events.pop(event_id).size)
        if not events:
            del self._sessions[session], self._bytes[session]
        return event_id

    def _count(self, session: str, size: int) -> None:
        self._bytes[session] = self._bytes.get(session, 0) + size
        self._bytes_in_all += size


def _session_of(stream: StreamId) -> str:
    """Return the session of a stream, which FastMCP writes ``32:<its name>:<the request>``."""
    return ":".join(stream.split(":", 2)[:2])


def _gone(request: RequestId | None) -> JSONRPCError:
    error = ErrorData(code=INTERNAL_ERROR, message=_GONE)
    return JSONRPCError(jsonrpc="2.0", id=request, error=error)
