"""One FastMCP server over the operations of an application."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import mcp_types
from fastmcp import FastMCP
from fastmcp.exceptions import NotFoundError, PromptError
from fastmcp.prompts import PromptResult
from fastmcp.resources import ResourceResult, ResourceTemplate
from fastmcp.server.auth import AuthProvider
from fastmcp.server.middleware import CallNext, MiddlewareContext
from fastmcp.server.middleware.dereference import DereferenceRefsMiddleware
from fastmcp.tools import Tool, ToolResult
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.shared.exceptions import MCPError

from mcp_mount.backends.request import request_context
from mcp_mount.framework_log import short_traceback, shorten_log
from mcp_mount.listed import inline_references, list_in_turns
from mcp_mount.own import misfit_of_names, misfit_of_prompt, misfit_of_tool
from mcp_mount.own_calls import OwnCalls, asked_resource, called_tool, is_own, version_of
from mcp_mount.own_results import OwnServer
from mcp_mount.remotes.results import LISTS
from mcp_mount.search.answering import UnknownTool, unknown_tool
from mcp_mount.search.provider import SearchProvider
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.confirm import refuse_large_question, seal
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.tools.uris import is_readable
from mcp_mount.turns import Turns

if TYPE_CHECKING:
    from mcp_mount.remotes.provider import RemoteProvider

logger = logging.getLogger("mcp_mount")

_FAILED = "Error rendering prompt "
_LONGEST = 2_000
"""Characters of what is told of a prompt that fails."""
_MISSING = re.compile(r"Missing required arguments: \{.*\}")


class ProtocolMiddleware(DereferenceRefsMiddleware):
    """Answers as the specification says where FastMCP does not."""

    def __init__(self, search: SearchProvider, policy: CallPolicy) -> None:
        super().__init__()
        self._search = search
        self._own = OwnCalls(policy)

    async def on_call_tool(
        self,
        context: MiddlewareContext[mcp_types.CallToolRequestParams],
        call_next: CallNext[mcp_types.CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        """Answer a call of an unknown tool with a protocol error (MCP "Tools", "Error Handling").

        Raises:
            MCPError: -32602, the tool is not known.
        """
        server, called = _server_of(context), context.message
        # As the caller sees it: to who may not use a tool, there is none.
        tool = await called_tool(server, called) if server is not None else None
        try:
            if tool is None:
                return await call_next(context)
            misfit = misfit_of_names(tool, called.arguments)
            if misfit is None and not is_own(tool):
                return await call_next(context)
            misfit = misfit or await misfit_of_tool(tool, called.arguments)
            run = partial(call_next, context)
            result: ToolResult = await self._own.make(tool, misfit, run, context.fastmcp_context)
            return result
        except (NotFoundError, UnknownTool) as missing:
            if (ctx := request_context.get()) is not None:
                ctx.unknown_tool = True
            name = missing.name if isinstance(missing, UnknownTool) else context.message.name
            if await self._search.surface.is_search():
                message = await unknown_tool(self._search.surface, name)
            else:
                message = _unknown_tool(name, await self._search.surface.near_listed(name))
            raise MCPError(code=mcp_types.INVALID_PARAMS, message=message) from None

    async def on_get_prompt(
        self,
        context: MiddlewareContext[mcp_types.GetPromptRequestParams],
        call_next: CallNext[mcp_types.GetPromptRequestParams, PromptResult],
    ) -> PromptResult:
        """Keep to the log what a prompt raises; FastMCP masks it for tools and resources only.

        Raises:
            MCPError: -32602, an argument is missing (MCP "Prompts", "Error Handling"), or has too
                many values.
            PromptError: the prompt has failed, or says so itself.
        """
        server, called = _server_of(context), context.message
        prompt = await server.get_prompt(called.name, version_of(called)) if server else None
        if misfit := await misfit_of_prompt(prompt, called.arguments):
            raise MCPError(code=mcp_types.INVALID_PARAMS, message=misfit)
        run = partial(call_next, context)
        try:
            if prompt is None or not is_own(prompt):
                return await run()
            result: PromptResult = await self._own.give(
                "prompt", prompt.name, run, context.fastmcp_context
            )
            return result
        except PromptError as error:
            cause, name = error.__cause__, context.message.name
            if isinstance(cause, ValueError) and _MISSING.fullmatch(str(cause)):
                raise MCPError(code=mcp_types.INVALID_PARAMS, message=str(cause)) from None
            # FastMCP's own form, in which the text of the exception stands at the end. What a
            # prompt says with a `PromptError`, or FastMCP of an argument, is for the client.
            said = str(error)
            if not (said.startswith(_FAILED) and said.endswith(f": {cause}")):
                if len(said) <= _LONGEST:
                    raise
                # FastMCP repeats what was given.
                raise PromptError(f"{said[:_LONGEST]}…") from None
            short = short_traceback(cause) if cause is not None else None
            if short is None:
                logger.exception("The prompt %r has failed", name, exc_info=cause)
            else:
                logger.error("The prompt %r has failed\n%s", name, short)  # noqa: TRY400 - shorter
            raise PromptError(f"{_FAILED}{name!r}") from None

    async def on_read_resource(
        self,
        context: MiddlewareContext[mcp_types.ReadResourceRequestParams],
        call_next: CallNext[mcp_types.ReadResourceRequestParams, ResourceResult],
    ) -> ResourceResult:
        """Bound the addresses, and the resources that users added.

        Raises:
            MCPError: the address is very long.
        """
        server, asked = _server_of(context), context.message
        if not is_readable(str(asked.uri)):
            message = "The address of the resource is too long, or its query has too many fields."
            raise MCPError(code=mcp_types.INVALID_PARAMS, message=message)
        found = await asked_resource(server, asked) if server is not None else None
        if found is None or not is_own(found):
            return await call_next(context)
        address = found.uri_template if isinstance(found, ResourceTemplate) else str(found.uri)
        run = partial(call_next, context)
        result: ResourceResult = await self._own.give(
            "resource", address, run, context.fastmcp_context
        )
        return result

    async def on_request(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Any:
        """Have others run between what FastMCP does to gather a list and to convert it."""
        result = await call_next(context)
        # What has come meanwhile is behind this in the first round, and its tasks in the second.
        for _ in range(3 if context.method in LISTS else 0):
            await Turns(0).take()
        return result

    async def on_list_tools(
        self,
        context: MiddlewareContext[mcp_types.ListToolsRequest],
        call_next: CallNext[mcp_types.ListToolsRequest, Sequence[Tool]],
    ) -> Sequence[Tool]:
        """List what the caller is shown.

        References are inlined in the tools that users added; ours have none to inline.
        """
        return await inline_references(await self._search.show(await call_next(context)))


def _server_of(context: MiddlewareContext[Any]) -> FastMCP[Any] | None:
    return context.fastmcp_context.fastmcp if context.fastmcp_context is not None else None


def _unknown_tool(name: str, near: Iterable[str]) -> str:
    """Say that there is no such tool, and which of those that the caller sees are near."""
    hint = f". Near are: {', '.join(map(repr, near))}" if near else ""
    return f"Unknown tool: {name!r}{hint}"


def build_server(
    provider: OperationProvider,
    policy: CallPolicy,
    *,
    remotes: "RemoteProvider | None" = None,
    search: SearchProvider,
    name: str,
    version: str,
    instructions: str | None,
    auth: AuthProvider | None = None,
    state_key: str | None = None,
    sessions: bool = False,
) -> FastMCP[Any]:
    """Return the server that offers the providers' tools, and whatever its user adds.

    `search` finds them, for those who are not shown all; `policy` is what calls are subject to.
    """
    shorten_log()
    server: FastMCP[Any] = OwnServer(
        name=name,
        version=version,
        instructions=instructions,
        providers=[search, provider, *((remotes,) if remotes is not None else ())],
        middleware=[ProtocolMiddleware(search, policy)],
        # `ProtocolMiddleware` does it for the tools that need it.
        dereference_schemas=False,
        # What a user's tool raises may hold what a client must not see.
        mask_error_details=True,
        auth=auth,
        request_state_security=seal(state_key, provider.credentials),
    )
    # The SDK reads the schema of the called tool for its `x-mcp-header` parameters, and renders the
    # whole list to find it, unless it is told.
    low_level = low_level_server(server)
    low_level.get_tool_input_schema = lambda name: _input_schema(provider, remotes, name)
    list_in_turns(low_level)
    low_level.middleware.append(refuse_large_question)
    if not sessions:
        # There is no stream on which a change could be told, and nobody for whom a level of the log
        # could be kept: it would be every caller's.
        low_level.notification_options = NotificationOptions()  # type: ignore[attr-defined]
        low_level.add_request_handler(
            "logging/setLevel", mcp_types.SetLevelRequestParams, _ignore_level
        )
    if remotes is not None:
        remotes.attach(server, low_level, known=(provider, search))
    return server


def low_level_server(server: FastMCP[Any]) -> Server[Any]:
    """Return the SDK's server inside FastMCP's, to which there is no public way."""
    return server._mcp_server  # noqa: SLF001


def _input_schema(
    provider: OperationProvider, remotes: "RemoteProvider | None", name: str
) -> Mapping[str, Any] | None:
    if (ctx := request_context.get()) is not None and ctx.input_schema is not None:
        return ctx.input_schema
    tool: Tool | None = provider.find(name)
    if tool is None and remotes is not None:
        tool = remotes.tools().get(name)
    return tool.parameters if tool else None


async def _ignore_level(
    context: ServerRequestContext[Any, Any],  # noqa: ARG001 - the SDK's signature
    params: mcp_types.SetLevelRequestParams,  # noqa: ARG001
) -> mcp_types.EmptyResult:
    return mcp_types.EmptyResult()
