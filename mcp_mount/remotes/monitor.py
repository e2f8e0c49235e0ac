"""Whether another server answers, and what it offers.

* While the app runs, one task for each server asks it what it offers, again and again: every few
  seconds while it answers, and after it has failed with growing and random pauses.
* A list of ours waits for a server once, for two seconds after the start, or five for a program;
  later it takes what is known. A server that does not answer offers nothing.
* Where no lifespan is run, a request asks by itself, within the same bounds.
"""

import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import anyio
import mcp_types
from anyio import to_thread
from anyio.abc import TaskGroup
from anyio.lowlevel import RunVar

from mcp_mount.loops import PerLoop
from mcp_mount.remotes.asking import calling_on_change, pass_on_log
from mcp_mount.remotes.bounds import Allowance
from mcp_mount.remotes.catalog import Catalog, read_catalog
from mcp_mount.remotes.contact import MIN_PAUSE, Contact
from mcp_mount.remotes.exchange import Connection, exchange
from mcp_mount.remotes.failures import Ended, describe_failure, find_causes
from mcp_mount.remotes.hearing import hear_changes, tells_of
from mcp_mount.remotes.http import HTTPConnection
from mcp_mount.remotes.life import Life
from mcp_mount.remotes.listing import Lists, list_everything
from mcp_mount.remotes.outgoing import OutgoingRequest, sending
from mcp_mount.remotes.program import StdioConnection
from mcp_mount.remotes.remote import Remote, RemoteState, Status
from mcp_mount.remotes.session import Answer, Session

logger = logging.getLogger("mcp_mount.remotes")

_reading: Final = PerLoop(lambda: anyio.CapacityLimiter(1))
"""One server's lists are read at a time, so that others have the interpreter meanwhile."""

_HTTP_PATIENCE: Final = 2.0
_PROGRAM_PATIENCE: Final = 5.0
"""Seconds that a list waits for a server that has not answered yet; a program starts first."""

_MIN_INTERVAL: Final = 1.0
"""Seconds between two questions, however many calls fail."""

_MAX_LEFT_OUT: Final = 20
"""Lines in the log on what is left out of a server's lists."""

_MAX_LINES: Final = 100
"""The same on all that it changes, at once and each hour: it may change every second."""

_MAX_FAILURES: Final = 6
"""After so many the pause grows no more: 32 seconds."""

_STEADY: Final = 60.0
"""Seconds for which a server answers before its failures are forgotten."""

_FAILURES_AFTER_SUCCESS: Final = 4
"""So many are remembered of one that has answered, and dies soon: it is back after eight seconds at
the most, and not started each time as if it were the first."""


