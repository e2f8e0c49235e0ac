"""The operations of an OpenAPI document, as a provider of FastMCP tools and resources.

* The tools follow the document, and are built anew only when it changes.
* One mapping is both what is listed and what can be called.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from fastmcp.resources import Resource, ResourceTemplate
from fastmcp.server.providers import Provider
from fastmcp.tools import Tool
from fastmcp.utilities.versions import VersionSpec

from mcp_mount.access.auth import granted_scopes, scopes_to_request
from mcp_mount.backends.backend import Backend
from mcp_mount.openapi.growth import extends
from mcp_mount.openapi.operations import Operation, read_operations, read_tag_descriptions
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools.binding import CallPolicy, ToolBinding
from mcp_mount.tools.following import Following
from mcp_mount.tools.marks import Selector, ToolMarks, read_marks, warn_of_unbounded
from mcp_mount.tools.resources import (
    OperationResource,
    OperationTemplate,
    check_addresses,
    make_resources,
)
from mcp_mount.tools.selection import LeftOut, SelectedOperation, explain_left_out, select
from mcp_mount.tools.tool import OperationTool

logger = logging.getLogger("mcp_mount")
_SHOWN: Final = 10
"""Operations that one line of the log names."""


class OperationProvider(Provider):
    """The operations of an OpenAPI document as tools.

    Whatever asks for them raises a `MountError` where a mark, a selector or two names do not fit.
    """

    def __init__(
        self,
        document: Callable[[], Mapping[str, Any]],
        backend: Backend,
        *,
        include: Sequence[Selector] = (),
        exclude: Sequence[Selector] = (),
        fields: Sequence[Selector] = (),
        resources: Sequence[Selector] = (),
        marks: ToolMarks | None = None,
        name: str = "",
        credentials: Iterable[tuple[str, str]] = (),
        changes: Callable[[], object] = lambda: None,
        watch: Callable[[], object] = lambda: None,
        policy: CallPolicy,
        trusts_marks: bool = True,
        adapt: Callable[[Sequence[SelectedOperation]], Sequence[SelectedOperation]] = lambda _: _,
    ) -> None:
        """Take where the document comes from, which operations to offer, and how to call them.

        `marks` is what ``tools=`` says, `name` the server's, for the addresses of resources, and
        `credentials` are parameters that are never arguments. `changes` and `watch` are as for
        `Following`. `trusts_marks` tells that the document is the app's own: its marks go before
        the policy. `adapt` may offer operations under other names.
        """
        super().__init__()
        self._backend = backend
        said = read_marks(marks or {})
        self._select = partial(
            select,
            include=include,
            exclude=exclude,
            fields=fields,
            resources=resources,
            marks=said,
            within=None if trusts_marks else policy.limits,
        )
        self._trusts_marks = trusts_marks
        self._explain = partial(explain_left_out, include=include, marks=said)
        self._name = name
        self._credentials = frozenset(credentials)
        self._policy = policy
        self._adapt = adapt
        self._changes = changes
        self._following = Following(document, changes, watch, self._take)
        self._tools: dict[str, OperationTool] = {}
        self._resources: tuple[OperationResource | OperationTemplate, ...] = ()
        self._built: dict[str, tuple[SelectedOperation, OperationTool]] = {}
        self._offered: dict[tuple[str, str], ToolBinding] = {}
        self._operations: Sequence[Operation] = ()
        self._left_out: Sequence[LeftOut] | None = None
        self.tag_descriptions: Mapping[str, str] = {}

    async def refresh(self, *, anew: bool = False) -> None:
        """Read the document in a thread where that may take long; see `Following`."""
        await self._following.refresh(anew=anew)

    def tools(self) -> Mapping[str, OperationTool]:
        """Return the tools by name, as the document says now."""
        self._following.read(self._changes())
        return self._tools

    def find(self, name: str) -> OperationTool | None:
        """Return a tool by name, or None.

        A document that the app writes itself is read again only when routes have been added, and
        for a name that it did not have: the app may write it anew each time.
        """
        routes = self._changes()
        if routes is None or routes is not self._following.routes or name not in self._tools:
            self._following.read(routes)
        return self._tools.get(name)

    def _take(self, document: Mapping[str, Any]) -> None:
        self._tools = self._build(document)
        self.tag_descriptions = read_tag_descriptions(document)
        bindings = (tool.binding for tool in self._tools.values())
        self._offered = {(each.operation.method, each.operation.path): each for each in bindings}

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Keep what calls need while the server runs."""
        async with self._backend.connected():
            yield

    def scopes(self, name: str) -> Sequence[frozenset[str]]:
        """Return the alternatives of scopes that the tool asks for; none if it is unknown."""
        tool = self.find(name)
        return tool.binding.operation.scopes if tool is not None else ()

    def credentials(self) -> frozenset[tuple[str, str]]:
        """Return where the document's security schemes look for keys; see `Operation`."""
        routes = self._changes()
        if routes is None or routes is not self._following.routes:
            self._following.read(routes)
        # Operations that are resources only have the same.
        tool = next((tool for _, tool in self._built.values()), None)
        return tool.binding.operation.credentials if tool is not None else frozenset()

    @property
    def routes(self) -> object:
        """What stands for the routes as they were when the tools were last asked for."""
        following = self._following
        return following.document if following.routes is None else following.routes

    def may_lead_to(self, method: str, template: str) -> bool:
        """Whether the caller may be led to an operation that is a tool.

        It needs no scope that the caller lacks, no question to be asked first, and no slot but
        the one that the call has.
        """
        binding = self._offered.get((method, template))
        if binding is None or binding.needs_confirmation or binding.has_own_slots:
            # Who is to be asked or counted first is not led there by a redirect.
            return False
        return not scopes_to_request(binding.operation.scopes, granted_scopes.get())

    def left_out(self) -> Sequence[LeftOut]:
        """Return the document's operations that are not offered, and why."""
        self.tools()
        if self._left_out is None:
            chosen = [each.operation for each, _ in self._built.values()]
            self._left_out = [*self._explain(self._operations, chosen)]
        return self._left_out

    @property
    def listed(self) -> Mapping[str, OperationTool]:
        """The tools as they were when last asked for."""
        return self._tools

    def _build(self, document: Mapping[str, Any]) -> dict[str, OperationTool]:
        schemas = Schemas(document)
        operations = read_operations(document, self._credentials)
        selected = self._select(operations)
        self._operations, self._left_out = operations, None
        if not self._trusts_marks:
            warn_of_unbounded(operations, self._policy.limits)
        before = self._built if extends(document, self._following.document) else {}
        built: dict[str, tuple[SelectedOperation, OperationTool]] = {}
        cut: list[str] = []
        for each in self._adapt(selected):
            unfinished = schemas.work.unfinished
            known, tool = before.get(each.name, (None, None))
            if tool is None or known != each:
                tool = OperationTool.from_operation(each, schemas, self._backend, self._policy)
            built[each.name] = (each, tool)
            cut += [str(each.operation)] if schemas.work.unfinished > unfinished else []
        if cut:
            logger.warning(
                "Parts of the schemas of %d operations accept anything, for they are too much: %s",
                *(len(cut), ", ".join(cut[:_SHOWN])),
            )
        resources = tuple(
            resource
            for each, tool in built.values()
            if each.resource is not None
            for resource in make_resources(tool, each.resource, self._name)
        )
        check_addresses(resources)
        self._built, self._resources = built, resources
        return {name: tool for name, (each, tool) in built.items() if each.is_tool}

    async def _list_tools(self) -> Sequence[Tool]:
        await self.refresh(anew=True)
        return [*self.tools().values()]

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        tool = self.find(name)
        return tool if version is None or (tool and version.matches(tool.version)) else None

    def resources(self) -> tuple[OperationResource | OperationTemplate, ...]:
        """Return the resources and templates, as the document says now."""
        self.tools()
        return self._resources

    def find_resource(self, uri: str) -> OperationResource | OperationTemplate | None:
        """Return what an address leads to: a resource goes before a template."""
        known = self.resources()
        plain = (each for each in known if isinstance(each, OperationResource))
        many = (each for each in known if isinstance(each, OperationTemplate))
        found = next((each for each in plain if str(each.uri) == uri), None)
        return found or next((each for each in many if each.matches(uri) is not None), None)

    async def _list_resources(self) -> Sequence[Resource]:
        await self.refresh(anew=True)
        return [each for each in self.resources() if isinstance(each, OperationResource)]

    async def _list_resource_templates(self) -> Sequence[ResourceTemplate]:
        await self.refresh(anew=True)
        return [each for each in self.resources() if isinstance(each, OperationTemplate)]

    async def _get_resource(
        self, uri: str, version: VersionSpec | None = None
    ) -> OperationResource | None:
        found = self.find_resource(uri) if version is None else None
        return found if isinstance(found, OperationResource) else None

    async def _get_resource_template(
        self, uri: str, version: VersionSpec | None = None
    ) -> OperationTemplate | None:
        found = self.find_resource(uri) if version is None else None
        return found if isinstance(found, OperationTemplate) else None
