"""Sessions with another server that are kept for the next request of the same caller.

Each is opened by a task of its own, which outlives the request that needed it first. It ends when
the server ends it, when nobody has used it for a while, or when another one needs its place.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from mcp_mount.errors import Busy
from mcp_mount.remotes.exchange import Answer, Connection, send_in
from mcp_mount.remotes.http import HTTPConnection
from mcp_mount.remotes.outgoing import OutgoingRequest, sending
from mcp_mount.remotes.session import Session

IDLE: Final = 600.0
"""Seconds after which a session that nobody has used is ended."""

_MAX_HTTP: Final = 200
_MAX_PROGRAMS: Final = 8
"""Sessions with one server, or processes of one program beside the first."""

_PART: Final = 2
"""The part of them that one caller can have: each kind of client it uses has a session of its own,
and a program knows four."""

MAX_MISSES: Final = 4
"""Questions in a row that a program, or a session, leaves unanswered before it is ended."""

_EVERYONE: Final = ""

_PING: Final = 30.0
"""Seconds in which a session that is in doubt can answer; one question at a time."""

_FAREWELL: Final = 1.0
"""Seconds in which a server can be told that a session is over."""

_PATIENCE: Final = 6.0
"""Seconds to wait for the end of a session whose place is needed; a program may take four."""

_BUSY: Final = "Too many sessions with this server are in use. Try again in a few seconds."

_LOST: Final = {400, 404}
"""The status with which servers refuse a session that they do not know (any more)."""


Key = tuple[tuple[str, ...], ...]
"""Whose a session is: whom it counts against, what its caller shows, and its callbacks. Nothing:
everyone's."""


