"""One FastMCP server over the operations of an application.

* The tools follow the app's OpenAPI document, and are built anew only when it changes.
* One mapping is both what is listed and what can be called.
"""

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import mcp_types
from fastmcp import FastMCP
from fastmcp.exceptions import NotFoundError, PromptError
from fastmcp.prompts import PromptResult
from fastmcp.server.auth import AuthProvider
from fastmcp.server.middleware import CallNext, MiddlewareContext
from fastmcp.server.middleware.dereference import DereferenceRefsMiddleware
from fastmcp.server.providers import Provider
from fastmcp.tools import Tool, ToolResult
from fastmcp.utilities.versions import VersionSpec
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from mcp_mount.access.auth import granted_scopes, to_ask_for
from mcp_mount.calls.call import incoming
from mcp_mount.calls.caller import Caller
from mcp_mount.errors import MountError
from mcp_mount.openapi.operations import read_operations
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.remotes.provider import RemoteProvider
from mcp_mount.remotes.tool import RemoteTool
from mcp_mount.tools.confirm import seal
from mcp_mount.tools.plan import Plan, Terms
from mcp_mount.tools.selection import Selector, select
from mcp_mount.tools.tool import OperationTool

logger = logging.getLogger("mcp_mount")

_MANY_TOOLS = 40
_TOO_MANY_TOOLS = 128
_FAILED = "Error rendering prompt "
_MISSING = re.compile(r"Missing required arguments: \{.*\}")


class OperationProvider(Provider):
    """The operations of an OpenAPI document as tools.

    A class because it remembers the tools of the document it last saw.
    """

    def __init__(
        self,
        document: Callable[[], Mapping[str, Any]],
        caller: Caller,
        *,
        include: Sequence[Selector] = (),
        exclude: Sequence[Selector] = (),
        credentials: Iterable[tuple[str, str]] = (),
        changes: Callable[[], object] = lambda: None,
        terms: Terms,
    ) -> None:
        """Take where the document comes from, what to offer of it, and how to call it.

        What `credentials` names is no argument, whether the document says so or not. `changes`
        returns another object when the routes are others, or None where the document tells it.
        """
        super().__init__()
        self._document = document
        self._caller = caller
        self._include = include
        self._exclude = exclude
        self._credentials = frozenset(credentials)
        self._terms = terms
        self._changes = changes
        self._seen: Mapping[str, Any] | None = None
        self._routes: object = None
        self._tools: dict[str, OperationTool] = {}
        self._offered: dict[tuple[str, str], Plan] = {}

    def tools(self) -> Mapping[str, OperationTool]:
        """Return the tools by name, as the document says now.

        Raises:
            MountError: a mark, a selector or two names do not fit.
        """
        return self._read(self._changes())

    def ready(self, name: str) -> OperationTool | None:
        """Return the tool of a name for a call, None where there is none.

        A document that the app writes itself is asked for when routes have been added, and for a
        name that it did not have: it may be written anew each time.

        Raises:
            MountError: see `tools`.
        """
        routes = self._changes()
        if routes is None or routes is not self._routes or name not in self._tools:
            self._read(routes)
        return self._tools.get(name)

    def _read(self, routes: object) -> Mapping[str, OperationTool]:
        try:
            document = self._document()
        except Exception as error:
            message = (
                f"The app's OpenAPI document cannot be made: {error}. Its /openapi.json fails too; "
                "mend the route, or leave it out with include_in_schema=False."
            )
            raise MountError(message) from error
        # FastAPI returns the same object until a route is added; an `openapi` of the app's own may
        # write the same document anew each time.
        if document is not self._seen:
            if document != self._seen:
                self._tools = self._build(document)
                plans = (tool.plan for tool in self._tools.values())
                self._offered = {
                    (each.operation.method, each.operation.path): each for each in plans
                }
            self._seen = document
        # Once more, because an app may keep its document from when it was asked for it.
        self._routes = routes and self._changes()
        return self._tools

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Keep what calls need while the server runs."""
        async with self._caller.connected():
            yield

    def scopes(self, name: str) -> Sequence[frozenset[str]]:
        """Return the alternatives of scopes that the tool asks for; none if it is unknown."""
        tool = self.ready(name)
        return tool.plan.operation.scopes if tool is not None else ()

    def credentials(self) -> frozenset[tuple[str, str]]:
        """Return where the document's security schemes look for keys; see `Operation`."""
        routes = self._changes()
        is_known = routes is not None and routes is self._routes
        tools = self._tools if is_known else self._read(routes)
        tool = next(iter(tools.values()), None)
        return tool.plan.operation.credentials if tool is not None else frozenset()

    @property
    def routes(self) -> object:
        """What stands for the routes as they were when the tools were last asked for."""
        return self._seen if self._routes is None else self._routes

    def offers(self, method: str, template: str) -> bool:
        """Whether the caller may be led to an operation that is a tool.

        It needs no scope that the caller lacks, and no question to be asked first.

        Args:
            method: E.g. ``"GET"``.
            template: E.g. ``"/items/{item_id}"``.
        """
        plan = self._offered.get((method, template))
        if plan is None or plan.asks:
            # Who is to be asked first is not led there by a redirect.
            return False
        return not to_ask_for(plan.operation.scopes, granted_scopes.get())

    @property
    def listed(self) -> Mapping[str, OperationTool]:
        """The tools as they were when last asked for."""
        return self._tools

    def _build(self, document: Mapping[str, Any]) -> dict[str, OperationTool]:
        schemas = Schemas(document)
        operations = read_operations(document, self._credentials)
        offers = select(operations, include=self._include, exclude=self._exclude)
        return {
            offer.name: OperationTool.from_offer(offer, schemas, self._caller, self._terms)
            for offer in offers
        }

    async def _list_tools(self) -> Sequence[Tool]:
        return [*self.tools().values()]

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        tool = self.ready(name)
        return tool if version is None or (tool and version.matches(tool.version)) else None


