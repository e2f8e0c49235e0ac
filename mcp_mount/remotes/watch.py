"""Whether another server answers, and what it offers.

* While the app runs, one task for each server asks it what it offers, again and again: soon after
  it has failed, with growing and random pauses, and every few seconds while it answers.
* A list of ours waits for a server once, for two seconds after the start, or five for a program;
  later it takes what is known. A server that does not answer offers nothing.
* Where no lifespan is run, a request asks by itself, within the same bounds.
"""

import logging
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import anyio
import mcp_types
from anyio import to_thread
from anyio.lowlevel import EventLoopToken, current_token
from fastmcp.server.providers.proxy import ProxyClient
from mcp_types.version import LATEST_MODERN_VERSION

from mcp_mount.remotes.connection import (
    OURSELVES,
    HttpTransport,
    Session,
    StdioTransport,
    Unreachable,
)
from mcp_mount.remotes.exchange import exchange
from mcp_mount.remotes.foreign import read_tools
from mcp_mount.remotes.keeper import Keeper
from mcp_mount.remotes.listing import NOTHING, Contents, Listed, listed
from mcp_mount.remotes.reasons import category, causes
from mcp_mount.remotes.remote import Remote, RemoteState, Status

logger = logging.getLogger("mcp_mount.remotes")

PATIENCE: Final = 2.0
"""Seconds that a list waits for a server that has not answered yet, and"""

START: Final = 5.0
"""those for a program, which has to start first."""

_RAREST_HURRY: Final = 1.0
"""Seconds between two questions, however many calls fail."""

_MOST_MISSES: Final = 4
"""Questions that a program can leave unanswered before it is started anew."""

_MOST_LINES: Final = 20
"""On what is left out of its lists."""

_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0


