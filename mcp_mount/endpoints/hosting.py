"""What the endpoints of an app serve, and what runs for it while the app's lifespan lasts."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from anyio.lowlevel import EventLoopToken, current_token
from fastapi import FastAPI
from fastmcp import FastMCP
from fastmcp.tools import Tool
from fastmcp.tools.tool_transform import TransformedTool
from mcp.server.streamable_http import EventStore
from starlette.types import ASGIApp

from mcp_mount.access.auth import granted_scopes
from mcp_mount.completion import offer_completion
from mcp_mount.endpoints.endpoint import check_path_is_free, warn_of_hidden_mount
from mcp_mount.endpoints.guard import RequestGuard
from mcp_mount.errors import MountError
from mcp_mount.search.provider import SearchProvider
from mcp_mount.tools.provider import OperationProvider

if TYPE_CHECKING:
    from mcp_mount.remotes.provider import RemoteProvider
    from mcp_mount.tasks.engine import TaskEngine


OpenEvents = Callable[[AsyncExitStack], EventStore]
"""Opens what keeps the events of sessions, until the stack is closed."""


@dataclass(frozen=True, slots=True)
class MountContext:
    """What the endpoints of an app serve, whichever transport they speak."""

    app: FastAPI
    server: FastMCP[Any]
    provider: OperationProvider
    guard: RequestGuard
    search: SearchProvider
    remotes: "RemoteProvider | None" = None
    tasks: "TaskEngine | None" = None
    open_events: OpenEvents | None = None

    def scopes(self, tool: str) -> Sequence[frozenset[str]]:
        """Return the alternatives of scopes that a tool asks for, whoever offers it."""
        others = self.remotes.scopes(tool) if self.remotes is not None else ()
        return self.provider.scopes(tool) or others

    async def scopes_of_call(self, name: str) -> Sequence[frozenset[str]]:
        """Return what a call of a name asks for, as FastMCP's transforms name the tools."""
        server = self.server
        if not server.transforms and not any(each.transforms for each in server.providers):
            return self.scopes(name)
        # As whoever may use every tool: the server shows a caller no other.
        token = granted_scopes.set(None)
        try:
            tool = await server.get_tool(name)
        finally:
            granted_scopes.reset(token)
        while isinstance(tool, TransformedTool):
            tool = tool.parent_tool
        # Ours have them, whatever they are called now.
        scopes: Sequence[frozenset[str]] = getattr(tool, "scopes", ())
        return scopes

    def scopes_of_resource(self, uri: str) -> Sequence[frozenset[str]]:
        """Return the alternatives of scopes that the resource at an address asks for."""
        found = self.provider.find_resource(uri)
        return found.scopes if found is not None else ()

    async def offered(self) -> Mapping[str, Tool] | None:
        """Return the tools of operations and remotes; another mapping when they are others.

        None where the remotes are to be asked.
        """
        await self.provider.refresh(anew=True)
        tools = self.provider.tools()
        return tools if self.remotes is None else await self.remotes.merged_with(tools)

    async def own_schema(self, tool: str | None) -> Mapping[str, Any] | None:
        """Return the input schema of a tool that the user added to the server."""
        if tool is None:
            return None
        own = await self.server.local_provider.get_tool(tool)
        return own.parameters if own is not None else None


@dataclass(slots=True)
class RunningApp:
    """FastMCP's app while it runs in one event loop."""

    _app: tuple[ASGIApp, EventLoopToken] | None = field(default=None, init=False)

    @property
    def is_running(self) -> bool:
        """Whether there is one, in whichever event loop."""
        return self._app is not None

    def use(self, app: ASGIApp | None) -> None:
        """Use an MCP app that runs in this event loop; None: it has ended."""
        self._app = (app, current_token()) if app is not None else None

    def here(self) -> ASGIApp | None:
        """Return the running MCP app, unless it runs in another event loop: tests may have two."""
        if self._app is None or self._app[1] != current_token():
            return None
        return self._app[0]


class StartableTransport(Protocol):
    """A transport whose MCP app is started and stopped with the app."""

    @property
    def running(self) -> RunningApp:
        """What requests are served with."""

    async def start(self, stack: AsyncExitStack) -> ASGIApp:
        """Start an MCP app that runs until `stack` is closed.

        Raises:
            MountError: the operations cannot be offered as they are.
        """


def check_can_start(mount: MountContext, path: str, option: str = "path") -> None:
    """Refuse to start what would fail later, or fail its callers.

    Raises:
        MountError: the operations cannot be offered, the app has a route of its own at the path, or
            FastMCP's cache of responses could not tell callers apart.
    """
    mount.provider.tools()
    offer_completion(mount.server, mount.provider)
    check_path_is_free(mount.app, path, option)
    warn_of_hidden_mount(mount.app, path)
    if mount.server.auth is None and any(
        type(each).__name__ == "ResponseCachingMiddleware" for each in mount.server.middleware
    ):
        raise MountError(
            "ResponseCachingMiddleware would serve one caller's results to another: it knows "
            "callers by the token of auth= only. Remove it, or use auth=."
        )
