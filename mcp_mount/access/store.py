"""A store over the network, in which several processes count together."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from mcp_mount.errors import MountError
from mcp_mount.limits import Slots

if TYPE_CHECKING:
    from limits.storage import Storage

logger = logging.getLogger("mcp_mount")

T = TypeVar("T")

MOST_CONNECTIONS: Final = 32
"""To a store, from one process and for one purpose; calls wait for one, as for a slot."""

_SECONDS: Final = 1.0
"""How long a store may take to answer."""

_TWICE: Final = 2 * _SECONDS
"""How long a call waits for a connection and for an answer, which is asked for once more."""

_PAUSE: Final = 10.0
"""Seconds for which a store that calls can do without is not asked again after it has failed."""

_QUIET: Final = 60.0
"""Seconds between two lines in the log that say that a store has failed."""


@dataclass(slots=True)
class Failing:
    """Tells the log when checks begin to fail, and when that is over.

    Once, however many calls are refused meanwhile; a store that comes and goes is told of once in
    `_QUIET` seconds.

    Attributes:
        what: What is checked, e.g. ``"The rate limit"``.
        begins: What is wrong then.
        ends: What is right again.
    """

    what: str
    begins: str = "cannot be checked: calls are refused until it can"
    ends: str = "can be checked again"
    _is_told: bool = False
    _told: float = -math.inf

    def begin(self, error: Exception) -> None:
        """Say what was raised, unless that has been said."""
        if self._is_told or time.monotonic() - self._told < _QUIET:
            return
        self._is_told, self._told = True, time.monotonic()
        logger.error("%s %s", self.what, self.begins, exc_info=error)

    def end(self) -> None:
        """Say that it is over, where it was said to have begun."""
        if self._is_told:
            self._is_told = False
            logger.warning("%s %s", self.what, self.ends)


class StoreGuard:
    """Asks a store, and goes on without it where it is gone or slow."""

    def __init__(self) -> None:
        """Begin with a store that is there."""
        self._failing = Failing(
            "The store of event_store=",
            "fails: who loses a connection now may miss what comes meanwhile",
            "answers again",
        )
        self._asked_again = -math.inf

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T | None:
        """Return what the store answers; None where it does not."""
        if time.monotonic() < self._asked_again:
            return None
        begun = time.thread_time()
        try:
            async with asyncio.timeout(_SECONDS):
                answer = await question()
        except Exception as error:  # noqa: BLE001 - the store's; raised, it would end the session
            if isinstance(error, TimeoutError) and time.thread_time() - begun > _SECONDS / 2:
                # Not the store was slow: other work held the event loop.
                return None
            self._failing.begin(error)
            self._asked_again = time.monotonic() + _PAUSE
            return None
        self._failing.end()
        return answer


class Connections:
    """Asks a store in threads, so that its connections belong to no event loop; and few at once."""

    def __init__(self) -> None:
        self._slots = Slots(MOST_CONNECTIONS, max_wait=5 * _SECONDS)

    async def ask(self, question: Callable[[], T]) -> T:
        """Return what the store answers; whatever its client raises is raised.

        Raises:
            Busy: too many calls wait for the store.
            TimeoutError: neither a connection came free nor an answer came in time.
        """
        async with asyncio.timeout(_TWICE):
            return await self._ask(question)

    async def _ask(self, question: Callable[[], T]) -> T:
        release_connection = await self._slots.take()
        # Threads of our own: those of the app's routes are not to wait for the store.
        asking = asyncio.ensure_future(
            anyio.to_thread.run_sync(question, limiter=anyio.CapacityLimiter(1))
        )

        def release(asked: asyncio.Future[T]) -> None:
            release_connection()
            if not asked.cancelled():
                # Nobody may be left to hear of it.
                asked.exception()

        # The thread goes on when the caller does not wait, and so does its connection.
        asking.add_done_callback(release)
        return await asyncio.shield(asking)


def open_storage(url: str, what: str) -> "Storage":
    """Open a store; one over the network is not connected to yet.

    `what` it is for is the subject of an error.

    Raises:
        MountError: it cannot be used, or its client is not installed.
    """
    from limits.storage import Storage, storage_from_string  # noqa: PLC0415 - an extra

    scheme = str(url).partition(":")[0]
    options = _redis_options(scheme)
    try:
        storage = storage_from_string(url, **options)
        if not isinstance(storage, Storage):
            raise TypeError("The library's asynchronous stores belong to one event loop.")
    except Exception as error:  # noqa: BLE001 - the library's, its client's, or ValueError
        # Only the kind of error: its text, and the URL, may hold the store's password.
        raise MountError(
            f"{what}, {scheme!r}, cannot be used "
            f"({type(error).__name__}): write 'memory://' or 'redis://host:6379'."
        ) from None
    return storage


def _redis_options(scheme: str) -> dict[str, Any]:
    """Return the options with which Redis' client gives up after a second.

    What the URL itself says goes first, e.g. ``redis://host?socket_timeout=3``.
    """
    if "redis" not in scheme:
        return {}
    try:
        from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError:
        message = "A storage in Redis needs its client: pip install 'mcp-mount[rate-limit]'."
        raise MountError(message) from None
    return {
        "socket_timeout": _SECONDS,
        "socket_connect_timeout": _SECONDS,
        # Once more, for a connection that was closed while it was idle.
        "retry": Retry(NoBackoff(), 1),
    }
