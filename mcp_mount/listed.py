"""What FastMCP lists, in the form in which clients get it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import mcp_types
from fastmcp.server.middleware import MiddlewareContext
from fastmcp.server.middleware.dereference import DereferenceRefsMiddleware
from fastmcp.tools import Tool
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server


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
