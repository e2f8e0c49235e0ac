"""How calls are passed on to another server, and what is told when they fail.

The other server's own errors are passed on, bounded; what goes wrong between us stays in the log.
"""

import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from fastmcp.exceptions import FastMCPError, NotFoundError
from fastmcp.server.auth import AuthContext
from fastmcp.server.context import Context
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from mcp_mount.access.auth import tool_check
from mcp_mount.errors import Busy
from mcp_mount.remotes.plain import plain
from mcp_mount.remotes.reasons import alone
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.watch import Watch
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.tool import check_rate

logger = logging.getLogger("mcp_mount.remotes")

_LONGEST_ERROR: Final = 2_000
_MOST_WAITING: Final = 1_000
"""Pieces of progress that wait for a slow client; more are dropped, and stay in the result."""

_THEIRS: Final = frozenset({-32602, -32002})
"""Invalid parameters, and a resource that is not there: our client says neither by itself."""

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
    terms: CallPolicy
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
        if isinstance(error, ValidationError):
            return f"The server {name!r} has answered with something that is not valid MCP."
        return f"The server {name!r} cannot be reached now. Try again in a few seconds."

    async def guarded(
        self, reader: Callable[[], Awaitable[Answer]], failure: type[FastMCPError]
    ) -> Answer:
        """Return what is read, or raise `failure` with what a client may know."""
        try:
            await check_rate(self.terms.rate)
            async with self.terms.slots.taken():
                with anyio.fail_after(self.terms.limits.timeout):
                    return await reader()
        except (failure, NotFoundError):
            raise
        except Busy as refused:
            raise failure(str(refused), log_level=logging.DEBUG) from None
        except TimeoutError:
            raise failure(self.late(), log_level=logging.DEBUG) from None
        except Exception as error:  # noqa: BLE001 - whatever a client raises for a lost server
            # A line is in the log; FastMCP's would have a traceback.
            raise failure(self.failed(alone(error)), log_level=logging.DEBUG) from None


def own_meta(meta: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what a result says beside its content, without what speaks for the server."""
    kept = {
        key: value
        for key, value in (meta or {}).items()
        if not key.startswith(("io.modelcontextprotocol/", "mcp-mount/"))
    }
    return kept or None


def _is_its_own(code: int) -> bool:
    """Whether an error's text is the server's, and not the words of our client for a failure."""
    return code in _THEIRS or code not in _RESERVED_CODES


@asynccontextmanager
async def progress_to(
    context: Context | None, most_bytes: int, seconds: float
) -> AsyncIterator[ProgressFnT | None]:
    """Yield what takes the progress of a call, and shows it to the caller, if it wants any.

    It is shown from the caller's own task. Whoever takes it never waits: other callers' answers may
    come through the same session.

    Args:
        context: The call's FastMCP context.
        most_bytes: Of all messages together; what comes after them is dropped.
        seconds: How long the caller can take for what is left when the call is over.
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
            progress, total = max(last + 1, math.nextafter(last, math.inf)), None
        if total is not None and not math.isfinite(total):
            total = None
        last, left = progress, left - len(message or "") - 1
        try:
            sending.send_nowait((progress, total, message))
        except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            logger.debug("A piece of progress is dropped: the client is slow, or has its answer")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_show, receiving, context)
        with sending:
            yield take
        # A client that reads no more would keep the place of the call.
        tasks.cancel_scope.deadline = anyio.current_time() + seconds


async def _show(receiving: MemoryObjectReceiveStream[Step], context: Context) -> None:
    with receiving:
        async for progress, total, message in receiving:
            await context.report_progress(progress, total, message)
