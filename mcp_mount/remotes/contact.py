"""What requests need to know of the task that stays in touch with a server, and share with it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from mcp_mount.remotes.exchange import Connection
from mcp_mount.remotes.life import Life, wait_for_any
from mcp_mount.remotes.pool import SessionPool
from mcp_mount.remotes.session import Session
from mcp_mount.remotes.standing import MIN_PAUSE


@dataclass(slots=True)
class Contact:
    """The state of the task that asks a server.

    Attributes:
        patience: Until when a list waits for the first answer, in the event loop's time.
        answered: Set when the server has answered, or failed, for the first time.
        woken: Set to have it asked at once.
        pool: The sessions that are kept; None while none can be.
        hearing: Whether the server tells of changes by itself; None: it has no stream for that.
    """

    patience: float
    answered: anyio.Event = field(default_factory=anyio.Event)
    woken: anyio.Event = field(default_factory=anyio.Event)
    pool: SessionPool | None = None
    hearing: bool | None = False

    async def pause(self, seconds: float, life: Life | None = None) -> None:
        """Wait, but no longer than until it is woken, or a life ends.

        It may have been woken before.
        """
        if self.pool is not None:
            self.pool.expire()
        with anyio.move_on_after(max(seconds, MIN_PAUSE / 4)):
            await wait_for_any(self.woken, *(life.endings if life is not None else ()))
        # Not before: what wakes it while a question is under way would be lost.
        self.woken = anyio.Event()

    @asynccontextmanager
    async def keep_sessions(
        self, connection: Connection, connect: Callable[[Session], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """Let calls keep sessions while this lasts."""
        async with anyio.create_task_group() as tasks:
            self.pool = SessionPool(connection, connect, tasks)
            try:
                yield
            finally:
                self.pool.close()
                self.pool = None
