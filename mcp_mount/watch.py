"""Whether another server answers, and what it offers.

* While the app runs, one task for each server asks it what it offers, again and again: soon after
  it has failed, with growing and random pauses, and every quarter of a minute while it answers.
* A list of ours waits for a server once, for two seconds after the start, or five for a program;
  later it takes what is known. A server that does not answer offers nothing.
* Where no lifespan is run, a request asks by itself, within the same bounds.
"""

import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import anyio
import anyio.lowlevel
import httpx2
import mcp_types
from anyio import to_thread
from anyio.lowlevel import EventLoopToken, current_token
from fastmcp.server.providers.proxy import ProxyClient
from mcp.shared.exceptions import MCPError
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import ValidationError

from mcp_mount.connection import (
    OURSELVES,
    HttpTransport,
    Session,
    StdioTransport,
    TooLarge,
    Unreachable,
)
from mcp_mount.foreign import MOST_TOOLS, ForeignTool, read_tools
from mcp_mount.remote import Remote, RemoteState, Status

logger = logging.getLogger("mcp_mount.remotes")

PATIENCE: Final = 2.0
"""Seconds that a list waits for a server that has not answered yet, and"""

START: Final = 5.0
"""those for a program, which has to start first."""

_REFRESH: Final = 15.0
"""Seconds between two questions to a server that answers."""

_RAREST_HURRY: Final = 1.0
"""Seconds between two questions, however many calls fail."""

_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_FAREWELL: Final = 1.0
"""Seconds in which a server can be told that a call is not waited for any more."""

_MOST_PAGES: Final = 100


@dataclass(frozen=True, slots=True)
class Contents:
    """What a server offers: tools by its own names, and the rest as it said them."""

    tools: Mapping[str, ForeignTool] = field(default_factory=dict)
    resources: tuple[mcp_types.Resource, ...] = ()
    templates: tuple[mcp_types.ResourceTemplate, ...] = ()
    prompts: tuple[mcp_types.Prompt, ...] = ()

    def __str__(self) -> str:
        """Count it, e.g. ``"3 tools, 1 resources, 0 prompts"``."""
        resources = len(self.resources) + len(self.templates)
        return f"{len(self.tools)} tools, {resources} resources, {len(self.prompts)} prompts"


NOTHING: Final = Contents()


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
        self._listed: list[mcp_types.Tool] = []
        self._discovered: mcp_types.DiscoverResult | None = None
        self._keepers: dict[EventLoopToken, _Keeper] = {}

    @property
    def state(self) -> RemoteState:
        """How the server is now."""
        return RemoteState(self._status, len(self.contents.tools), self._error, self._since)

    async def keep(self) -> None:
        """Stay in touch with the server until this is cancelled."""
        token = current_token()
        keeper = self._keepers[token] = _Keeper(anyio.current_time() + self._patience)
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
                self.contents, self._listed, self._due = NOTHING, [], 0.0
                self._is("starting")

    async def _keep_asking(self, keeper: "_Keeper", lost: anyio.Event) -> None:
        while True:
            begun = anyio.current_time()
            await self._ask()
            keeper.has_answered.set()
            await keeper.pause(_REFRESH * random.uniform(0.8, 1.2), lost)  # noqa: S311 - no secret
            if lost.is_set():
                raise Unreachable("ended")
            # Calls that fail one after the other make no flood of questions.
            await anyio.sleep(begun + _RAREST_HURRY - anyio.current_time())

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
                self._due = time.monotonic() + _REFRESH

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
        """Make a call; return its result, or what it has raised, and whether it was cut off.

        When this is cancelled, the call is, and its session lasts long enough to tell the server.

        Args:
            make: Makes the call in a session that is ready for it.
            handlers: For the session, of what the server asks.

        Raises:
            Exception: whatever the client raises where there is no session.
        """
        made = _Made()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancelled_too, made.scope)
            with anyio.CancelScope(shield=True) as shield:
                try:
                    async with self._transport.connect_session(
                        client_info=OURSELVES, **handlers
                    ) as session:
                        await self._make(session, make, made)
                        shield.deadline = anyio.current_time() + _FAREWELL
                        await self._say_so(session, made)
                except Exception:
                    # When it has answered, only the good-bye has failed.
                    if made.answer is None:
                        raise
            tasks.cancel_scope.cancel()
        await anyio.lowlevel.checkpoint_if_cancelled()
        return made.answer, made.is_full

    async def _make(
        self, session: Session, make: Callable[[Session], Awaitable[object]], made: "_Made"
    ) -> None:
        with made.scope:
            try:
                if session.protocol_version is None:
                    if self._discovered is not None:
                        session.adopt(self._discovered)
                    else:
                        await session.initialize()
                made.answer = await make(session)
            except Exception as error:  # noqa: BLE001 - it is told of where the call was made
                made.answer = error
        made.is_full = session.is_full

    async def _say_so(self, session: Session, made: "_Made") -> None:
        """See to it that the server knows of a call that was cancelled.

        In the handshake versions the end of a connection cancels nothing, and what does has been
        sent when the next message is.
        """
        is_handshake = self._discovered is None and self.remote.url is not None
        if made.scope.cancelled_caught and is_handshake:
            with suppress(MCPError):
                await session.send_ping()

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
                listed = await _pages(session.list_tools, "tools")
                rest = (
                    tuple(await _pages(session.list_resources, "resources")),
                    tuple(await _pages(session.list_resource_templates, "resource_templates")),
                    tuple(await _pages(session.list_prompts, "prompts")),
                )
        tools = self.contents.tools
        if self._status != "up" or listed != self._listed:
            # A thousand schemas take a while; others are served meanwhile.
            tools = await to_thread.run_sync(read_tools, listed)
            if len(listed) > len(tools):
                name, left_out = self.remote.name, len(listed) - len(tools)
                logger.warning("The remote %r: %d of its tools are left out.", name, left_out)
        contents = Contents(tools, *rest)
        if contents != self.contents:
            self.contents = contents
            if self._status == "up":
                logger.info("The remote %r offers something else: %s.", self.remote.name, contents)
        self._listed, self._discovered, self._failures = listed, discovered, 0
        self._is("up")

    def _has_failed(self, error: Exception) -> None:
        """Hide what the server offered, and wait longer each time before the next question."""
        pause = min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2**self._failures)
        # At random, so that many gateways do not all come back at one moment.
        self._due = time.monotonic() + pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self._failures = min(self._failures + 1, 16)
        self.contents, self._listed = NOTHING, []
        logger.debug("The remote %r has failed", self.remote.name, exc_info=error)
        self._is("down", category(error, self._transport.refused))

    def _is(self, status: Status, error: str | None = None) -> None:
        if (status, error) == (self._status, self._error):
            return
        if status != self._status:
            self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._status, self._error = status, error
        if status == "up":
            logger.info("The remote %r is up: %s.", self.remote.name, self.contents)
        elif status == "down":
            name = self.remote.name
            logger.warning("The remote %r is down: %s. It is tried again.", name, error)


