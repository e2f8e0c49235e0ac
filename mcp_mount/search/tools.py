"""The tools of the search: they find the others, describe them, and call them."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastmcp.tools import ToolResult
from pydantic import PrivateAttr

from mcp_mount.access.rates import CallRate
from mcp_mount.backends.request import request_context
from mcp_mount.conversion.content import Result, error
from mcp_mount.errors import Busy, InvalidArguments
from mcp_mount.search.answering import CallArguments, UnknownTool, read_arguments
from mcp_mount.search.reading import is_read_only
from mcp_mount.search.surface import Surface
from mcp_mount.tools import access_log
from mcp_mount.tools.context import client_name, current_context, to_tool_result
from mcp_mount.tools.limited import LimitedTool
from mcp_mount.turns import Turns

Respond = Callable[[Surface, Mapping[str, Any]], Awaitable[Result]]


class SurfaceTool(LimitedTool):
    """A tool of the search."""

    _surface: Surface = PrivateAttr()

    def _log(self, outcome: access_log.CallOutcome, started: float, client: str | None) -> None:
        seconds, ctx = time.perf_counter() - started, request_context.get()
        access_log.log_call(self.name, "search", outcome, seconds, ctx, client=client)


class AnsweringTool(SurfaceTool):
    """One that says something of the other tools."""

    _respond: Respond = PrivateAttr()
    _rate: CallRate | None = PrivateAttr()

    @classmethod
    def make(
        cls, surface: Surface, respond: Respond, rate: CallRate | None, **fields: Any
    ) -> "AnsweringTool":
        """Return the tool; its calls count for the rate as those of the others do."""
        tool = cls(**fields)
        tool._surface, tool._respond, tool._rate = surface, respond, rate
        return tool

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Answer a call that comes by FastMCP."""
        return to_tool_result(await self.answer(arguments, client_name(current_context())))

    async def answer(self, arguments: Mapping[str, Any], client: str | None) -> Result:
        """Answer a call, and write its line in the log; `client` is how the caller names itself."""
        started = time.perf_counter()
        ctx = request_context.get()
        outcome: access_log.CallOutcome = "failed"
        try:
            if self._rate is not None and ctx is not None:
                await self._rate.count(ctx.request)
            # Each takes milliseconds with thousands of tools, and hundreds may ask at once.
            await Turns(is_large=True).begin()
            result = await self._respond(self._surface, arguments)
            outcome = "ok"
        except (InvalidArguments, Busy) as refused:
            result = error(str(refused))
            outcome = access_log.outcome_of_refusal(refused)
        finally:
            self._log(outcome, started, client)
        return result


class CallingTool(SurfaceTool):
    """One that calls the other tools.

    A request over HTTP is taken for a call of that other tool before it comes here, unless there is
    something to refuse. What is left is that, and clients of FastMCP in this process.
    """

    _reads_only: bool = PrivateAttr(default=False)

    @classmethod
    def make(cls, surface: Surface, *, reads_only: bool, **fields: Any) -> "CallingTool":
        """Return the tool; `reads_only`: it calls those alone that change nothing."""
        tool = cls(**fields)
        tool._surface, tool._reads_only = surface, reads_only
        return tool

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Call a tool, as if FastMCP's client had done so.

        Raises:
            UnknownTool: there is none of that name for the caller.
        """
        started = time.perf_counter()
        try:
            asked = await self._read(arguments)
        except InvalidArguments as refused:
            self._log("refused", started, client_name(current_context()))
            return to_tool_result(error(str(refused)))
        return await self._surface.server.call_tool(asked.name, asked.arguments)

    async def _read(self, arguments: Mapping[str, Any]) -> CallArguments:
        asked = read_arguments(CallArguments, arguments)
        tool = await self._surface.server.get_tool(asked.name)
        if tool is None or isinstance(tool, SurfaceTool):
            raise UnknownTool(asked.name)
        if self._reads_only and not is_read_only(tool):
            other = (await self._surface.snapshot()).names.call
            raise InvalidArguments(f"{asked.name!r} may change something: use {other!r}.")
        return asked
