"""What FastMCP lists, in the form in which clients get it."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

import mcp_types
from fastmcp.server.middleware import MiddlewareContext
from fastmcp.server.middleware.dereference import DereferenceRefsMiddleware
from fastmcp.tools import Tool
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types.methods import serialize_server_result
from pydantic import ValidationError

from mcp_mount.remotes.results import LISTS
from mcp_mount.turns import Turns

logger = logging.getLogger("mcp_mount")

_LISTS: Final[Mapping[str, tuple[type[Any], str]]] = {
    "tools/list": (mcp_types.ListToolsResult, "tools"),
    "resources/list": (mcp_types.ListResourcesResult, "resources"),
    "resources/templates/list": (mcp_types.ListResourceTemplatesResult, "resource_templates"),
    "prompts/list": (mcp_types.ListPromptsResult, "prompts"),
}
"""The result of each method that lists, and which of its fields is the list."""

_unwritten: ContextVar[list[Any] | None] = ContextVar("mcp_mount_unwritten", default=None)
"""Where the entries of the list go that `_write_in_turns` is to write."""


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


def list_in_turns(low_level: Server[Any]) -> None:
    """Have others run while a list is written, and list nothing of what FastMCP says of itself.

    The SDK writes a whole result in one step of the event loop, 0.2 s for 1,000 tools. So it is
    given a list without entries, and they are put into what it has written.
    """
    for method, (kind, field) in _LISTS.items():
        _keep_entries(low_level, method, kind, field)
    low_level.middleware.append(_write_in_turns)


def _keep_entries(low_level: Server[Any], method: str, kind: type[Any], field: str) -> None:
    entry = low_level.get_request_handler(method)
    if entry is None:
        return
    inner: Callable[..., Awaitable[Any]] = entry.handler

    async def listed(context: ServerRequestContext[Any, Any], params: Any) -> Any:
        result, unwritten = await inner(context, params), _unwritten.get()
        if unwritten is None or not isinstance(result, kind):
            strip_fastmcp_meta(getattr(result, field, ()))
            return result
        unwritten += getattr(result, field)
        return result.model_copy(update={field: []})

    low_level.add_request_handler(method, entry.params_type, listed)


async def _write_in_turns(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Write the entries of a list; middleware of the SDK's server.

    Raises:
        MCPError: one of them is not as the protocol has it.
    """
    if ctx.method not in _LISTS:
        return await call_next(ctx)
    unwritten: list[Any] = []
    token = _unwritten.set(unwritten)
    try:
        result = await call_next(ctx)
    finally:
        _unwritten.reset(token)
    if not isinstance(result, dict):
        return result
    turns, member, entries = Turns(0), LISTS[ctx.method], list[Any]()
    for each in unwritten:
        await turns.take()
        strip_fastmcp_meta((each,))
        try:
            entries += write_list(ctx.method, (each,), ctx.protocol_version)[member]
        except ValidationError:
            # As the SDK says it: what is wrong is the server's, and for its log.
            logger.exception("An entry of %s cannot be listed", ctx.method)
            message = "Handler returned an invalid result"
            raise MCPError(code=mcp_types.INTERNAL_ERROR, message=message) from None
    await turns.take()
    return {**result, member: entries}


def write_list(method: str, entries: Sequence[Any], version: str, ttl: int = 0) -> dict[str, Any]:
    """Return a list as a version of the protocol has it."""
    kind, field = _LISTS[method]
    listed = kind(**{field: [*entries]}, ttl_ms=ttl)
    dumped = listed.model_dump(by_alias=True, mode="json", exclude_none=True)
    result: dict[str, Any] = serialize_server_result(method, version, dumped)
    return result