@dataclass(slots=True, eq=False)
class _Kept:
    """A session, once it is open; or why it cannot be."""

    key: Key
    scope: anyio.CancelScope = field(default_factory=lambda: anyio.CancelScope(shield=True))
    ready: anyio.Event = field(default_factory=anyio.Event)
    closing: anyio.Event = field(default_factory=anyio.Event)
    session: Session | None = None
    error: Exception | None = None
    users: int = 0
    used: float = 0.0
    misses: int = 0
    doubted: float = 0.0
    is_asked: bool = False
    is_left: bool = False

    @property
    def has_ended(self) -> bool:
        is_lost = self.session is not None and self.session.dispatcher.ended.is_set()
        return is_lost or self.closing.is_set()

    def close(self) -> None:
        self.closing.set()
        self.scope.deadline = anyio.current_time() + _FAREWELL


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
        self._tasks = tasks
        self._kept: dict[Key, _Kept] = {}
        # Those that are ending, too: their processes still run.
        self._open: set[_Kept] = set()
        self._freed = anyio.Event()
        self._waiting: Counter[Key] = Counter()
        self._max = _MAX_HTTP if isinstance(connection, HTTPConnection) else _MAX_PROGRAMS
        # Nothing of the caller who needs a session first goes on with it.
        self._context: Context = copy_context()

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
            ServerError: the server refuses the request.
            Exception: whatever the client raises where there is no session.
        """
        async with self._session(key, callbacks) as (kept, is_new):
            answer = await self._send(kept, request, send)
            # In the modern era there is none that could be forgotten.
            is_handshake = kept.session is not None and kept.session.discover_result is None
            is_refused = isinstance(answer, Exception) and request.status in _LOST
            is_lost = is_refused and is_handshake and not is_new
            if is_lost:
                self._leave(kept)
        if is_lost:
            # It has done nothing: it has forgotten the session.
            request.begin()
            async with self._session(key, callbacks) as (kept, _):
                answer = await self._send(kept, request, send)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _send(
        self, kept: _Kept, request: OutgoingRequest, send: Callable[[Session], Awaitable[Answer]]
    ) -> Answer | Exception:
        if kept.session is None:
            raise kept.error or ConnectionError
        begun = anyio.current_time()
        with sending(request):
            try:
                answer = await send_in(kept.session, send)
            except anyio.get_cancelled_exc_class():
                request.abandon()
                # What ran together with the last that was late is late for the same reason.
                if request.scope.cancel_called and not kept.has_ended and begun >= kept.doubted:
                    self._doubt(kept, kept.session)
                raise
        kept.misses = 0
        return answer

    def _doubt(self, kept: _Kept, session: Session) -> None:
        """Ask a session that has not answered in time whether it hangs; end it where it does."""

        async def ask() -> None:
            try:
                with anyio.move_on_after(_PING):
                    await send_in(session, Session.send_ping)
                    kept.misses = 0
            finally:
                kept.is_asked = False

        kept.misses += 1
        kept.doubted = anyio.current_time()
        if kept.misses >= MAX_MISSES:
            kept.close()
        elif not kept.is_asked:
            kept.is_asked = True
            self._context.run(self._tasks.start_soon, ask)

    def _leave(self, kept: _Kept) -> None:
        """Have the next request open another session; what runs in this one is not cut off."""
        kept.is_left = True
        if self._kept.get(kept.key) is kept:
            del self._kept[kept.key]

    def expire(self) -> None:
        """End the sessions that nobody has used for a while."""
        now = anyio.current_time()
        for kept in self._kept.values():
            if not kept.users and kept.ready.is_set() and now - kept.used > IDLE:
                kept.close()

    def close(self) -> None:
        """End all sessions."""
        for kept in self._open:
            kept.close()

    @asynccontextmanager
    async def _session(
        self, key: Key, callbacks: dict[str, Any]
    ) -> AsyncIterator[tuple[_Kept, bool]]:
        """Yield the session that belongs to a key, and whether it is new."""
        kept = self._kept.get(key)
        if kept is None or kept.has_ended:
            await self._make_room(key)
            # Another request of the caller may have waited, too.
            kept = self._kept.get(key)
        is_new = kept is None or kept.has_ended
        if kept is None or kept.has_ended:
            kept = self._kept[key] = _Kept(key)
            self._open.add(kept)
            self._context.run(self._tasks.start_soon, self._hold, key, kept, callbacks)
        kept.users += 1
        try:
            await kept.ready.wait()
            yield kept, is_new
        finally:
            kept.users -= 1
            kept.used = anyio.current_time()
            if kept.is_left and not kept.users:
                kept.close()

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
                while (caller := self._crowded(key, [each.key for each in self._open])) is not None:
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
        own = [kept for kept in self._open if caller in _callers(kept.key)]
        ending = sum(kept.has_ended for kept in own)
        idle = [kept for kept in own if not (kept.users or kept.has_ended)]
        if not (idle or ending):
            raise Busy(_BUSY)
        if idle and ending < sum(caller in _callers(key) for key in self._waiting):
            min(idle, key=lambda kept: kept.used).close()

    async def _hold(self, key: Key, kept: _Kept, callbacks: dict[str, Any]) -> None:
        """Keep a session open until it is ended by one side or the other."""
        owner = None if key == () else key
        try:
            with kept.scope:
                async with self._connection.open_session(owner, **callbacks) as session:
                    await self._connect(session)
                    kept.session = session
                    kept.ready.set()
                    await wait_for_any(kept.closing, session.dispatcher.ended)
                    kept.scope.deadline = anyio.current_time() + _FAREWELL
        except Exception as error:  # noqa: BLE001 - it is raised where the session was needed
            kept.error = error
        finally:
            kept.closing.set()
            kept.ready.set()
            if self._kept.get(key) is kept:
                del self._kept[key]
            self._open.discard(kept)
            self._freed.set()
            self._freed = anyio.Event()


def _callers(key: Key) -> tuple[str, ...]:
    """Return whom a session counts against."""
    return (*(key[0] if key else ()), _EVERYONE)


async def wait_for_any(*events: anyio.Event) -> None:
    """Wait until one of the events is set."""

    async def wait(event: anyio.Event) -> None:
        await event.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for each in events:
            tasks.start_soon(wait, each)
