"""An operation as a FastMCP tool."""

import time
from collections.abc import Awaitable, Mapping
from functools import cached_property, partial
from typing import Any

import mcp_types
from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_context
from fastmcp.tools import Tool, ToolResult
from fastmcp.tools.base import InputRequiredToolResult
from mcp_types import ContentBlock, TextContent
from pydantic import ConfigDict, PrivateAttr

from mcp_mount.access.auth import tool_check
from mcp_mount.access.rates import CallRate
from mcp_mount.backends.backend import Backend
from mcp_mount.backends.request import request_context
from mcp_mount.conversion.content import Block, Result, error
from mcp_mount.conversion.reader import Progress
from mcp_mount.conversion.spooled import SpooledText
from mcp_mount.errors import Busy, InvalidArguments
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools import access_log
from mcp_mount.tools.binding import CallPolicy, ToolBinding, bind_operation
from mcp_mount.tools.call import ToolCall
from mcp_mount.tools.confirm import Question, question
from mcp_mount.tools.describing import annotations_of, description_of, title_of
from mcp_mount.tools.selection import SelectedOperation


class OperationTool(Tool):
    """A tool that calls one operation of the application."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    _binding: ToolBinding = PrivateAttr()

    @classmethod
    def from_operation(
        cls, selected: SelectedOperation, schemas: Schemas, backend: Backend, policy: CallPolicy
    ) -> "OperationTool":
        """Publish an operation under the name it was given."""
        operation, mark = selected.operation, selected.mark
        binding = bind_operation(selected, schemas, backend, policy)
        tool = cls(
            name=selected.name,
            title=title_of(operation, mark),
            description=description_of(operation, mark),
            parameters=binding.arguments.schema,
            output_schema=binding.output_schema,
            annotations=annotations_of(operation, mark),
            tags=set(operation.tags),
            auth=tool_check(operation.scopes) if operation.scopes else None,
        )
        tool._binding = binding
        return tool

    @cached_property
    def binding(self) -> ToolBinding:
        """How the tool is called. Cached, because Pydantic is slow to find private attributes."""
        return self._binding

    def to_mcp_tool(self, **overrides: Any) -> mcp_types.Tool:
        """Publish only what was declared: FastMCP's own metadata is of no use to a client."""
        return super().to_mcp_tool(**{"_meta": self.meta, **overrides})

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Call the operation; a call that cannot be made, or fails, is an error result."""
        context, ctx = current_context(), request_context.get()
        binding, confirm = self.binding, None
        if binding.needs_confirmation and context is not None:
            path = (each.name for each in binding.operation.parameters if each.location == "path")
            confirm = partial(question, context, binding.label, arguments, first=path)
        call = ToolCall(
            self.name,
            binding,
            arguments,
            meta=_meta(context),
            client=_client_name(context),
            progress=_progress(context),
            confirm=confirm,
            cancel_ends_call=ctx is None or ctx.disconnect_ends_call,
        )
        try:
            return to_tool_result(await call.run())
        finally:
            call.close()


async def with_log_line(
    call: Awaitable[ToolResult], context: Context | None, *, tool: str, operation: str
) -> ToolResult:
    """Make a call that is none of an operation, and write its line in the log.

    Args:
        call: Returns the result, or raises `InvalidArguments` or `Busy`.
        context: The call's FastMCP context, if it came by MCP.
        tool: The tool's name.
        operation: What it calls, e.g. ``"wiki: search"``.
    """
    started = time.perf_counter()
    outcome: access_log.CallOutcome = "cancelled"
    try:
        result = await call
        is_question = isinstance(result, InputRequiredToolResult)
        outcome = "asked" if is_question else "error" if result.is_error else "ok"
    except (InvalidArguments, Busy) as refused:
        result = to_tool_result(error(str(refused)))
        outcome = access_log.outcome_of_refusal(refused)
    except Exception:
        outcome = "failed"
        raise
    finally:
        access_log.log_call(
            tool=tool,
            operation=operation,
            seconds=time.perf_counter() - started,
            reader=None,
            outcome=outcome,
            ctx=request_context.get(),
            client=_client_name(context),
        )
    return result


async def check_rate(rate: CallRate | None) -> None:
    """Count a call that came over HTTP.

    Raises:
        Busy: the caller has called too often.
    """
    ctx = request_context.get()
    if rate is not None and ctx is not None:
        await rate.count(ctx.request)


def current_context() -> Context | None:
    """Return the FastMCP context of the call that is being made."""
    try:
        return get_context()
    except RuntimeError:
        # The tool was run by hand, outside any MCP request.
        return None


def to_tool_result(result: Result) -> ToolResult:
    """Write a result for FastMCP."""
    if isinstance(result, Question):
        return InputRequiredToolResult(result.input_required)
    return ToolResult(
        content=[*map(_content_block, result.content)],
        structured_content=result.structured_content,
        meta=result.meta,
        is_error=result.is_error,
    )


def _content_block(block: Block) -> ContentBlock:
    if isinstance(block, str | SpooledText):
        return TextContent(type="text", text="".join(block))
    return block


def _client_name(context: Context | None) -> str | None:
    request = context.request_context if context is not None else None
    client = request.session.client_params if request is not None else None
    return client.client_info.name if client is not None else None


def _meta(context: Context | None) -> Mapping[str, Any]:
    request = context.request_context if context is not None else None
    return (request.meta or {}) if request is not None else {}


def _progress(context: Context | None) -> Progress | None:
    """Return where progress goes, if the caller asked for it."""
    if context is None or _meta(context).get("progressToken") is None:
        return None
    count = 0

    async def report(message: str) -> None:
        nonlocal count
        count += 1
        await context.report_progress(count, message=message)

    return report
