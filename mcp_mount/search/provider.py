"""The tools of the search, as a provider of FastMCP's."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from fastmcp.server.providers import Provider
from fastmcp.tools import Tool
from fastmcp.utilities.versions import VersionSpec
from mcp_types import ToolAnnotations

from mcp_mount.access.rates import CallRate
from mcp_mount.search.answering import MOST_FOUND, describe, search
from mcp_mount.search.answers import write_overview
from mcp_mount.search.snapshot import NAMES, Snapshot, View
from mcp_mount.search.surface import Surface, is_asking_for_others
from mcp_mount.search.tools import AnsweringTool, CallingTool, SurfaceTool
from mcp_mount.turns import Turns

_READS: Final = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_NAME: Final = {"type": "string"}


class SearchProvider(Provider):
    """Offers the tools of the search to who is shown them."""

    def __init__(self, surface: Surface, rate: CallRate | None) -> None:
        super().__init__()
        self.surface = surface
        self._rate = rate
        self._made: tuple[Snapshot, View, dict[str, SurfaceTool]] | None = None

    async def tools(self) -> dict[str, SurfaceTool]:
        """Return the tools that the current caller is shown, by name."""
        snapshot = await self.surface.snapshot()
        return self._tools(snapshot, await self.surface.view(snapshot))

    def _tools(self, snapshot: Snapshot, view: View) -> dict[str, SurfaceTool]:
        made = self._made
        if made is None or made[0] is not snapshot or made[1] is not view:
            tools = {tool.name: tool for tool in self._make(snapshot, view)}
            made = self._made = snapshot, view, tools
        return made[2]

    async def find(self, name: str) -> SurfaceTool | None:
        """Return a tool of the search by name, if the current caller is shown the search."""
        if not name.endswith(NAMES) or not await self.surface.is_search():
            return None
        # With thousands of tools, it takes a part of a millisecond to see whether they changed.
        await Turns(is_large=True).begin()
        return (await self.tools()).get(name)

    async def show(self, tools: Sequence[Tool]) -> Sequence[Tool]:
        """Return which of the tools that FastMCP lists the current caller is shown."""
        if is_asking_for_others.get() or not await self.surface.is_search():
            return tools
        pinned = (await self.surface.snapshot()).pinned
        ours = [tool for tool in tools if isinstance(tool, SurfaceTool)]
        return [*ours, *(tool for tool in tools if tool.name in pinned)]

    async def listed(self) -> list[Tool]:
        """Return what `show` would, where nothing on the server changes what is listed."""
        await Turns(is_large=True).begin()
        snapshot = await self.surface.snapshot()
        view = await self.surface.view(snapshot)
        names = view.names & snapshot.pinned
        pinned = [tool for name, tool in snapshot.tools.items() if name in names] if names else []
        return [*self._tools(snapshot, view).values(), *pinned]

    def _make(self, snapshot: Snapshot, view: View) -> Iterable[SurfaceTool]:
        names, surface = snapshot.names, self.surface
        overview = write_overview(view.tags)
        yield AnsweringTool.make(
            surface,
            search,
            self._rate,
            name=names.search,
            title="Search tools",
            description=(
                f"Find among {len(view.names)} tools by what is to be done, in plain English such "
                f"as 'delete a comment'. Then {names.describe} shows what a tool takes. Without a "
                f"query, a tag gives the names of its tools."
                + (f" Tags: {overview}." if overview else "")
            ),
            parameters=_schema(
                query={"type": "string", "description": "What is to be done."},
                tag={"type": "string", "description": "Only tools of this tag."},
                limit={"type": "integer", "minimum": 1, "maximum": MOST_FOUND, "default": 10},
            ),
            annotations=_READS,
        )
        yield AnsweringTool.make(
            surface,
            describe,
            self._rate,
            name=names.describe,
            title="Describe a tool",
            description="Show what a tool does, the schema of its arguments, and what calls it.",
            parameters=_schema("name", name=_NAME),
            annotations=_READS,
        )
        if snapshot.has_reads and snapshot.has_writes:
            yield self._caller(snapshot, names.call_read, reads_only=True)
        yield self._caller(snapshot, names.call, reads_only=not snapshot.has_writes)

    def _caller(self, snapshot: Snapshot, name: str, *, reads_only: bool) -> CallingTool:
        what = "a tool that only reads" if reads_only and snapshot.has_writes else "a tool"
        return CallingTool.make(
            self.surface,
            reads_only=reads_only,
            name=name,
            title=f"Call {what}",
            description=(
                f"Call {what}, by its name, with the arguments that {snapshot.names.describe} "
                "shows; the result is that tool's."
            ),
            parameters=_schema(
                "name",
                name=_NAME,
                arguments={"type": "object", "properties": {}, "additionalProperties": True},
            ),
            annotations=snapshot.hints(reads_only=reads_only),
        )

    async def _list_tools(self) -> Sequence[Tool]:
        if is_asking_for_others.get() or not await self.surface.is_search():
            return []
        return [*(await self.tools()).values()]

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        tool = None if is_asking_for_others.get() else await self.find(name)
        return tool if version is None or (tool and version.matches(tool.version)) else None


def _schema(*required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        **({"required": [*required]} if required else {}),
        "additionalProperties": False,
    }
