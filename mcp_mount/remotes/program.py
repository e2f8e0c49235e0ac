"""The way to a program that speaks MCP on its standard input and output."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from anyio.lowlevel import RunVar

from mcp_mount.remotes.bounds import Allowance
from mcp_mount.remotes.life import Key, Life
from mcp_mount.remotes.process import run_program
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.sdk_log import talking_to
from mcp_mount.remotes.session import Session

_MAX_LOG_LINES: Final = 1_000
"""Lines of a program's standard error that go to the log at once, and each hour."""


class StdioConnection:
    """The way to a program: one session for all exchanges of an event loop.

    `patience` is longer than for a URL: it starts first. `refused` is None: a program answers
    without an HTTP status.
    """

    patience = 5.0
    refused: int | None = None

    def __init__(self, remote: Remote, max_bytes: int, max_blocks: int) -> None:
        self._remote = remote
        self._max_bytes = max_bytes
        self._max_blocks = max_blocks
        self._lines = Allowance(_MAX_LOG_LINES)
        self._life: RunVar[Life | None] = RunVar(remote.name, None)
        self._has: frozenset[str] = frozenset()
        self._is_lent = True

    @asynccontextmanager
    async def keep(self, **callbacks: Any) -> AsyncIterator[Life]:
        """Run the program while this lasts; yield its life.

        Raises:
            OSError: it cannot be started.
        """
        self._has = frozenset(callbacks)
        async with self._run(**callbacks) as (session, ended):
            life = Life(session=session, ended=ended)
            token = self._life.set(life)
            try:
                yield life
            except Exception:
                # Whose calls end it, or hang it, does so to everyone: they get one of their own.
                self._is_lent = self._is_lent and not life.owner
                raise
            finally:
                self._life.reset(token)

    @asynccontextmanager
    async def open_session(self, owner: Key = (), **callbacks: Any) -> AsyncIterator[Session]:
        """Yield the session of the running program; if none runs, that of one of its own.

        Args:
            owner: For whom alone the program is to run; the one that runs belongs to the first of
                them, unless one has died with its caller. Nothing: for everyone.
            callbacks: For the session of a program that is started.
        """
        life = self._life.get()
        if life is not None and life.session is not None and self._lends(life, owner, callbacks):
            yield life.session
            return
        async with self._run(**callbacks) as (session, _):
            yield session

    def _lends(self, life: Life, owner: Key, callbacks: Collection[str]) -> bool:
        """Whether somebody has the program that runs, which is theirs from then on."""
        is_free = self._is_lent and life.owner in {(), owner} and self._has.issuperset(callbacks)
        if owner and is_free:
            life.owner = owner
        return is_free or not owner

    @asynccontextmanager
    async def _run(self, **callbacks: Any) -> AsyncIterator[tuple[Session, anyio.Event]]:
        with talking_to(self._remote.name):
            async with (
                run_program(self._remote, self._max_bytes, self._lines) as (read, write, ended),
                Session(read, write, max_blocks=self._max_blocks, **callbacks) as session,
            ):
                yield session, ended
