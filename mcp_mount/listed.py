"""What FastMCP lists, in the form in which clients get it."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any

import mcp_types
from fastmcp.server.middleware import MiddlewareContext
from fastmcp.server.middleware.dereference import DereferenceRefsMiddleware
from fastmcp.tools import Tool
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types.methods import serialize_server_result
from pydantic import ValidationError

from mcp_mount.turns import Turns

logger = logging.getLogger("mcp_mount")

_unwritten: ContextVar[list[mcp_types.Tool] | None] = ContextVar("mcp_mount_aside", default=None)
"""Where the tools of the list go that `_write_in_turns` is to write."""


async def inline_references(tools: Sequence[Tool]) -> Sequence[Tool]:
    """Inline the references in the schemas of tools that users added, as FastMCP does for all."""
    others = [tool for tool in tools if not _is_inlined(tool)]
    context = MiddlewareContext(message=mcp_types.ListToolsRequest(method="tools/list"))

    async def listed(context: MiddlewareContext[mcp_types.ListToolsRequest]) -> Sequence[Tool]:  # noqa: ARG001
        return others

    inlined = iter(await DereferenceRefsMiddleware().on_list_tools(context, listed))
    return [tool if _is_inlined(tool) else next(inlined) for tool in tools]


def _is_inlined(tool: Tool) -> bool:
    """Whether the tool was published by this package."""
    return type(tool).__module__.startswith("mcp_mount.")


def strip_fastmcp_meta(components: Iterable[Any]) -> None:
    """Remove FastMCP's own ``_meta`` from listed components, unless it tells their versions."""
    for component in components:
        own = (component.meta or {}).get("fastmcp")
        if own is not None and "versions" not in own:
            component.meta = {k: v for k, v in component.meta.items() if k != "fastmcp"} or None


def strip_meta_of_list(low_level: Server[Any], method: str) -> None:
    """Have a list answered without what FastMCP says of itself."""
    entry = low_level.get_request_handler(method)
    if entry is None:
        return
    inner: Callable[..., Awaitable[Any]] = entry.handler

    async def listed(context: ServerRequestContext[Any, Any], params: Any) -> Any:
        result = await inner(context, params)
        for components in ("tools", "resources", "resource_templates", "prompts"):
            strip_fastmcp_meta(getattr(result, components, ()))
        return result

    low_level.add_request_handler(method, entry.params_type, listed)


def list_in_turns(low_level: Server[Any]) -> None:
    """Have others run while a list of tools is written.

    The SDK writes a whole result in one step of the event loop, 0.2 s for 1,000 tools. So it is
    given a list without tools, and they are put into what it has written.
    """
    entry = low_level.get_request_handler("tools/list")
    if entry is None:
        return
    inner: Callable[..., Awaitable[Any]] = entry.handler

    async def listed(context: ServerRequestContext[Any, Any], params: Any) -> Any:
        result = await inner(context, params)
        aside = _unwritten.get()
        if aside is None or not isinstance(result, mcp_types.ListToolsResult):
            return result
        aside += result.tools
        return result.model_copy(update={"tools": []})

    low_level.add_request_handler("tools/list", entry.params_type, listed)
    low_level.middleware.append(_write_in_turns)


async def _write_in_turns(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Write the tools of a list; middleware of the SDK's server.

    Raises:
        MCPError: one of the tools is not as the protocol has it.
    """
    if ctx.method != "tools/list":
        return await call_next(ctx)
    aside: list[mcp_types.Tool] = []
    token = _unwritten.set(aside)
    try:
        result = await call_next(ctx)
    finally:
        _unwritten.reset(token)
    if not isinstance(result, dict):
        return result
    turns, tools = Turns(0), list[Any]()
    for tool in aside:
        await turns.take()
        try:
            tools += write_tools((tool,), ctx.protocol_version)["tools"]
        except ValidationError:
            # As the SDK says it: what is wrong is the server's, and for its log.
            logger.exception("A tool cannot be listed")
            message = "Handler returned an invalid result"
            raise MCPError(code=mcp_types.INTERNAL_ERROR, message=message) from None
    await turns.take()
    return {**result, "tools": tools}


def write_tools(tools: Sequence[mcp_types.Tool], version: str, ttl: int = 0) -> dict[str, Any]:
    """Return a list as a version of the protocol has it."""
    listed = mcp_types.ListToolsResult(tools=[*tools], ttl_ms=ttl)
    dumped = listed.model_dump(by_alias=True, mode="json", exclude_none=True)
    result: dict[str, Any] = serialize_server_result("tools/list", version, dumped)
    return result
