"""Whose a session is, or the process that has it, and whether it lives.

Of what a server leaves unanswered it is said whether it hangs: it may be busy with other calls, or
starting. What is late together counts once.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

import anyio

from mcp_mount.remotes.session import Session

MAX_MISSES: Final = 4
"""Questions in a row that a program, or a session, leaves unanswered before it is ended."""

_PING: Final = 30.0
"""Seconds in which a session that is in doubt can answer; one question at a time."""

_FAREWELL: Final = 1.0
"""Seconds in which a server can be told that a session is over."""

Key = tuple[tuple[str, ...], ...]
"""Whose a session is: whom it counts against, what its caller shows, and its callbacks. Nothing:
everyone's."""


@dataclass(slots=True, eq=False)
class Life:
    """The life of a session.

    Attributes:
        owner: Whose it is; nothing: everyone's, or nobody's yet.
        session: None before it is open.
        error: Why it cannot be.
        ready: Set when it is open, or cannot be.
        ended: Set when it is to end, or its process has.
        users: How many requests are in it.
        used: When the last of them was over, in the event loop's time.
        misses: Questions in a row that it has left unanswered.
        is_left: Whether it is ended when its last user has gone.
    """

    owner: Key = ()
    session: Session | None = None
    error: Exception | None = None
    ready: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)
    users: int = 0
    used: float = 0.0
    misses: int = 0
    is_left: bool = False
    _doubted: float = 0.0
    _is_asked: bool = False
    _scope: anyio.CancelScope = field(default_factory=lambda: anyio.CancelScope(shield=True))

    @property
    def endings(self) -> tuple[anyio.Event, ...]:
        """What is set when it ends: by us, by its process, or by the other side."""
        return (self.ended, *((self.session.dispatcher.ended,) if self.session is not None else ()))

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be sent any more."""
        return any(each.is_set() for each in self.endings)

    async def hold(
        self,
        opened: AbstractAsyncContextManager[Session],
        connect: Callable[[Session], Awaitable[None]],
    ) -> None:
        """Keep a session open until it is ended by one side or the other."""
        try:
            with self._scope:
                async with opened as session:
                    await connect(session)
                    self.session = session
                    self.ready.set()
                    await wait_for_any(*self.endings)
                    self.close()
        except Exception as error:  # noqa: BLE001 - it is raised where the session was needed
            self.error = error
        finally:
            self.ended.set()
            self.ready.set()

    def close(self) -> None:
        """Have it end soon, whatever still runs in it."""
        self.ended.set()
        self._scope.deadline = anyio.current_time() + _FAREWELL

    def miss(self) -> bool:
        """Count a question that was not answered; return whether it may still be busy."""
        self.misses += 1
        return self.misses < MAX_MISSES

    def doubt(self, begun: float) -> bool:
        """Return whether to `ask` if it hangs: what was sent at that time is late.

        Where it has been late often enough, it is ended.
        """
        if self.has_ended or begun < self._doubted:
            # What ran together with the last that was late is late for the same reason.
            return False
        self._doubted = anyio.current_time()
        if not self.miss():
            self.close()
            return False
        is_new, self._is_asked = not self._is_asked, True
        return is_new

    async def ask(self) -> None:
        """Ask whether it hangs; it does not if it answers, whatever it says."""
        try:
            with anyio.move_on_after(_PING):
                if self.session is not None:
                    await self.session.attempt(Session.send_ping)
                self.misses = 0
        finally:
            self._is_asked = False


async def wait_for_any(*events: anyio.Event) -> None:
    """Wait until one of the events is set."""

    async def wait(event: anyio.Event) -> None:
        await event.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for each in events:
            tasks.start_soon(wait, each)