class Watch:
    """Knows of one server what can be known. A class because that changes.

    Attributes:
        remote: Which server.
        contents: What it offers now; nothing while it does not answer.
    """

    def __init__(self, remote: Remote, most_bytes: int) -> None:
        """Take the server, and how many bytes one answer of it can have."""
        self.remote = remote
        self.contents = NOTHING
        kind = HttpTransport if remote.url is not None else StdioTransport
        self._transport: HttpTransport | StdioTransport = kind(remote, most_bytes)
        self._patience = PATIENCE if remote.url is not None else START
        self._status: Status = "starting"
        self._error: str | None = None
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._failures = 0
        self._due = 0.0
        self._discovered: mcp_types.DiscoverResult | None = None
        self._keepers: dict[EventLoopToken, Keeper] = {}

    @property
    def state(self) -> RemoteState:
        """How the server is now."""
        return RemoteState(self._status, len(self.contents.tools), self._error, self._since)

    async def keep(self) -> None:
        """Stay in touch with the server until this is cancelled."""
        token = current_token()
        keeper = self._keepers[token] = Keeper(anyio.current_time() + self._patience)
        try:
            while True:
                try:
                    async with self._transport.kept() as lost:
                        await self._keep_asking(keeper, lost)
                except Exception as error:  # noqa: BLE001 - whatever a client raises, it is down
                    self._has_failed(error)
                keeper.has_answered.set()
                await keeper.pause(self._due - time.monotonic())
        finally:
            del self._keepers[token]
            if not self._keepers:
                self.contents, self._due = NOTHING, 0.0
                self._is("starting")

    async def _keep_asking(self, keeper: Keeper, lost: anyio.Event) -> None:
        misses = 0
        while True:
            begun = anyio.current_time()
            refresh = self.remote.refresh
            try:
                await self._ask()
                misses = 0
            except Exception as error:
                misses += 1
                if lost.is_set() or not self._is_borne(error, misses):
                    raise
                self._has_failed(error)
                refresh = self._due - time.monotonic()
            keeper.has_answered.set()
            await keeper.pause(refresh * random.uniform(0.8, 1.2), lost)  # noqa: S311 - no secret
            if lost.is_set():
                raise Unreachable("ended")
            # Calls that fail one after the other make no flood of questions.
            await anyio.sleep_until(begun + min(_RAREST_HURRY, self.remote.refresh))

    def _is_borne(self, error: Exception, misses: int) -> bool:
        """Whether calls that still run are left to it: it may be busy with them, or starting."""
        is_late = any(isinstance(each, TimeoutError) for each in causes(error))
        return self.remote.url is not None or (is_late and misses < _MOST_MISSES)

    async def known(self) -> None:
        """Wait until the server has been asked, for a short time at the most."""
        keeper = self._keepers.get(current_token())
        if keeper is not None:
            with anyio.move_on_at(keeper.patience):
                await keeper.has_answered.wait()
        elif time.monotonic() >= self._due:
            # Nobody else does; the next request that comes meanwhile takes what was known.
            self._due = time.monotonic() + self._patience
            try:
                with anyio.fail_after(self._patience):
                    await self._ask()
            except Exception as error:  # noqa: BLE001 - whatever a client raises, it is down
                self._has_failed(error)
            else:
                self._due = time.monotonic() + self.remote.refresh

    def suspect(self) -> None:
        """Have the server asked again soon: a call of it has failed."""
        self._due = min(self._due, time.monotonic())
        for keeper in self._keepers.values():
            keeper.hurry()

    @property
    def is_kept(self) -> bool:
        """Whether a task of this event loop stays in touch with the server."""
        return current_token() in self._keepers

    def client(self) -> ProxyClient[Any]:
        """Return a client of FastMCP's, which connects when it is entered.

        It has no handlers: what the server would ask of a caller's client or user is refused.
        """
        if self._status != "up":
            return self._client("auto", None)
        if self._discovered is None:
            return self._client("legacy", None)
        return self._client(LATEST_MODERN_VERSION, self._discovered)

    async def call(
        self, make: Callable[[Session], Awaitable[object]], **handlers: Any
    ) -> tuple[object, bool]:
        """Make a call in the version that the server speaks; see `exchange`."""
        return await exchange(self._transport, self._discovered, make, **handlers)

    def _client(self, mode: str, discovered: mcp_types.DiscoverResult | None) -> ProxyClient[Any]:
        return ProxyClient(
            self._transport,
            forward_incoming_headers=False,
            roots=None,
            sampling_handler=None,
            elicitation_handler=None,
            log_handler=_ignore,
            client_info=OURSELVES,
            mode=mode,
            prior_discover=discovered,
        )

    async def _ask(self) -> None:
        """Ask the server what it offers.

        Raises:
            Exception: whatever the client raises; the server is down.
        """
        with anyio.fail_after(self.remote.timeout):
            async with self._client("auto", None) as client:
                session = client.session
                discovered = session.discover_result
                found = await listed(session)
        await self._take(found)
        self._discovered = discovered
        if self._status == "up":
            # It has answered twice; one that dies as soon as it is up is given more and more time.
            self._failures = 0
        self._is("up")

    async def _take(self, found: Listed) -> None:
        """Offer what the server lists."""
        was, name = self.contents, self.remote.name
        if self._status == "up" and found == was.listed:
            return
        tools = was.tools
        if self._status != "up" or found.tools != was.listed.tools:
            # A thousand schemas take a while; others are served meanwhile, and the end waits for
            # none of them.
            tools = await to_thread.run_sync(read_tools, found.tools, abandon_on_cancel=True)
            if len(found.tools) > len(tools):
                count = len(tools)
                logger.warning("The remote %r lists more than the %d tools taken.", name, count)
        if found.left_out != was.listed.left_out:
            for each in found.left_out[:_MOST_LINES]:
                logger.warning("The remote %r: %s is not valid MCP, and is left out.", name, each)
        self.contents = Contents(tools, found)
        if self._status == "up":
            logger.info("The remote %r offers something else: %s", name, self.contents)

    def _has_failed(self, error: Exception) -> None:
        """Hide what the server offered, and wait longer each time before the next question."""
        pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2**self._failures)
        # At random, so that many gateways do not all come back at one moment.
        self._due = time.monotonic() + pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self._failures = min(self._failures + 1, 16)
        self.contents = NOTHING
        logger.debug("The remote %r has failed", self.remote.name, exc_info=error)
        self._is("down", category(error, self._transport.refused))

    def _is(self, status: Status, error: str | None = None) -> None:
        if (status, error) == (self._status, self._error):
            return
        if status != self._status:
            self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._status, self._error = status, error
        if status == "up":
            logger.info("The remote %r is up: %s", self.remote.name, self.contents)
        elif status == "down":
            name = self.remote.name
            logger.warning("The remote %r is down: %s. It is tried again.", name, error)


async def _ignore(message: object) -> None:
    """Take what a server would write to a client's log: nobody has asked for it."""
