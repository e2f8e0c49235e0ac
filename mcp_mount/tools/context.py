"""What a tool that FastMCP runs asks of its context, and the result in FastMCP's form."""

from collections.abc import Mapping
from typing import Any

from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_context
from fastmcp.tools import ToolResult
from fastmcp.tools.base import InputRequiredToolResult
from mcp_types import TextContent

from mcp_mount.conversion.content import Result
from mcp_mount.conversion.reader import Progress
from mcp_mount.conversion.spooled import SpooledText, whole
from mcp_mount.tools.confirm import Question


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
    written = ToolResult(
        content=[
            TextContent(type="text", text=whole(each))
            if isinstance(each, str | SpooledText)
            else each
            for each in result.content
        ],
        meta=result.meta,
        is_error=result.is_error,
    )
    # It is JSON already, which FastMCP would copy value by value in one step.
    written.structured_content = result.structured_content
    return written


def client_name(context: Context | None) -> str | None:
    """Return the name that the client gives itself."""
    request = context.request_context if context is not None else None
    client = request.session.client_params if request is not None else None
    return client.client_info.name if client is not None else None


def meta_of(context: Context | None) -> Mapping[str, Any]:
    """Return the ``_meta`` of the request."""
    request = context.request_context if context is not None else None
    return (request.meta or {}) if request is not None else {}


def progress_of(context: Context | None) -> Progress | None:
    """Return where progress goes, if the caller asked for it."""
    if context is None or meta_of(context).get("progressToken") is None:
        return None
    count = 0

    async def report(message: str) -> None:
        nonlocal count
        count += 1
        await context.report_progress(count, message=message)

    return report
