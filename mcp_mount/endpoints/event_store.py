"""Where the events of sessions are kept: here, in Redis, or where the user says."""

import base64
import hashlib
import hmac
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

from key_value.aio.stores.memory import MemoryStore
from mcp.server.streamable_http import (
    EventCallback,
    EventId,
    EventMessage,
    EventStore,
    StreamId,
)
from mcp_types import JSONRPCMessage

from mcp_mount.access.store import StoreGuard
from mcp_mount.endpoints.events import KeptEvents
from mcp_mount.errors import MountError

_CONNECTIONS: Final = 32
"""To Redis, from one process; events wait for one."""


class GuardedEvents(EventStore):
    """The user's own store, without which calls go on."""

    def __init__(self, store: EventStore) -> None:
        """Take the store."""
        self._store = store
        self._guard = StoreGuard()

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """Keep an event; where that fails, its id is one that the store does not know."""
        stored = await self._guard.ask(lambda: self._store.store_event(stream_id, message))
        return stored or uuid4().hex

    async def replay_events_after(
        self, last_event_id: EventId, send_callback: EventCallback
    ) -> StreamId | None:
        """Send the events of a stream after one of them; return the stream's id."""
        store, missed = self._store, list[EventMessage]()

        async def keep(event: EventMessage) -> None:
            missed.append(event)

        stream = await self._guard.ask(lambda: store.replay_events_after(last_event_id, keep))
        # That a client does not read, or has left, is no failure of the store.
        for each in missed:
            await send_callback(each)
        return stream


def open_events(option: str | EventStore, key: str | None, stack: AsyncExitStack) -> EventStore:
    """Return what keeps the events of sessions; one over the network is not connected to yet.

    Args:
        option: ``"memory://"``, ``"redis://host:6379"``, or a store of the user's own.
        key: The secret that seals what is kept in Redis.
        stack: Closes the connections.

    Raises:
        MountError: the store cannot be used, or the extra is not installed.
    """
    if isinstance(option, EventStore):
        return GuardedEvents(option)
    if option == "memory://":
        return KeptEvents(MemoryStore())
    try:
        from cryptography.fernet import Fernet  # noqa: PLC0415 - an extra
        from key_value.aio.stores.redis import RedisStore  # noqa: PLC0415
        from key_value.aio.wrappers.encryption import FernetEncryptionWrapper  # noqa: PLC0415
        from redis.asyncio import BlockingConnectionPool, Redis  # noqa: PLC0415
    except ImportError:
        message = "event_store= in Redis needs its client: pip install 'mcp-mount[event-store]'."
        raise MountError(message) from None
    try:
        pool = BlockingConnectionPool.from_url(
            option, max_connections=_CONNECTIONS, decode_responses=True
        )
    except ValueError as error:
        # The URL may hold a password.
        raise MountError(
            f"event_store= cannot be used ({type(error).__name__}): write 'memory://' or "
            "'redis://host:6379'."
        ) from None
    stack.push_async_callback(pool.disconnect)
    sealing = hmac.digest((key or "").encode(), b"mcp_mount: events", hashlib.sha256)
    return KeptEvents(
        FernetEncryptionWrapper(
            RedisStore(client=Redis(connection_pool=pool)),
            fernet=Fernet(base64.urlsafe_b64encode(sealing)),
            raise_on_decryption_error=False,
        )
    )
