"""Other MCP servers as a source of tools, resources and prompts."""

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
from mcp.server.lowlevel import Server

from mcp_mount.remotes.binding import RemoteBinding
from mcp_mount.remotes.changes import ListChanges
from mcp_mount.remotes.completing import complete_with_remotes
from mcp_mount.remotes.failures import ServerErrorMiddleware
from mcp_mount.remotes.merged import Merged, bind
from mcp_mount.remotes.names import ToolNames
from mcp_mount.remotes.remote import Remote, RemoteState, check_names_apart
from mcp_mount.remotes.resources import (
    RemotePrompt,
    RemoteResource,
    RemoteTemplate,
    unlisted_resource,
)
from mcp_mount.remotes.tool import RemoteTool
from mcp_mount.tools.binding import CallPolicy
from mcp_mount.tools.naming import fold_name
from mcp_mount.tools.uris import is_soon_matched
from mcp_mount.turns import Turns

Component = TypeVar("Component", RemoteTool, Resource, ResourceTemplate, Prompt)
Offered = TypeVar("Offered", bound=RemoteResource | RemoteTemplate | RemotePrompt)


class RemoteProvider(Provider):
    """What other servers offer."""

    def __init__(
        self,
        remotes: Sequence[Remote],
        policy: CallPolicy,
        ours: Callable[[], Mapping[str, object]],
        names: ToolNames,
    ) -> None:
        """Take the servers, what their calls are subject to, what returns our own tools, and names.

        Raises:
            MountError: the servers' names can be taken for each other.
        """
        super().__init__()
        check_names_apart([each.name for each in remotes])
        self._names = names
        gateway = secrets.token_hex(8)
        self._bindings = [bind(each, policy, gateway, self._tell) for each in remotes]
        self._offered = Merged(self._bindings, ours, names)
        self._changes = ListChanges(policy.callers)
        self._told = self._lists()
        self._server: FastMCP[Any] | None = None
        self._others: tuple[Provider, ...] = (self,)
        self._added_names: frozenset[str] = frozenset()
        self._merged: tuple[object, object, Mapping[str, Tool]] = (None, None, {})

    def attach(
        self, server: FastMCP[Any], low_level: Server[Any], *, known: Iterable[Provider]
    ) -> None:
        """Learn which server these are offered on: no name that its user takes is given.

        What `known` have is ours.
        """
        self._server, self._others = server, (self, *known)
        server.add_middleware(ServerErrorMiddleware())
        self._changes.offer(low_level)
        complete_with_remotes(server)

    @property
    def _added(self) -> Provider:
        """What the server's user has added until now."""
        return self._without(self._others)

    @property
    def _ours(self) -> Provider:
        """What is no other server's: our operations, and what the server's user has added."""
        return self._without((self,))

    def _without(self, others: Sequence[Provider]) -> Provider:
        providers = self._server.providers if self._server is not None else ()
        return AggregateProvider([each for each in providers if each not in others])

    @property
    def states(self) -> dict[str, RemoteState]:
        """How each server is, by its name."""
        return {each.remote.name: each.monitor.standing.state for each in self._bindings}

    @asynccontextmanager
    async def monitoring(self) -> AsyncIterator[None]:
        """Stay in touch with the servers; programs among them run as long."""
        with self._changes.telling():
            async with anyio.create_task_group() as tasks:
                for each in self._bindings:
                    tasks.start_soon(each.monitor.run)
                try:
                    yield
                finally:
                    tasks.cancel_scope.cancel()

    def _tell(self) -> None:
        """Tell clients what there is to list anew, if there is something."""
        was, self._told = self._told, self._lists()
        tools, *resources, prompts = (
            now != before for now, before in zip(self._told, was, strict=True)
        )
        self._changes.tell(tools=tools, resources=any(resources), prompts=prompts)
        self._update()
        self._names.warn_of_unmatched(self.unknown())

    def unknown(self) -> list[str]:
        """Return the names of the servers that have not told what they offer."""
        return [each.remote.name for each in self._bindings if not each.monitor.is_up]

    def _lists(self) -> tuple[list[bytes], ...]:
        """Return what stands for the tools, resources, templates and prompts that are listed."""
        lists = [each.monitor.offer.catalog.lists for each in self._bindings if each.monitor.is_up]
        return tuple([each.digests[kind] for each in lists] for kind in range(4))

    def tools(self) -> Mapping[str, RemoteTool]:
        """Return the tools by name, as far as they are known; also of servers that are down."""
        self._update()
        return self._offered.tools

    async def merged_with(self, ours: Mapping[str, Tool]) -> Mapping[str, Tool] | None:
        """Return all tools, the same mapping as long as nothing changes.

        None where changes are not noticed: then the servers are to be asked.
        """
        if not all(each.monitor.is_watched for each in self._bindings):
            return None
        await self._wait_until_known(self._bindings)
        self._update()
        theirs = self._offered.listed
        if not (self._merged[0] is ours and self._merged[1] is theirs):
            self._merged = (ours, theirs, {**ours, **theirs})
        return self._merged[2]

    def scopes(self, name: str) -> Sequence[frozenset[str]]:
        """Return the alternatives of scopes that a tool asks for; none if it is unknown."""
        tool = self.tools().get(name)
        return tool.scopes if tool is not None else ()

    def _update(self) -> None:
        self._offered.update(self._added_names)

    async def _wait_until_known(self, bindings: Iterable[RemoteBinding]) -> None:
        """Wait, for a short time, until the servers have been asked once."""
        async with anyio.create_task_group() as tasks:
            for each in bindings:
                tasks.start_soon(each.monitor.wait_until_known)
        names = frozenset(fold_name(tool.name) for tool in await self._added.list_tools())
        if names != self._added_names:
            self._added_names = names
        self._update()

    def _find_owners(self, name: str) -> list[RemoteBinding]:
        """Return the servers that could have something of this name."""
        return [each for each in self._bindings if name.startswith(each.remote.name)]

    async def get_tasks(self) -> Sequence[FastMCPComponent]:
        """Return nothing: calls of other servers are no background tasks of FastMCP's."""
        return []

    async def _list_tools(self) -> Sequence[Tool]:
        await self._wait_until_known(self._bindings)
        return [*self._offered.listed.values()]

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        if name not in self._offered.listed:
            await self._wait_until_known(self._find_owners(name))
        elif await self._added.get_tool(name) is not None:
            return None
        return _match_version(self.tools().get(name), version)

    async def _list_resources(self) -> Sequence[Resource]:
        await self._wait_until_known(self._bindings)
        ours = self._ours
        taken = {str(resource.uri) for resource in await ours.list_resources()}
        templates = await ours.list_resource_templates()
        expressions = [each.uri_template for each in templates]
        return [
            each
            async for uri, each in _only_up(self._offered.resources.items())
            if uri not in taken
            and is_soon_matched(expressions, uri)
            and not any(own.matches(uri) is not None for own in templates)
        ]

    async def _get_resource(self, uri: str, version: VersionSpec | None = None) -> Resource | None:
        await self._wait_until_known(self._bindings)
        if await self._is_ours(uri):
            return None
        resource = self._offered.resources.get(uri)
        if resource is None and await self._offered.find_template(uri) is None:
            owned = (unlisted_resource(uri, each) for each in self._bindings)
            resource = next((each for each in owned if each is not None), None)
        return _match_version(resource, version)

    async def _is_ours(self, uri: str) -> bool:
        """Whether an address leads to something of ours: another server has no part in it."""
        ours = self._ours
        resource = await ours.get_resource(uri)
        return resource is not None or await ours.get_resource_template(uri) is not None

    async def _list_resource_templates(self) -> Sequence[ResourceTemplate]:
        await self._wait_until_known(self._bindings)
        taken = {each.uri_template for each in await self._ours.list_resource_templates()}
        templates = ((each.uri_template, each) for each in self._offered.templates)
        return [each async for uri, each in _only_up(templates) if uri not in taken]

    async def _get_resource_template(
        self, uri: str, version: VersionSpec | None = None
    ) -> ResourceTemplate | None:
        await self._wait_until_known(self._bindings)
        if await self._is_ours(uri):
            return None
        return _match_version(await self._offered.find_template(uri), version)

    async def _list_prompts(self) -> Sequence[Prompt]:
        await self._wait_until_known(self._bindings)
        taken = {prompt.name for prompt in await self._added.list_prompts()}
        known = self._offered.prompts.items()
        return [each async for name, each in _only_up(known) if name not in taken]

    async def _get_prompt(self, name: str, version: VersionSpec | None = None) -> Prompt | None:
        if name not in self._offered.prompts:
            await self._wait_until_known(self._find_owners(name))
        if await self._added.get_prompt(name) is not None:
            return None
        return _match_version(self._offered.prompts.get(name), version)


async def _only_up(known: Iterable[tuple[str, Offered]]) -> AsyncIterator[tuple[str, Offered]]:
    """Yield what belongs to servers that are up, while others have their turns."""
    turns = Turns()
    # What is offered may change meanwhile.
    for name, each in [*known]:
        await turns.take()
        if each.binding.monitor.is_up:
            yield name, each


def _match_version(found: Component | None, version: VersionSpec | None) -> Component | None:
    return found if version is None or (found and version.matches(found.version)) else None