class Monitor:
    """What is known of one server.

    Attributes:
        remote: Which server.
        catalog: What it offers, or offered when it was up.
        make: What makes components of a catalog, in a thread: thousands take a while.
        made: What it has made of this one; None before.
        status: Whether it answers.
    """

    def __init__(
        self,
        remote: Remote,
        gateway: str,
        changed: Callable[[], None],
        *,
        max_bytes: int,
        max_blocks: int,
    ) -> None:
        self.remote = remote
        self._changed = changed
        self.catalog = Catalog()
        self.make: Callable[[Catalog], Any] = lambda _: None
        self.made: Any = None
        self.status: Status = "starting"
        kind = HTTPConnection if remote.url is not None else StdioConnection
        self._connection: Connection = kind(remote, max_bytes, max_blocks)
        self._gateway = gateway
        self._patience = _HTTP_PATIENCE if remote.url is not None else _PROGRAM_PATIENCE
        self._error: str | None = None
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._failures = 0
        self._steady_at = math.inf
        self._due = 0.0
        self._known: mcp_types.DiscoverResult | None = None
        self._tells = False
        self._contact: RunVar[Contact | None] = RunVar(remote.name, None)
        self._loops = 0
        self._lines = Allowance(_MAX_LINES)
        # What a server says by itself, or to whoever calls it.
        self._callbacks: dict[str, Any] = {
            "logging_callback": partial(pass_on_log, remote.name),
            "message_handler": calling_on_change(self.suspect),
        }

    @property
    def state(self) -> RemoteState:
        """How the server is now."""
        count = len(self.catalog.tools) if self.status == "up" else 0
        return RemoteState(self.status, count, self._error, self._since)

    @property
    def is_up(self) -> bool:
        """Whether the server answers, and what it offers is listed."""
        return self.status == "up"

    @property
    def is_watched(self) -> bool:
        """Whether a task of this event loop notices what the server offers."""
        return self._contact.get() is not None

    async def run(self) -> None:
        """Stay in touch with the server until this is cancelled."""
        contact = Contact(anyio.current_time() + self._patience)
        token = self._contact.set(contact)
        self._loops += 1
        try:
            while True:
                try:
                    async with (
                        self._connection.keep(**self._callbacks) as life,
                        contact.keep_sessions(self._connection, self._connect),
                        anyio.create_task_group() as tasks,
                    ):
                        contact.hearing = False
                        await self._ask_again_and_again(contact, life, tasks)
                except Exception as error:  # noqa: BLE001 - whatever a client raises, it is down
                    self._fail(error)
                contact.answered.set()
                await contact.pause(self._due - time.monotonic())
        finally:
            self._contact.reset(token)
            self._loops -= 1
            if not self._loops:
                self.catalog, self.made, self._due = Catalog(), None, 0.0
                self._set_status("starting")

    async def _connect(self, session: Session) -> None:
        """Agree with the server on the version that it is known to speak."""
        with anyio.fail_after(self.remote.timeout):
            await session.connect(self._known, is_handshake=self._known is None)

    async def _ask_again_and_again(self, contact: Contact, life: Life, tasks: TaskGroup) -> None:
        while True:
            begun, pause = anyio.current_time(), self.remote.refresh
            try:
                await self._ask()
                life.misses = 0
                if self._tells and contact.hearing is False:
                    contact.hearing = True
                    tasks.start_soon(self._hear, contact)
            except Exception as error:
                if life.has_ended or not self._is_borne(error, life):
                    raise
                self._fail(error)
                contact.hearing = contact.hearing or False
                pause = self._due - time.monotonic()
            contact.answered.set()
            await contact.pause(pause * random.uniform(0.8, 1.2), life)  # noqa: S311 - no secret
            if life.has_ended:
                raise Ended
            # Calls that fail one after the other make no flood of questions.
            await anyio.sleep_until(begun + min(_MIN_INTERVAL, self.remote.refresh))

    async def _hear(self, contact: Contact) -> None:
        """Have the server say by itself that it offers something else, as long as it does."""
        try:
            is_told = await hear_changes(self._connection, self._connect, self.suspect)
        except Exception as error:
            logger.debug("The remote %r is not heard", self.remote.name, exc_info=error)
            is_told = True
        contact.hearing = False if is_told else None
        # It may be that it has ended.
        self.suspect()

    def _is_borne(self, error: Exception, life: Life) -> bool:
        """Whether calls that still run are left to it: it may be busy with them, or starting."""
        is_late = any(isinstance(each, TimeoutError) for each in find_causes(error))
        return self.remote.url is not None or (life.miss() and is_late)

    async def wait_until_known(self) -> None:
        """Wait until the server has been asked, for a short time at the most."""
        contact = self._contact.get()
        if contact is not None:
            with anyio.CancelScope(deadline=contact.patience):
                await contact.answered.wait()
        elif time.monotonic() >= self._due:
            # Nobody else does; the next request that comes meanwhile takes what was known.
            self._due = time.monotonic() + self._patience
            try:
                with anyio.fail_after(self._patience):
                    await self._ask()
            except Exception as error:  # noqa: BLE001 - whatever a client raises, it is down
                self._fail(error)
            else:
                self._due = time.monotonic() + self.remote.refresh

    def suspect(self) -> None:
        """Have the server asked again soon: a call of it has failed."""
        self._due = min(self._due, time.monotonic())
        contact = self._contact.get()
        if contact is not None:
            contact.woken.set()

    async def exchange(
        self,
        request: OutgoingRequest,
        send: Callable[[Session], Awaitable[Answer]],
        callers: Callable[[], tuple[tuple[str, ...], ...]],
        **callbacks: Any,
    ) -> Answer:
        """Send a request in the session that is kept for its caller, or one of its own.

        Raises:
            Exception: as `exchange` does.
        """
        callbacks = self._callbacks | callbacks
        contact = self._contact.get()
        pool = contact.pool if contact is not None else None
        is_handshake = self.status == "up" and self._known is None
        is_alone = is_handshake and self.remote.session == "call"
        if pool is None and contact is not None and isinstance(self._connection, StdioConnection):
            # It ends, or is down. What still runs may be another caller's.
            raise Ended
        if self.status != "up" or pool is None or is_alone:
            with sending(request):
                return await exchange(
                    self._connection,
                    send,
                    known=self._known,
                    is_handshake=is_handshake,
                    **callbacks,
                )
        if not is_handshake or self.remote.session == "shared":
            # In the modern era there is nothing that one caller could leave for another.
            return await pool.exchange((), request, send, **self._callbacks)
        return await pool.exchange((*callers(), tuple(callbacks)), request, send, **callbacks)

    async def _ask(self) -> None:
        """Ask the server what it offers.

        Raises:
            Exception: whatever the client raises; the server is down.
        """
        with anyio.fail_after(self.remote.timeout):
            async with self._connection.open_session() as session:
                await session.connect(None)
                self._known = session.discover_result
                self._tells = any(tells_of(session.server_capabilities))
                lists = await list_everything(session)
        was, name = self.catalog, self.remote.name
        is_new = lists != was.lists
        if is_new:
            # A thousand schemas take a while; others are served meanwhile, and the end waits for
            # none of them.
            self.catalog, self.made = await to_thread.run_sync(
                self._read, lists, abandon_on_cancel=True, limiter=_reading.get()
            )
        for line in self.catalog.left_out[:_MAX_LEFT_OUT] if is_new else ():
            if line not in was.left_out:
                self._tell(logging.WARNING, "The remote %r: %s.", name, line)
        if is_new and self.status == "up":
            self._tell(logging.INFO, "The remote %r offers something else: %s", name, self.catalog)
            self._changed()
        if self.status != "up":
            self._steady_at = time.monotonic() + _STEADY
            self._failures = min(self._failures, _FAILURES_AFTER_SUCCESS)
        elif time.monotonic() >= self._steady_at:
            self._failures = 0
        self._set_status("up")

    def _read(self, lists: Lists) -> tuple[Catalog, Any]:
        catalog = read_catalog(lists, self.remote, self._gateway)
        return catalog, self.make(catalog)

    def _tell(self, level: int, line: str, *said: object) -> None:
        """Write a line on what the server offers to the log, if it has not had too many."""
        if not self._lines.is_spent():
            self._lines.take()
            logger.log(level, line, *said)
        elif self._lines.is_news():
            name = self.remote.name
            logger.warning("The remote %r: (it changes a lot; the rest is not told)", name)

    def _fail(self, error: Exception) -> None:
        """Hide what the server offers, and wait longer each time before the next question."""
        # At random, so that many gateways do not all come back at one moment.
        pause = MIN_PAUSE * 2**self._failures * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self._due = time.monotonic() + pause
        self._failures = min(self._failures + 1, _MAX_FAILURES)
        logger.debug("The remote %r has failed", self.remote.name, exc_info=error)
        self._set_status("down", describe_failure(error, self._connection.refused))

    def _set_status(self, status: Status, error: str | None = None) -> None:
        if (status, error) == (self.status, self._error):
            return
        if status != self.status:
            self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self.status, self._error = status, error
        name = self.remote.name
        if status == "up":
            logger.info("The remote %r is up: %s", name, self.catalog)
        elif status == "down":
            logger.warning("The remote %r is down: %s. It is tried again.", name, error)
        self._changed()
