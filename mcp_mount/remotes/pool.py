"""Sessions with another server that are kept for the next request of the same caller.

Each is opened by a task of its own, which outlives the request that needed it first. It ends when
the server ends it, when nobody has used it for a while, or when another one needs its place.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from mcp_mount.errors import Busy
from mcp_mount.remotes.exchange import Connection
from mcp_mount.remotes.failures import Ended
from mcp_mount.remotes.http import HTTPConnection
from mcp_mount.remotes.life import Key, Life
from mcp_mount.remotes.outgoing import OutgoingRequest, sending
from mcp_mount.remotes.session import Answer, Session

IDLE: Final = 600.0
"""Seconds after which a session that nobody has used is ended."""

_MAX_HTTP: Final = 200
_MAX_PROGRAMS: Final = 8
"""Sessions with one server, or processes of one program beside the first."""

_PART: Final = 2
"""The part of them that one caller can have: each kind of client it uses has a session of its own,
and a program knows four."""

_EVERYONE: Final = ""

_PATIENCE: Final = 6.0
"""Seconds to wait for the end of a session whose place is needed; a program may take four."""

_BUSY: Final = "Too many sessions with this server are in use. Try again in a few seconds."

_LOST: Final = {400, 404}
"""The status with which servers refuse a session that they do not know (any more)."""


class SessionPool:
    """The sessions with one server that one event loop keeps."""

    def __init__(
        self,
        connection: Connection,
        connect: Callable[[Session], Awaitable[None]],
        tasks: TaskGroup,
    ) -> None:
        self._connection = connection
        self._connect = connect
        self._kept: dict[Key, Life] = {}
        # Those that are ending, too: their processes still run.
        self._open: set[Life] = set()
        self._freed = anyio.Event()
        self._waiting: Counter[Key] = Counter()
        self._max = _MAX_HTTP if isinstance(connection, HTTPConnection) else _MAX_PROGRAMS
        self._tasks = tasks
        self._is_closed = False
        # Nothing of the caller who needs a session first goes on with it.
        self._context = copy_context()

    async def exchange(
        self,
        key: Key,
        request: OutgoingRequest,
        send: Callable[[Session], Awaitable[Answer]],
        **callbacks: Any,
    ) -> Answer:
        """Send a request in the session that belongs to a key; open one if there is none.

        Raises:
            Busy: all sessions that may be kept are in use.
            Ended: no session is kept any more.
            ServerError: the server refuses the request.
            Exception: whatever the client raises where there is no session.
        """
        async with self._session(key, callbacks) as (life, is_new):
            answer = await self._send(life, request, send)
            # In the modern era there is none that could be forgotten.
            is_handshake = life.session is not None and life.session.discover_result is None
            is_refused = isinstance(answer, Exception) and request.status in _LOST
            is_lost = is_refused and is_handshake and not is_new and not request.is_named
            if is_lost:
                self._leave(life)
        if is_lost:
            # It has forgotten the session, and so has not read what was sent in it.
            request.begin()
            async with self._session(key, callbacks) as (life, _):
                answer = await self._send(life, request, send)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _send(
        self, life: Life, request: OutgoingRequest, send: Callable[[Session], Awaitable[Answer]]
    ) -> Answer | Exception:
        if life.session is None:
            raise life.error or ConnectionError
        begun = anyio.current_time()
        with sending(request):
            try:
                answer = await life.session.attempt(send)
            except anyio.get_cancelled_exc_class():
                request.abandon()
                if request.scope.cancel_called and life.doubt(begun):
                    self._context.run(self._tasks.start_soon, life.ask)
                raise
        life.misses = 0
        return answer

    def _leave(self, life: Life) -> None:
        """Have the next request open another session; what runs in this one is not cut off."""
        life.is_left = True
        if self._kept.get(life.owner) is life:
            del self._kept[life.owner]

    def expire(self) -> None:
        """End the sessions that nobody has used for a while."""
        now = anyio.current_time()
        for life in self._kept.values():
            if not life.users and life.ready.is_set() and now - life.used > IDLE:
                life.close()

    def close(self) -> None:
        """End all sessions, and open no other: who waits for room could."""
        self._is_closed = True
        for life in self._open:
            life.close()

    @asynccontextmanager
    async def _session(
        self, key: Key, callbacks: dict[str, Any]
    ) -> AsyncIterator[tuple[Life, bool]]:
        """Yield the session that belongs to a key, and whether it is new."""
        if self._find(key) is None:
            await self._make_room(key)
        # Another request of the caller may have waited for room, too.
        known = self._find(key)
        if known is None and self._is_closed:
            raise Ended
        life = known or self._open_session(key, callbacks)
        life.users += 1
        try:
            await life.ready.wait()
            yield life, known is None
        finally:
            life.users -= 1
            life.used = anyio.current_time()
            if life.is_left and not life.users:
                life.close()

    def _find(self, key: Key) -> Life | None:
        found = self._kept.get(key)
        return None if found is None or found.has_ended else found

    def _open_session(self, key: Key, callbacks: dict[str, Any]) -> Life:
        life = self._kept[key] = Life(key)
        self._open.add(life)
        self._context.run(self._tasks.start_soon, self._hold, life, callbacks)
        return life

    async def _make_room(self, key: Key) -> None:
        """Wait until another session may be opened; end one that nobody uses where it has to be.

        Raises:
            Busy: there is no room, and none in a while.
        """
        self.expire()
        if self._crowded(key, self._waiting.keys() - {key}) is not None:
            raise Busy(_BUSY)
        self._waiting[key] += 1
        try:
            with anyio.fail_after(_PATIENCE):
                while (
                    caller := self._crowded(key, [each.owner for each in self._open])
                ) is not None:
                    self._end_one(caller)
                    await self._freed.wait()
        except TimeoutError:
            raise Busy(_BUSY) from None
        finally:
            self._waiting -= Counter([key])

    def _crowded(self, key: Key, keys: Iterable[Key]) -> str | None:
        """Return who has as many of some keys as one may have; None where one more has room."""
        counts = Counter(caller for each in keys for caller in _callers(each))
        for caller in _callers(key):
            most = self._max if caller == _EVERYONE else max(1, self._max // _PART)
            if counts[caller] >= most:
                return caller
        return None

    def _end_one(self, caller: str) -> None:
        """End a session of a caller's that nobody uses, unless as many end as are waited for.

        Raises:
            Busy: all of them are in use.
        """
        own = [life for life in self._open if caller in _callers(life.owner)]
        ending = sum(life.has_ended for life in own)
        idle = [life for life in own if not (life.users or life.has_ended)]
        if not (idle or ending):
            raise Busy(_BUSY)
        if idle and ending < sum(caller in _callers(key) for key in self._waiting):
            min(idle, key=lambda life: life.used).close()

    async def _hold(self, life: Life, callbacks: dict[str, Any]) -> None:
        """Keep a session open until it ends, and give its place to others."""
        try:
            await life.hold(self._connection.open_session(life.owner, **callbacks), self._connect)
        finally:
            self._leave(life)
            self._open.discard(life)
            self._freed.set()
            self._freed = anyio.Event()


def _callers(key: Key) -> tuple[str, ...]:
    """Return whom a session counts against."""
    return (*(key[0] if key else ()), _EVERYONE)
