"""An operation as a FastMCP tool: what is published of it, and what happens on a call."""

import time
from collections.abc import Awaitable, Mapping, Sequence
from functools import cached_property
from typing import Any

import anyio
import mcp_types
from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_context
from fastmcp.tools import Tool, ToolResult
from fastmcp.tools.base import InputRequiredToolResult
from mcp_types import ContentBlock, TextContent
from pydantic import ConfigDict, PrivateAttr
from starlette.requests import Request as HTTPRequest

from mcp_mount.access.auth import tool_check
from mcp_mount.access.rates import CallRate
from mcp_mount.backends.backend import Backend
from mcp_mount.backends.request import Request
from mcp_mount.conversion.content import Block, Result, error
from mcp_mount.conversion.reader import Progress, ResponseReader
from mcp_mount.conversion.spooled import SpooledText
from mcp_mount.errors import Busy, InvalidArguments
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools import access_log
from mcp_mount.tools.binding import CallPolicy, ToolBinding, bind_operation
from mcp_mount.tools.confirm import question
from mcp_mount.tools.describing import annotations_of, description_of, title_of
from mcp_mount.tools.responding import send_and_follow, trace_of, traced
from mcp_mount.tools.selection import SelectedOperation


class OperationTool(Tool):
    """A tool that calls one operation of the application."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    _binding: ToolBinding = PrivateAttr()

    @classmethod
    def from_operation(
        cls, offer: SelectedOperation, schemas: Schemas, caller: Backend, terms: CallPolicy
    ) -> "OperationTool":
        """Publish an operation under the name it was given."""
        binding = bind_operation(offer, schemas, caller, terms)
        tool = cls(
            name=offer.name,
            title=title_of(offer.operation, offer.mark),
            description=description_of(offer.operation, offer.mark),
            parameters=binding.arguments.schema,
            output_schema=binding.output_schema,
            annotations=annotations_of(offer.operation, offer.mark),
            tags=set(offer.operation.tags),
            auth=tool_check(offer.operation.scopes) if offer.operation.scopes else None,
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
        context = current_context()
        readers: list[ResponseReader] = []
        return await recorded(
            self._admitted(arguments, context, readers),
            context,
            tool=self.name,
            operation=str(self.binding.operation),
            readers=readers,
        )

    async def _admitted(
        self, arguments: dict[str, Any], context: Context | None, readers: list[ResponseReader]
    ) -> ToolResult:
        """Make the call, once everything that can refuse or delay it has let it through."""
        request = self.binding.arguments.request(arguments)
        if self.binding.asks and context is not None:
            operation = self.binding.operation
            path = (each.name for each in operation.parameters if each.location == "path")
            asked = question(context, str(operation), arguments, first=path)
            if asked is not None:
                return asked
        await check_rate(self.binding.rate, context)
        progress, trace = _from_context(context)
        async with self.binding.slots.taken():
            return await self._call(traced(request, trace), progress, readers)

    async def _call(
        self, request: Request, progress: Progress | None, readers: list[ResponseReader]
    ) -> ToolResult:
        deadline = anyio.current_time() + self.binding.limits.timeout
        try:
            return _tool_result(
                await send_and_follow(
                    self.binding, self.name, request, readers, deadline=deadline, progress=progress
                )
            )
        finally:
            for reader in readers:
                reader.close()


async def recorded(
    call: Awaitable[ToolResult],
    context: Context | None,
    *,
    tool: str,
    operation: str,
    readers: Sequence[ResponseReader] = (),
) -> ToolResult:
    """Make a call, and write its line in the log; one that is refused is an error result.

    Args:
        call: Returns the result, or raises `InvalidArguments` or `Busy`.
        context: The call's FastMCP context, if it came by MCP.
        tool: The tool's name.
        operation: What it calls, e.g. ``"GET /articles/{slug}"``.
        readers: Where the call puts its responses, the last one last.
    """
    started = time.perf_counter()
    outcome: access_log.Outcome = "cancelled"
    try:
        result = await call
        is_question = isinstance(result, InputRequiredToolResult)
        outcome = "asked" if is_question else "error" if result.is_error else "ok"
    except (InvalidArguments, Busy) as refused:
        result = _tool_result(error(str(refused)))
        outcome = access_log.refusal(refused)
    except Exception:
        outcome = "failed"
        raise
    finally:
        access_log.record(
            tool=tool,
            operation=operation,
            seconds=time.perf_counter() - started,
            reader=readers[-1] if readers else None,
            outcome=outcome,
            request=_http_request(context),
            client=_client_name(context),
        )
    return result


async def check_rate(rate: CallRate | None, context: Context | None) -> None:
    """Count a call that came over HTTP.

    Raises:
        Busy: the caller has called too often.
    """
    request = _http_request(context)
    if rate is not None and request is not None:
        await rate.count(request)


def _tool_result(result: Result) -> ToolResult:
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


def current_context() -> Context | None:
    """Return the FastMCP context of the call that is being made."""
    try:
        return get_context()
    except RuntimeError:
        # The tool was run by hand, outside any MCP request.
        return None


def _http_request(context: Context | None) -> HTTPRequest | None:
    request = context.request_context.request if context and context.request_context else None
    return request if isinstance(request, HTTPRequest) else None


def _client_name(context: Context | None) -> str | None:
    request = context.request_context if context is not None else None
    client = request.session.client_params if request is not None else None
    return client.client_info.name if client is not None else None


def _from_context(context: Context | None) -> tuple[Progress | None, Mapping[str, str]]:
    """Return where progress goes, if the caller asked for it, and the caller's trace context."""
    if context is None or context.request_context is None:
        return None, {}
    meta = context.request_context.meta or {}
    trace = trace_of(meta)
    if meta.get("progressToken") is None:
        return None, trace
    count = 0

    async def progress(message: str) -> None:
        nonlocal count
        count += 1
        await context.report_progress(count, message=message)

    return progress, trace