class ProtocolMiddleware(DereferenceRefsMiddleware):
    """Answers as the specification says where FastMCP does not, and spares finished schemas."""

    async def on_call_tool(
        self,
        context: MiddlewareContext[mcp_types.CallToolRequestParams],
        call_next: CallNext[mcp_types.CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        """Answer a call of an unknown tool with a protocol error (MCP "Tools", "Error Handling").

        Raises:
            MCPError: -32602, the tool is not known.
        """
        try:
            return await call_next(context)
        except NotFoundError:
            if (served := incoming.get()) is not None:
                served.named_no_tool = True
            message = f"Unknown tool: {context.message.name!r}"
            raise MCPError(code=mcp_types.INVALID_PARAMS, message=message) from None

    async def on_get_prompt(
        self,
        context: MiddlewareContext[mcp_types.GetPromptRequestParams],
        call_next: CallNext[mcp_types.GetPromptRequestParams, PromptResult],
    ) -> PromptResult:
        """Keep to the log what a prompt raises; FastMCP masks it for tools and resources only.

        Raises:
            MCPError: -32602, an argument is missing (MCP "Prompts", "Error Handling").
            PromptError: the prompt has failed, or says so itself.
        """
        try:
            return await call_next(context)
        except PromptError as error:
            cause, name = error.__cause__, context.message.name
            if isinstance(cause, ValueError) and _MISSING.fullmatch(str(cause)):
                raise MCPError(code=mcp_types.INVALID_PARAMS, message=str(cause)) from None
            # FastMCP's own form, in which the text of the exception stands at the end. What a
            # prompt says with a `PromptError`, or FastMCP of an argument, is for the client.
            said = str(error)
            if not (said.startswith(_FAILED) and said.endswith(f": {cause}")):
                raise
            logger.exception("The prompt %r has failed", name, exc_info=cause)
            raise PromptError(f"{_FAILED}{name!r}") from None

    async def on_list_tools(
        self,
        context: MiddlewareContext[mcp_types.ListToolsRequest],
        call_next: CallNext[mcp_types.ListToolsRequest, Sequence[Tool]],
    ) -> Sequence[Tool]:
        """Inline the references in the tools that users added; ours have none to inline."""
        tools = await call_next(context)
        finished = (OperationTool, RemoteTool)
        others = [tool for tool in tools if not isinstance(tool, finished)]

        async def listed(context: MiddlewareContext[mcp_types.ListToolsRequest]) -> Sequence[Tool]:  # noqa: ARG001
            return others

        inlined = iter(await super().on_list_tools(context, listed))
        return [tool if isinstance(tool, finished) else next(inlined) for tool in tools]


def build_server(
    provider: OperationProvider,
    *,
    remotes: RemoteProvider | None = None,
    name: str,
    version: str,
    instructions: str | None,
    auth: AuthProvider | None = None,
    state_key: str | None = None,
) -> FastMCP[Any]:
    """Return the server that offers the providers' tools, and whatever its user adds."""
    server: FastMCP[Any] = FastMCP(
        name=name,
        version=version,
        instructions=instructions,
        providers=[provider, *((remotes,) if remotes is not None else ())],
        middleware=[ProtocolMiddleware()],
        # `ProtocolMiddleware` does it for the tools that need it.
        dereference_schemas=False,
        # What a user's tool raises may hold what a client must not see.
        mask_error_details=True,
        auth=auth,
        request_state_security=seal(state_key, provider.credentials),
    )
    # The SDK reads the schema of the called tool for its `x-mcp-header` parameters, and renders the
    # whole list to find it, unless it is told.
    low_level_server(server).get_tool_input_schema = lambda name: _input_schema(
        provider, remotes, name
    )
    if remotes is not None:
        remotes.respect(server, but=provider)
    return server


def low_level_server(server: FastMCP[Any]) -> Server[Any]:
    """Return the SDK's server inside FastMCP's, to which there is no public way."""
    return server._mcp_server  # noqa: SLF001


def _input_schema(
    provider: OperationProvider, remotes: RemoteProvider | None, name: str
) -> Mapping[str, Any] | None:
    tool: Tool | None = provider.ready(name)
    if tool is None and remotes is not None:
        tool = remotes.tools().get(name)
    return tool.parameters if tool else None


def warn_of_many_tools(count: int) -> None:
    """Tell the log where clients begin to lose sight: they give every tool to the model."""
    if count > _TOO_MANY_TOOLS:
        logger.warning(
            "%d tools: VS Code refuses more than %d. Choose with include= or exclude=.",
            count,
            _TOO_MANY_TOOLS,
        )
    elif count > _MANY_TOOLS:
        logger.warning(
            "%d tools: models choose badly among more than %d. Consider include= or exclude=.",
            count,
            _MANY_TOOLS,
        )
