"""How calls are passed on to another server, and what is told when they fail.

The other server's own errors are passed on, bounded; what goes wrong between us stays in the log.
"""

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from fastmcp.exceptions import FastMCPError, NotFoundError
from fastmcp.server.auth import AuthContext
from fastmcp.server.context import Context
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError

from mcp_mount.auth import tool_check
from mcp_mount.errors import Busy
from mcp_mount.foreign import plain
from mcp_mount.reasons import alone
from mcp_mount.remote import Remote
from mcp_mount.tools import Terms, counted, current_context
from mcp_mount.watch import Watch

logger = logging.getLogger("mcp_mount.remotes")

_LONGEST_ERROR: Final = 2_000
_MOST_WAITING: Final = 1_000
"""Pieces of progress that wait for a slow client; more are dropped, and stay in the result."""

_INVALID_PARAMS: Final = -32602
_RESERVED_CODES: Final = range(-32768, -31999)

Answer = TypeVar("Answer")
Step = tuple[float, float | None, str | None]


@dataclass(frozen=True, slots=True)
class Relay:
    """How calls of one server are made.

    Attributes:
        watch: What is known of the server.
        terms: What its calls are subject to.
        gateway: Which gateway this is, for those that come after it.
    """

    watch: Watch
    terms: Terms
    gateway: str

    @property
    def remote(self) -> Remote:
        """Which server."""
        return self.watch.remote

    @property
    def scopes(self) -> tuple[frozenset[str], ...]:
        """The alternatives of scopes that a caller needs; see `ScopeGate`."""
        return (frozenset(self.remote.scopes),) if self.remote.scopes else ()

    @property
    def check(self) -> Callable[[AuthContext], bool] | None:
        """FastMCP's kind of check for what the server offers."""
        return tool_check(self.scopes) if self.scopes else None

    def late(self) -> str:
        """Say that the server takes too long, and have it looked after."""
        self.watch.suspect()
        seconds = self.terms.limits.timeout
        return f"The server {self.remote.name!r} has not answered within {seconds:g} seconds."

    def failed(self, error: BaseException | None) -> str:
        """Say why a call has failed, in the server's own words only where they are meant for it."""
        self.watch.suspect()
        if isinstance(error, MCPError) and _is_its_own(error.code):
            return plain(error.message, _LONGEST_ERROR) or "The call is refused."
        name = self.remote.name
        logger.warning("A call of the remote %r has failed: %s", name, type(error).__name__)
        logger.debug("What a call of the remote %r has raised", name, exc_info=error)
        return f"The server {name!r} cannot be reached now. Try again in a few seconds."

    async def guarded(
        self, reading: Callable[[], Awaitable[Answer]], failure: type[FastMCPError]
    ) -> Answer:
        """Return what is read, or raise `failure` with what a client may know."""
        try:
            await counted(self.terms.rate, current_context())
            async with self.terms.slots.taken():
                with anyio.fail_after(self.terms.limits.timeout):
                    return await reading()
        except (failure, NotFoundError):
            raise
        except Busy as refused:
            raise failure(str(refused)) from None
        except TimeoutError:
            raise failure(self.late()) from None
        except Exception as error:  # noqa: BLE001 - whatever a client raises for a lost server
            raise failure(self.failed(alone(error))) from None


def _is_its_own(code: int) -> bool:
    """Whether an error's text is the server's, and not the words of our client for a failure."""
    return code == _INVALID_PARAMS or code not in _RESERVED_CODES


@asynccontextmanager
async def progress_to(
    context: Context | None, most_bytes: int
) -> AsyncIterator[ProgressFnT | None]:
    """Yield what takes the progress of a call, and shows it to the caller, if it wants any.

    It is shown from the caller's own task. Whoever takes it never waits: other callers' answers may
    come through the same session.
    """
    request = context.request_context if context is not None else None
    if context is None or request is None or (request.meta or {}).get("progressToken") is None:
        yield None
        return
    sending, receiving = anyio.create_memory_object_stream[Step](_MOST_WAITING)
    last, left = -math.inf, most_bytes

    async def take(progress: float, total: float | None, message: str | None) -> None:
        nonlocal last, left
        if not math.isfinite(progress) or left < 0:
            return
        if progress <= last:
            # It has to grow, whatever the other server counts (MCP "Progress").
            progress, total = last + 1, None
        last, left = progress, left - len(message or "") - 1
        try:
            sending.send_nowait((progress, total, message))
        except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            logger.debug("A piece of progress is dropped: the client is slow, or has its answer")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_show, receiving, context)
        with sending:
            yield take


async def _show(receiving: MemoryObjectReceiveStream[Step], context: Context) -> None:
    with receiving:
        async for progress, total, message in receiving:
            await context.report_progress(progress, total, message)
