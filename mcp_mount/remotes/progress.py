"""The progress of a call of another server, shown to whoever made the call."""

import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from fastmcp.server.context import Context
from mcp.shared.dispatcher import ProgressFnT

from mcp_mount.remotes.outgoing import current_request
from mcp_mount.remotes.text import clean_json

logger = logging.getLogger("mcp_mount.remotes")

_MAX_WAITING: Final = 1_000
"""Notifications that wait for a slow client; more are dropped, and stay in the result."""

Step = tuple[float, float | None, str | None]


@asynccontextmanager
async def forward_progress(
    context: Context | None, max_bytes: int, seconds: float
) -> AsyncIterator[ProgressFnT | None]:
    """Yield what takes the progress of a call; None if the caller has not asked for it.

    It is shown from the caller's own task. Whoever reports it never waits: other callers' answers
    may come through the same session.

    Args:
        context: The call's FastMCP context.
        max_bytes: Of all messages together; what comes after them is dropped.
        seconds: How long the caller can take for what is left when the call is over, or has failed.
    """
    request = context.request_context if context is not None else None
    if context is None or request is None or (request.meta or {}).get("progressToken") is None:
        yield None
        return
    sending, receiving = anyio.create_memory_object_stream[Step](_MAX_WAITING)
    last, left = -math.inf, max_bytes

    async def report(progress: float, total: float | None, message: str | None) -> None:
        nonlocal last, left
        if not math.isfinite(progress) or left < 0:
            return
        if progress <= last:
            # It has to grow, whatever the other server counts (MCP "Progress").
            progress, total = max(last + 1, math.nextafter(last, math.inf)), None
            if not math.isfinite(progress):
                return
        if total is not None and not math.isfinite(total):
            total = None
        last, left = progress, left - len(message or "") - 1
        try:
            sending.send_nowait((progress, total, clean_json(message)))
        except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            logger.debug("A progress notification is dropped: the client is slow, or has gone")

    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_show, receiving, context)
        with sending:
            try:
                yield report
            except Exception as error:  # noqa: BLE001 - it is raised below
                # In the group's own error nobody would find it.
                failure = error
        # A client that reads no more would keep the slot of the call.
        tasks.cancel_scope.deadline = anyio.current_time() + seconds
    if failure is not None:
        raise failure


def extending(report: ProgressFnT | None) -> ProgressFnT | None:
    """Have what takes the progress of the current request also give the server more time."""
    request = current_request()
    if report is None or request is None:
        return report

    async def extend(progress: float, total: float | None, message: str | None) -> None:
        request.extend()
        await report(progress, total, message)

    return extend


async def _show(receiving: MemoryObjectReceiveStream[Step], context: Context) -> None:
    with receiving:
        async for progress, total, message in receiving:
            await context.report_progress(progress, total, message)
