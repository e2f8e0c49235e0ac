"""What `mount_mcp` returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
from fastapi import FastAPI
from fastmcp import FastMCP
from starlette.requests import HTTPConnection
from starlette.types import Scope

from mcp_mount.backends.forwarding import Forwarder
from mcp_mount.backends.request import APP_KEY
from mcp_mount.backends.scope import route_path
from mcp_mount.endpoints.client import client_for
from mcp_mount.errors import MountError
from mcp_mount.page.negotiation import wanted
from mcp_mount.remotes.remote import RemoteState

if TYPE_CHECKING:
    from fastmcp import Client
    from fastmcp.client.transports import StreamableHttpTransport

    from mcp_mount.remotes.provider import RemoteProvider


@dataclass(frozen=True, slots=True)
class Mounted:
    """What `mount_mcp` put onto an app.

    Attributes:
        server: The FastMCP server; add tools, prompts, resources and middleware of your own.
        path: The endpoint's path in the app, e.g. ``"/mcp"``.
    """

    server: FastMCP[Any]
    path: str
    _app: FastAPI = field(repr=False)
    _forwards_cookies: bool = field(default=False, repr=False)
    _remotes: "RemoteProvider | None" = field(default=None, repr=False)
    _upstreams: Mapping[str, Forwarder] = field(default_factory=dict, repr=False)
    _has_page: bool = field(default=False, repr=False)

    @property
    def upstream(self) -> str | None:
        """Where the API of `proxy_app` is, as a URL; None where it is the app itself."""
        forwarder = self._upstreams.get("")
        return str(forwarder.base) if forwarder is not None else None

    async def upstream_answers(self) -> bool:
        """Whether the API of `proxy_app` answers, whatever it says; for a health route.

        It is asked once a second at the most. Where the app itself is the API, it answers.
        """
        return all((await self.apis_answer()).values())

    async def apis_answer(self) -> Mapping[str, bool]:
        """Whether each API of `gateway_app` answers, by its name; for a health route."""
        answers = dict.fromkeys(self._upstreams, False)

        async def ask(name: str) -> None:
            answers[name] = await self._upstreams[name].answers()

        # All at once: whoever watches our health may wait no longer than one that hangs takes.
        async with anyio.create_task_group() as tasks:
            for name in answers:
                tasks.start_soon(ask, name)
        return answers

    def client(
        self, request: HTTPConnection, *, headers: Mapping[str, str] | None = None
    ) -> "Client[StreamableHttpTransport]":
        """Return an MCP client of the endpoint that acts for the caller of a request.

        It is for routes that use tools, such as an agent. Everything stays in this process, and
        passes the app's middleware; the tools are those that the caller may use. Connect it with
        ``async with``; leaving the block ends what still runs.

        Args:
            request: A request to the app, e.g. the one that a route answers, a WebSocket, or what
                FastMCP's ``get_http_request()`` returns in a tool of your own.
            headers: Headers to send besides the caller's, or in their place.

        Raises:
            MountError: the request is one to another app, or a header is none, or describes the
                request itself.
        """
        if request.scope.get(APP_KEY, request.scope.get("app")) is not self._app:
            raise MountError(
                f"The request to {request.url.path!r} is not one to the app that has this MCP "
                "endpoint. Mount MCP on the app whose routes call its tools."
            )
        return client_for(
            self._app, self.path, request.scope, headers=headers, cookies=self._forwards_cookies
        )

    def serves_page(self, scope: Scope) -> bool:
        """Whether a request is answered with the page that a browser sees at the endpoint.

        Middleware that authenticates can let such a request pass, so that a person can enter a key
        there: the page is the same for everyone, and tells nothing of the tools.
        """
        return (
            self._has_page
            and scope["type"] == "http"
            and route_path(scope).removesuffix("/") == self.path
            and wanted(scope) == "page"
        )

    @property
    def remotes(self) -> Mapping[str, RemoteState]:
        """How the other servers are by their names, for a health route of your own."""
        return self._remotes.states if self._remotes is not None else {}
