"""Calls of tools of one's own: counted, bounded and logged as those of operations.

So are prompts and resources of one's own, but for how large they are.

The deadline counts from when the call has its slot. What runs in a thread then goes on, and keeps
the slot until it ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import anyio
import mcp_types
from fastmcp import FastMCP
from fastmcp.exceptions import (
    FastMCPError,
    PromptError,
    ResourceError,
    ToolError,
    ValidationError,
)
from fastmcp.resources import Resource, ResourceTemplate
from fastmcp.server.context import Context
from fastmcp.server.dependencies import extract_version_spec
from fastmcp.server.providers.addressing import parse_hashed_backend_name
from fastmcp.tools import Tool, ToolResult
from fastmcp.tools.tool_transform import TransformedTool
from fastmcp.utilities.components import FastMCPComponent
from fastmcp.utilities.versions import VersionSpec
from mcp.shared.exceptions import MCPError
from pydantic_core import PydanticSerializationError
from starlette.requests import Request

from mcp_mount.backends.request import RequestContext, request_context
from mcp_mount.errors import Busy, InvalidArguments
from mcp_mount.limits import Release, Slots
from mcp_mount.remotes.sizes import is_larger
from mcp_mount.shutdown import shutdown
from mcp_mount.tools.access_log import CallOutcome
from mcp_mount.tools.account import account_for
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.limited import Limited
from mcp_mount.tools.metrics import CallMetrics, Kind

_FAILURES: Final[dict[Kind, type[FastMCPError]]] = {
    "tool": ToolError,
    "prompt": PromptError,
    "resource": ResourceError,
}
_LONGEST_VERSION: Final = 100
_SHUT_DOWN = "before the server was shut down. What the call was to do may or may not be done."

Run = Callable[[], Awaitable[Any]]
"""An extension may answer with something else than a result, a task for example."""


def is_own(component: FastMCPComponent) -> bool:
    """Whether users have added it; a tool of ours that they have changed is none of theirs."""
    while isinstance(component, TransformedTool):
        component = component.parent_tool
    return not isinstance(component, Limited)


async def called_tool(server: FastMCP[Any], called: mcp_types.CallToolRequestParams) -> Tool | None:
    """Return the tool that FastMCP calls."""
    name = called.name
    tool = await server.get_tool(name, version_of(called))
    # The tools of FastMCP's apps have a second name.
    hashed = parse_hashed_backend_name(name) if tool is None else None
    return tool if hashed is None else await server.get_tool_by_hash(*hashed)


async def asked_resource(
    server: FastMCP[Any], asked: mcp_types.ReadResourceRequestParams
) -> Resource | ResourceTemplate | None:
    """Return the resource that FastMCP reads, or its template."""
    uri, version = str(asked.uri), version_of(asked)
    found = await server.get_resource(uri, version)
    return found or await server.get_resource_template(uri, version)


def version_of(asked: mcp_types.RequestParams) -> VersionSpec | None:
    """Return which version of a component is asked for, as FastMCP reads it.

    Raises:
        MCPError: -32602, no version is so long; each of a component's is compared with it.
    """
    said = extract_version_spec(dict(asked.meta or {}))
    if said and len(said) > _LONGEST_VERSION:
        message = f"A version has no more than {_LONGEST_VERSION} characters."
        raise MCPError(code=mcp_types.INVALID_PARAMS, message=message)
    return VersionSpec(eq=said) if said else None


class OwnCalls:
    """Makes the calls of a mount's own tools."""

    def __init__(self, policy: CallPolicy) -> None:
        self._policy = policy

    async def make(self, tool: Tool, misfit: str | None, run: Run, context: Context | None) -> Any:
        """Make a call, and return its result; `misfit` is what is wrong with its arguments."""

        async def call(metrics: CallMetrics) -> Any:
            if misfit is not None:
                raise InvalidArguments(misfit)
            result = await self._run("tool", run, metrics, _timeout_of(tool))
            if isinstance(result, ToolResult):
                await self._check_size(result)
            return result

        called = "own tool" if is_own(tool) else "changed tool"
        return await account_for(tool.name, called, context, call, _outcome_of)

    async def give(self, kind: Kind, name: str, run: Run, context: Context | None) -> Any:
        """Render a prompt or read a resource, and return it.

        Raises:
            FastMCPError: there have been too many calls, or there is no answer.
        """

        async def call(metrics: CallMetrics) -> Any:
            try:
                return await self._run(kind, run, metrics)
            except Busy as busy:
                raise _FAILURES[kind](str(busy)) from busy

        return await account_for(name, f"own {kind}", context, call, _outcome_of, kind=kind)

    async def _run(
        self, kind: Kind, run: Run, metrics: CallMetrics, seconds: float | None = None
    ) -> Any:
        policy, ctx = self._policy, request_context.get()
        release = await self._admit(ctx.request if ctx is not None else None, metrics)
        # A task of its own, because a thread cannot be ended, and nobody has to wait for it. The
        # scope ends it, because only then its end is the thread's too.
        scope = anyio.CancelScope()
        task = asyncio.get_running_loop().create_task(_call(run, scope))
        task.add_done_callback(partial(_give_back, release))
        with _may_be_left(ctx, policy.slots, task, scope.cancel):
            try:
                ended = await _wait(task, seconds or policy.limits.timeout)
            finally:
                if not task.done():
                    scope.cancel()
                    if ctx is not None:
                        ctx.tasks.append(task)
        if ended is not None:
            raise _FAILURES[kind](f"The {kind} gave no answer {ended}")
        if task.cancelled() or scope.cancelled_caught:
            # By itself, or, where its client has left, by somebody who needs its slot.
            raise _FAILURES[kind]("The call was cancelled.")
        return task.result()

    async def _admit(self, request: Request | None, metrics: CallMetrics) -> Release:
        """Count a call, and return what gives back the slot that it takes."""
        policy = self._policy
        if policy.rate is not None and request is not None:
            await policy.rate.count(request)
        release = policy.slots.take_nowait()
        if release is None:
            with metrics.waiting():
                release = await policy.slots.take(request)
        return release

    async def _check_size(self, result: ToolResult) -> None:
        most = self._policy.limits.max_bytes
        try:
            if await is_larger(result, most):
                raise ToolError(f"The result is larger than {most} bytes (max_bytes).")
        except PydanticSerializationError:
            half = "The result holds half of a character (a lone surrogate)."
            raise ToolError(half) from None


@contextmanager
def _may_be_left(
    ctx: RequestContext | None, slots: Slots, task: asyncio.Task[Any], end: Callable[[], None]
) -> Iterator[None]:
    """Offer the slot of a call to who waits for one, once the client of the call has gone."""
    if ctx is None or ctx.abandon is not None:
        # The call that this one is made for is ended, and this one with it.
        yield
        return
    ctx.abandon = partial(slots.lend, end)
    task.add_done_callback(lambda _: slots.withdraw(end))
    try:
        yield
    finally:
        # A session keeps the context of its last request.
        ctx.abandon = None


def _outcome_of(raised: Exception) -> CallOutcome:
    if isinstance(raised, ValidationError):
        return "refused"
    if isinstance(raised.__cause__, Busy):
        return "busy"
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
