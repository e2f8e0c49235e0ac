"""What the endpoints of an app serve, and what runs for it while the app's lifespan lasts."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from anyio.lowlevel import EventLoopToken, current_token
from fastapi import FastAPI
from fastmcp import FastMCP
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from mcp_mount.access.auth import ScopeGate, metadata_url
from mcp_mount.endpoints.endpoint import check_path_is_free, warn_of_hidden_mount
from mcp_mount.endpoints.guard import RequestGuard
from mcp_mount.errors import MountError
from mcp_mount.remotes.provider import RemoteProvider
from mcp_mount.tools.provider import OperationProvider


@dataclass(frozen=True, slots=True)
class MountContext:
    """What the endpoints of an app serve, whichever transport they speak."""

    app: FastAPI
    server: FastMCP[Any]
    provider: OperationProvider
    door: RequestGuard
    remotes: RemoteProvider | None = None

    def scopes(self, tool: str) -> Sequence[frozenset[str]]:
        """Return the alternatives of scopes that a tool asks for, whoever offers it."""
        others = self.remotes.scopes(tool) if self.remotes is not None else ()
        return self.provider.scopes(tool) or others


@dataclass(slots=True)
class RunningApp:
    """The MCP app that runs in one event loop. A class because it comes and goes."""

    _app: tuple[ASGIApp, EventLoopToken] | None = field(default=None, init=False)

    @property
    def is_set(self) -> bool:
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


def check(service: MountContext, path: str, option: str = "path") -> None:
    """Refuse to start what would fail later, or fail its callers.

    Args:
        service: What is to be served.
        path: Where.
        option: What says so.

    Raises:
        MountError: the operations cannot be offered, the app has a route of its own at the path, or
            FastMCP's cache of responses could not tell callers apart.
    """
    service.provider.tools()
    check_path_is_free(service.app, path, option)
    warn_of_hidden_mount(service.app, path)
    if service.server.auth is None and any(
        type(each).__name__ == "ResponseCachingMiddleware" for each in service.server.middleware
    ):
        message = (
            "ResponseCachingMiddleware would serve one caller's results to another: it knows "
            "callers by the token of auth= only. Remove it, or use auth=."
        )
        raise MountError(message)


def scope_gate(service: MountContext, path: str) -> list[Middleware]:
    """Return what checks scopes in an MCP app at `path`; nothing where nobody tells them."""
    auth, scopes_of = service.server.auth, service.door.scopes_of
    if auth is None and scopes_of is None:
        return []
    gate = Middleware(
        ScopeGate,
        needs=service.scopes,
        scopes_of=scopes_of,
        auth=auth,
        metadata_url=metadata_url(auth, path) if auth is not None else None,
    )
    return [gate]
