"""Other MCP servers as a source of tools, resources and prompts.

* One mapping is both what is listed and what can be called, as for the operations. It is made anew
  when a server offers something else, and looked up by name otherwise.
* A name of ours is never given to a tool of another server.
* A tool that has come through this gateway before is left out.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from fastmcp import FastMCP
from fastmcp.prompts import Prompt
from fastmcp.resources import Resource, ResourceTemplate
from fastmcp.server.providers import AggregateProvider, Provider
from fastmcp.tools import Tool
from fastmcp.utilities.components import FastMCPComponent
from fastmcp.utilities.versions import VersionSpec

from mcp_mount.remotes.foreign import LONGEST_URI
from mcp_mount.remotes.relay import Relay
from mcp_mount.remotes.remote import Remote, RemoteState, check_remotes
from mcp_mount.remotes.resources import prompts_of, resources_of, templates_of
from mcp_mount.remotes.tool import RemoteTool
from mcp_mount.remotes.watch import Watch
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.naming import folded, names_within

Component = TypeVar("Component", RemoteTool, Resource, ResourceTemplate, Prompt)


class RemoteProvider(Provider):
    """What other servers offer. A class because it remembers what they last offered."""

    def __init__(
        self, remotes: Sequence[Remote], terms: CallPolicy, ours: Callable[[], Mapping[str, object]]
    ) -> None:
        """Take the servers, what their calls are subject to, and what returns our own tools.

        Raises:
            MountError: the servers' names can be taken for each other.
        """
        super().__init__()
        check_remotes(remotes)
        # Text and `structuredContent` carry the same, and JSON writes some characters as six.
        most_bytes = 4 * terms.limits.max_bytes + 1024 * 1024
        self._gateway = secrets.token_hex(8)
        self._relays = [Relay(Watch(each, most_bytes), terms, self._gateway) for each in remotes]
        self._ours = ours
        self._server: FastMCP[Any] | None = None
        self._others: tuple[Provider, ...] = (self,)
        self._added_names: frozenset[str] = frozenset()
        self._seen: tuple[object, ...] = ()
        self._tools: dict[str, RemoteTool] = {}
        self._beside: tuple[object, object, Mapping[str, Tool]] = (None, None, {})
        self._resources: dict[str, Resource] = {}
        self._templates: list[ResourceTemplate] = []
        self._prompts: dict[str, Prompt] = {}

    def respect(self, server: FastMCP[Any], *, but: Provider) -> None:
        """Give no name of what the server's user adds; `but` has the operations, which we know."""
        self._server, self._others = server, (self, but)

    @property
    def _added(self) -> Provider:
        """What the server's user has added until now."""
        providers = self._server.providers if self._server is not None else ()
        return AggregateProvider([each for each in providers if each not in self._others])

    @property
    def states(self) -> dict[str, RemoteState]:
        """How each server is, by its name."""
        return {relay.remote.name: relay.watch.state for relay in self._relays}

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Stay in touch with the servers; programs among them run as long."""
        async with anyio.create_task_group() as tasks:
            for relay in self._relays:
                tasks.start_soon(relay.watch.keep)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    def tools(self) -> Mapping[str, RemoteTool]:
        """Return the tools by name, as far as they are known."""
        self._look()
        return self._tools

    async def beside(self, ours: Mapping[str, Tool]) -> Mapping[str, Tool] | None:
        """Return all tools, the same mapping as long as nothing changes.

        None where changes are not noticed: then the servers are to be asked.
        """
        if not all(relay.watch.is_kept for relay in self._relays):
            return None
        await self._known(self._relays)
        theirs = self.tools()
        if not (self._beside[0] is ours and self._beside[1] is theirs):
            self._beside = (ours, theirs, {**ours, **theirs})
        return self._beside[2]

    def scopes(self, name: str) -> Sequence[frozenset[str]]:
        """Return the alternatives of scopes that a tool asks for; none if it is unknown."""
        tool = self.tools().get(name)
        return tool.scopes if tool is not None else ()

    def _look(self) -> None:
        """Make everything anew if a server offers something else, or we do."""
        ours = self._ours()
        seen = (ours, self._added_names, *(relay.watch.contents for relay in self._relays))
        if len(seen) == len(self._seen) and all(
            a is b for a, b in zip(seen, self._seen, strict=True)
        ):
            return
        taken = {*map(folded, ours), *self._added_names}
        made: dict[str, RemoteTool] = {}
        for relay in self._relays:
            tools = {
                name: tool
                for name, tool in relay.watch.contents.tools.items()
                if self._gateway not in tool.via
            }
            for name, given in names_within(relay.remote.name, tools, taken).items():
                made[given] = RemoteTool.of(relay, tools[name], given)
        self._tools = made
        self._resources = {
            str(each.uri): each for relay in self._relays for each in resources_of(relay)
        }
        self._templates = [each for relay in self._relays for each in templates_of(relay)]
        self._prompts = {each.name: each for relay in self._relays for each in prompts_of(relay)}
        self._seen = seen

    async def _known(self, relays: Iterable[Relay]) -> None:
        """Wait, for a short time, until the servers have been asked once."""
        async with anyio.create_task_group() as tasks:
            for relay in relays:
                tasks.start_soon(relay.watch.known)
        names = frozenset(folded(tool.name) for tool in await self._added.list_tools())
        if names != self._added_names:
            self._added_names = names
        self._look()

    def _named_by(self, name: str) -> list[Relay]:
        """Return the servers whose a name can be."""
        return [relay for relay in self._relays if name.startswith(relay.remote.name)]

    async def get_tasks(self) -> Sequence[FastMCPComponent]:
        """Return nothing: calls of other servers are no background tasks of FastMCP's."""
        return []

    async def _list_tools(self) -> Sequence[Tool]:
        await self._known(self._relays)
        return [*self._tools.values()]

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        if name not in self._tools:
            await self._known(self._named_by(name))
        elif await self._added.get_tool(name) is not None:
            return None
        return _of_version(self.tools().get(name), version)

    async def _list_resources(self) -> Sequence[Resource]:
        await self._known(self._relays)
        taken = {str(resource.uri) for resource in await self._added.list_resources()}
        return [resource for uri, resource in self._resources.items() if uri not in taken]

    async def _get_resource(self, uri: str, version: VersionSpec | None = None) -> Resource | None:
        await self._known(self._relays)
        if await self._is_added(uri):
            return None
        return _of_version(self._resources.get(uri), version)

    async def _is_added(self, uri: str) -> bool:
        """Whether the server's user has added something at an address."""
        added = self._added
        resource = await added.get_resource(uri)
        return resource is not None or await added.get_resource_template(uri) is not None

    async def _list_resource_templates(self) -> Sequence[ResourceTemplate]:
        await self._known(self._relays)
        taken = {each.uri_template for each in await self._added.list_resource_templates()}
        return [each for each in self._templates if each.uri_template not in taken]

    async def _get_resource_template(
        self, uri: str, version: VersionSpec | None = None
    ) -> ResourceTemplate | None:
        await self._known(self._relays)
        if len(uri) > 2 * LONGEST_URI or await self._is_added(uri):
            return None
        found = (each for each in self._templates if each.matches(uri) is not None)
        return _of_version(next(found, None), version)

    async def _list_prompts(self) -> Sequence[Prompt]:
        await self._known(self._relays)
        taken = {prompt.name for prompt in await self._added.list_prompts()}
        return [prompt for name, prompt in self._prompts.items() if name not in taken]

    async def _get_prompt(self, name: str, version: VersionSpec | None = None) -> Prompt | None:
        if name not in self._prompts:
            await self._known(self._named_by(name))
        if await self._added.get_prompt(name) is not None:
            return None
        return _of_version(self._prompts.get(name), version)


def _of_version(found: Component | None, version: VersionSpec | None) -> Component | None:
    return found if version is None or (found and version.matches(found.version)) else None
