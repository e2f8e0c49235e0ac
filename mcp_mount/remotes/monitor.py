"""Stays in touch with another server, and sends it what others ask of it.

* While the app runs, one task for each server asks it what it offers, again and again: every few
  seconds while it answers, and after it has failed with growing and random pauses.
* A list of ours waits for a server once, for two seconds after the start, or five for a program;
  later it takes what is known. A server that does not answer offers nothing.
* Where no lifespan is run, a request asks by itself, within the same bounds.
"""

import logging
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import anyio
import mcp_types
from anyio.abc import TaskGroup
from anyio.lowlevel import RunVar

from mcp_mount.remotes.asking import calling_on_change, pass_on_log
from mcp_mount.remotes.contact import Contact
from mcp_mount.remotes.exchange import Connection, exchange
from mcp_mount.remotes.failures import Ended, find_causes
from mcp_mount.remotes.hearing import hear_changes, tells_of
from mcp_mount.remotes.http import HTTPConnection
from mcp_mount.remotes.life import Key, Life
from mcp_mount.remotes.listing import list_everything
from mcp_mount.remotes.offer import Offer
from mcp_mount.remotes.outgoing import OutgoingRequest, sending
from mcp_mount.remotes.program import StdioConnection
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.session import Answer, Session
from mcp_mount.remotes.standing import Standing

logger = logging.getLogger("mcp_mount.remotes")

_MIN_INTERVAL: Final = 1.0
"""Seconds between two questions, however many calls fail."""


class Monitor:
    """What is known of one server.

    Attributes:
        remote: Which server.
        offer: What it offers.
        standing: Whether it answers.
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
        self.offer = Offer(remote, gateway)
        self.standing = Standing(remote.name, self.offer, changed)
        self._changed = changed
        kind = HTTPConnection if remote.url is not None else StdioConnection
        self._connection: Connection = kind(remote, max_bytes, max_blocks)
        self._known: mcp_types.DiscoverResult | None = None
        self._tells = False
        self._contact: RunVar[Contact | None] = RunVar(remote.name, None)
        self._loops = 0
        # What a server says by itself, or to whoever calls it.
        self._callbacks: dict[str, Any] = {
            "logging_callback": partial(pass_on_log, remote.name),
            "message_handler": calling_on_change(self.suspect),
        }

    @property
    def is_up(self) -> bool:
        """Whether the server answers, and what it offers is listed."""
        return self.standing.status == "up"

    @property
    def is_watched(self) -> bool:
        """Whether a task of this event loop notices what the server offers."""
        return self._contact.get() is not None

    async def run(self) -> None:
        """Stay in touch with the server until this is cancelled."""
        contact = Contact(anyio.current_time() + self._connection.patience)
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
                await contact.pause(self.standing.due - time.monotonic())
        finally:
            self._contact.reset(token)
            self._loops -= 1
            if not self._loops:
                self.offer.forget()
                self.standing.forget()

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
                pause = self.standing.due - time.monotonic()
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
        elif time.monotonic() >= self.standing.due:
            # Nobody else does; the next request that comes meanwhile takes what was known.
            self.standing.due = time.monotonic() + self._connection.patience
            try:
                with anyio.fail_after(self._connection.patience):
                    await self._ask()
            except Exception as error:  # noqa: BLE001 - whatever a client raises, it is down
                self._fail(error)
            else:
                self.standing.due = time.monotonic() + self.remote.refresh

    def suspect(self) -> None:
        """Have the server asked again soon: a call of it has failed."""
        self.standing.suspect()
        contact = self._contact.get()
        if contact is not None:
            contact.woken.set()

    async def exchange(
        self,
        request: OutgoingRequest,
        send: Callable[[Session], Awaitable[Answer]],
        callers: Callable[[], Key],
        **callbacks: Any,
    ) -> Answer:
        """Send a request in the session that is kept for its caller, or one of its own.

        Raises:
            Exception: as `exchange` does.
        """
        callbacks = self._callbacks | callbacks
        contact = self._contact.get()
        pool = contact.pool if contact is not None else None
        is_handshake = self.is_up and self._known is None
        is_alone = is_handshake and self.remote.session == "call"
        if pool is None and contact is not None and isinstance(self._connection, StdioConnection):
            # It ends, or is down. What still runs may be another caller's.
            raise Ended
        if not self.is_up or pool is None or is_alone:
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
        is_new = await self.offer.read(lists)
        if is_new and self.is_up:
            self.offer.tell_of_change()
            self._changed()
        self.standing.succeed()

    def _fail(self, error: Exception) -> None:
        self.standing.fail(error, self._connection.refused)
