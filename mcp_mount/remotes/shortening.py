"""Cuts what a tool of another server answers, as `max_result_chars` says."""

from functools import partial

from fastmcp.tools import ToolResult
from mcp_types import TextContent
from pydantic_core import to_json

from mcp_mount.conversion.comparing import Comparison
from mcp_mount.conversion.content import Result
from mcp_mount.conversion.shortening import shorten_foreign
from mcp_mount.loops import run_apart
from mcp_mount.remotes.catalog import PublishedTool
from mcp_mount.tools.context import to_tool_result


async def shorten_answer(answer: ToolResult, published: PublishedTool, most: int) -> ToolResult:
    """Return an answer with at most `most` characters of text; a long one is cut in a thread."""
    sizes = [len(each.text) for each in answer.content if isinstance(each, TextContent)]
    size = max(sum(sizes), len(to_json(answer.structured_content)))
    if size <= most:
        return answer
    whole = Result(
        tuple(each.text if isinstance(each, TextContent) else each for each in answer.content),
        answer.structured_content,
        answer.meta,
        answer.is_error,
    )

    shorten = partial(
        shorten_foreign,
        whole,
        most,
        conforms=Comparison(published.output_schema or {}).is_valid,
        arguments=published.schema.get("properties", {}),
    )
    shortened = await run_apart(size, shorten)
    return answer if shortened is whole else to_tool_result(shortened)
