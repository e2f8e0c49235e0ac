"""The tools of what a command names, and a client of it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mcp_mount.check.subject import Subject, known_operations, subject_of
from mcp_mount.commands.output import note
from mcp_mount.errors import MountError
from mcp_mount.finding import import_app
from mcp_mount.halves import mend

if TYPE_CHECKING:
    from fastmcp import Client
    from fastmcp.tools import Tool

    from mcp_mount.commands.refusals import Refusals
    from mcp_mount.endpoints.hosting import MountContext

_DOCUMENTS: Final = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Target:
    """An app in this process, or a server at a URL; of a document only the tools are known."""

    name: str
    headers: Mapping[str, str]
    app: Any = None
    is_document: bool = False

    @asynccontextmanager
    async def client(self, seconds: float) -> AsyncIterator["Client[Any]"]:
        """Yield a connected client, which a server elsewhere has for so many seconds.

        Raises:
            MountError: it is a document, behind which nobody answers.
            RefusedError: the server took longer, or has not answered as one of MCP does.
        """
        import anyio

        from mcp_mount.commands.refusals import Refusals

        if self.is_document:
            raise MountError(
                f"{self.name!r} is a document, and nothing that could be called. Serve its API "
                f"with 'mcp-mount proxy --openapi {self.name}', and name the URL of that."
            )
        refusals = Refusals(self.name if self.app is None else None, self.headers)
        with refusals.told(), anyio.fail_after(seconds if self.app is None else None):
            async with self._connected(refusals) as client:
                yield client

    @asynccontextmanager
    async def _connected(self, refusals: "Refusals") -> AsyncIterator["Client[Any]"]:
        from fastmcp import Client
        from mcp_types.version import LATEST_MODERN_VERSION

        from mcp_mount.commands.asking import http_client, telling
        from mcp_mount.endpoints.transport import Transport
        from mcp_mount.remotes.sdk_log import talking_to
        from mcp_mount.testing import find_path, in_process, running

        async with AsyncExitStack() as stack:
            who = "The server" if self.app is None else "The app"
            options: dict[str, Any] = {"log_handler": telling(who)}
            url, factory = self.name, http_client
            if self.app is not None:
                state: dict[str, Any] = {}
                app = refusals.watching(self.app)
                await stack.enter_async_context(running(app, state))
                url, factory = f"http://localhost{find_path(self.app)}", in_process(app, state)
                options["mode"] = LATEST_MODERN_VERSION
            else:
                # A key may stand in the rest of the URL.
                stack.enter_context(talking_to(urlsplit(url).netloc.rpartition("@")[2]))
            transport = Transport(
                url, headers=dict(self.headers), httpx_client_factory=refusals.recording(factory)
            )
            yield await stack.enter_async_context(Client(transport, **options))

    async def subjects(self) -> list[Subject]:
        """Return the tools: all of an app, or those of the caller that the headers say."""
        from mcp_mount.commands.asking import MOST_SECONDS, listed_tools

        context = self._context()
        if context is not None and not self.headers:
            tools = [_as_wire(each) for each in await _all_tools(context)]
        else:
            async with self.client(MOST_SECONDS) as client:
                tools = await listed_tools(client)
        if context is None:
            return [Subject(tool) for tool in tools]
        known = await known_operations(context.server, context.provider)
        return [subject_of(tool, known.get(tool["name"])) for tool in tools]

    def _context(self) -> "MountContext | None":
        from mcp_mount.endpoints.streamable import Streamable
        from mcp_mount.testing import find_endpoint

        endpoint = find_endpoint(self.app) if self.app is not None else None
        transport = endpoint.transport if endpoint is not None else None
        return transport.mount if isinstance(transport, Streamable) else None


async def _all_tools(context: "MountContext") -> Sequence["Tool"]:
    from mcp_mount.listed import strip_fastmcp_meta

    async with AsyncExitStack() as stack:
        if context.remotes is not None:
            await stack.enter_async_context(context.remotes.monitoring())
            await context.offered()
        # Nobody calls, so nothing is hidden.
        listed = await context.server.list_tools()
    strip_fastmcp_meta(listed)
    return [*{tool.name: tool for tool in listed}.values()]


def _as_wire(tool: "Tool") -> dict[str, Any]:
    listed = tool.to_mcp_tool(name=tool.name)
    wire: dict[str, Any] = mend(listed.model_dump(mode="json", by_alias=True, exclude_none=True))
    return wire


def find_target(name: str, header: Mapping[str, str]) -> Target:
    """Return what a command names: ``module:attribute``, a file, or a URL.

    An app without an endpoint gets one, so that it can be looked at before it has.

    Raises:
        MountError: there is nothing of that name.
    """
    from fastapi import FastAPI

    from mcp_mount.mount import mount_mcp
    from mcp_mount.proxy import proxy_app
    from mcp_mount.testing import find_endpoint

    is_url = name.lower().startswith(("http://", "https://"))
    if name.partition("?")[0].lower().endswith(_DOCUMENTS):
        # What is only looked at needs no upstream; a document at a URL tells by itself.
        document = proxy_app(name, None if is_url else "http://localhost")
        return Target(name, {}, document, is_document=True)
    if is_url:
        return Target(name, header)
    app = import_app(name)
    if isinstance(app, FastAPI) and find_endpoint(app) is None:
        # Some have one of their own at the usual place, made by something else.
        is_taken = any(getattr(route, "path", "") == "/mcp" for route in app.routes)
        mount_mcp(app, path="/mcp-mount" if is_taken else "/mcp")
        note(f"{name} has no MCP endpoint yet: this is what mount_mcp(app) would offer.")
    return Target(name, header, app)
