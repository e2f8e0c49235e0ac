"""Calls of tools of one's own: counted, bounded and logged as those of operations.

The deadline counts from when the call has its slot. What runs in a thread then goes on, and keeps
the slot until it ends.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from fastmcp.exceptions import FastMCPError, ValidationError
from fastmcp.server.context import Context
from fastmcp.tools import Tool, ToolResult
from fastmcp.tools.tool_transform import TransformedTool

from mcp_mount.backends.request import request_context
from mcp_mount.conversion.content import error
from mcp_mount.errors import InvalidArguments
from mcp_mount.limits import Release
from mcp_mount.remotes.sizes import is_larger
from mcp_mount.shutdown import shutdown
from mcp_mount.tools.access_log import CallOutcome
from mcp_mount.tools.account import account_for
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.context import to_tool_result
from mcp_mount.tools.limited import LimitedTool
from mcp_mount.tools.metrics import CallMetrics

_SHUT_DOWN = "before the server was shut down. What the call was to do may or may not be done."

Run = Callable[[], Awaitable[Any]]
"""An extension may answer with something else than a result, a task for example."""


def is_own(tool: Tool) -> bool:
    """Whether users have added a tool; one of ours that they have changed is none."""
    while isinstance(tool, TransformedTool):
        tool = tool.parent_tool
    return not isinstance(tool, LimitedTool)


class OwnCalls:
    """Makes the calls of a mount's own tools."""

    def __init__(self, policy: CallPolicy) -> None:
        self._policy = policy

    async def make(self, tool: Tool, misfit: str | None, run: Run, context: Context | None) -> Any:
        """Make a call, and return its result; `misfit` is what is wrong with its arguments."""

        async def call(metrics: CallMetrics) -> Any:
            if misfit is not None:
                raise InvalidArguments(misfit)
            return await self._run(tool, run, metrics)

        called = "own tool" if is_own(tool) else "changed tool"
        return await account_for(tool.name, called, context, call, _outcome_of)

    async def _run(self, tool: Tool, run: Run, metrics: CallMetrics) -> Any:
        policy, ctx = self._policy, request_context.get()
        request = ctx.request if ctx is not None else None
        if policy.rate is not None and request is not None:
            await policy.rate.count(request)
        release = policy.slots.take_nowait()
        if release is None:
            with metrics.waiting():
                release = await policy.slots.take(request)
        # A task of its own, because a thread cannot be ended, and nobody has to wait for it. The
        # scope ends it, because only then its end is the thread's too.
        scope = anyio.CancelScope()
        task = asyncio.get_running_loop().create_task(_call(run, scope))
        task.add_done_callback(partial(_give_back, release))
        seconds = _timeout_of(tool) or policy.limits.timeout
        try:
            ended = await _wait(task, seconds)
        finally:
            if not task.done():
                scope.cancel()
                if ctx is not None:
                    ctx.tasks.append(task)
        if ended is not None:
            return to_tool_result(error(f"The tool gave no answer {ended}"))
        result = task.result()
        most = policy.limits.max_bytes
        if isinstance(result, ToolResult) and await is_larger(result, most):
            return to_tool_result(error(f"The result is larger than {most} bytes (max_bytes)."))
        return result


def _outcome_of(raised: Exception) -> CallOutcome:
    if isinstance(raised, ValidationError):
        return "refused"
    return "error" if isinstance(raised, FastMCPError) else "failed"


async def _call(run: Run, scope: anyio.CancelScope) -> Any:
    with scope:
        return await run()


async def _wait(task: asyncio.Task[object], seconds: float) -> str | None:
    """Wait for a call to end; return before what it would have had to, where it does not."""
    endings, deadline = shutdown.get().endings, anyio.current_time() + seconds
    with anyio.CancelScope(deadline=deadline) as scope:
        endings.add(scope.cancel)
        try:
            await asyncio.wait({task})
        finally:
            endings.discard(scope.cancel)
    if task.done():
        return None
    if anyio.current_time() < deadline:
        return _SHUT_DOWN
    return f"within {seconds:g} seconds. The call was ended."


def _give_back(release: Release, task: asyncio.Task[Any]) -> None:
    release()
    if not task.cancelled():
        # What it raises when nobody waits any more is nobody's.
        task.exception()


def _timeout_of(tool: Tool) -> float | None:
    """Return the deadline that FastMCP was given for a tool, or for the one that was changed."""
    while tool.timeout is None and isinstance(tool, TransformedTool):
        tool = tool.parent_tool
    return tool.timeout