@dataclass(slots=True)
class _Made:
    """What came of a call, and the scope in which it runs."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    answer: object = None
    is_full: bool = False


@dataclass(slots=True)
class _Keeper:
    """What one event loop knows of its task. A class because others wake the task."""

    patience: float
    has_answered: anyio.Event = field(default_factory=anyio.Event)
    woken: anyio.Event = field(default_factory=anyio.Event)

    def hurry(self) -> None:
        self.woken.set()

    async def pause(self, seconds: float, lost: anyio.Event | None = None) -> None:
        """Wait, at the least for a moment; less long when woken, or when the server is lost."""
        self.woken = anyio.Event()
        with anyio.move_on_after(max(seconds, _SHORTEST_PAUSE / 2)):
            async with anyio.create_task_group() as tasks:
                for event in (self.woken, *((lost,) if lost is not None else ())):
                    tasks.start_soon(_cancel_after, event, tasks.cancel_scope)


async def _cancelled_too(scope: anyio.CancelScope) -> None:
    """Cancel a scope that is shielded from the one around it when that is."""
    try:
        await anyio.sleep_forever()
    finally:
        scope.cancel()


async def _cancel_after(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _ignore(message: object) -> None:
    """Take what a server would write to a client's log: nobody has asked for it."""


async def _pages(page: Callable[..., Awaitable[Any]], kind: str) -> list[Any]:
    """Return all of a list, up to a bound; nothing where the server has no such list."""
    items: list[Any] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        try:
            result = await page(params=mcp_types.PaginatedRequestParams(cursor=cursor))
        except MCPError as error:
            if error.code == mcp_types.METHOD_NOT_FOUND and not items:
                return []
            raise
        items += getattr(result, kind)
        cursor = result.next_cursor
        if cursor is None or len(items) > MOST_TOOLS:
            break
    return items[: MOST_TOOLS + 1]


def category(error: BaseException, refused: int | None) -> str:
    """Say in a word or two why a server is down; never in its own words, nor in an exception's.

    Args:
        error: What was raised.
        refused: The HTTP status with which the server has refused its last request.
    """
    kinds = [*causes(error)]
    for kind, words in _CATEGORIES:
        if any(isinstance(each, kind) for each in kinds):
            return words
    if refused in {401, 403}:
        return "not authorized"
    if refused is not None:
        return f"HTTP {refused}"
    closed = any(isinstance(e, MCPError) and e.code == mcp_types.CONNECTION_CLOSED for e in kinds)
    return "ended" if closed else "no MCP server"


_CATEGORIES: Final = (
    (TooLarge, "too large"),
    ((FileNotFoundError, PermissionError, NotADirectoryError), "cannot be started"),
    ((httpx2.ConnectError, ConnectionError), "unreachable"),
    ((TimeoutError, httpx2.TimeoutException), "timeout"),
    (Unreachable, "ended"),
    (ValidationError, "invalid answer"),
)


def causes(error: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    """Yield an error, what it groups, and what it came of."""
    if error is None or depth > 10:
        return
    yield error
    for each in getattr(error, "exceptions", ()):
        yield from causes(each, depth + 1)
    yield from causes(error.__cause__ or error.__context__, depth + 1)
