"""Which tools a client is shown: all of them, or a few with which it finds and calls the others."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any, Final, Literal, get_args

import anyio
from fastmcp import FastMCP
from fastmcp.tools import Tool
from starlette.datastructures import QueryParams
from starlette.types import Scope

from mcp_mount.access.auth import granted_scopes
from mcp_mount.backends.request import request_context
from mcp_mount.errors import InvalidSelector
from mcp_mount.loops import PerLoop, make_in_thread
from mcp_mount.near import near_names
from mcp_mount.search.ranker import Ranker
from mcp_mount.search.snapshot import Alternatives, Snapshot, View
from mcp_mount.tools.marks import Selector, ToolOverrides
from mcp_mount.tools.selection import SelectedOperation, matches
from mcp_mount.tools.tool import OperationTool

logger = logging.getLogger("mcp_mount")

SurfaceChoice = Literal["tools", "search", "auto"]
SURFACES: Final = frozenset(get_args(SurfaceChoice))

MANY_TOOLS: Final = 60
"""Tools from which on ``"auto"`` has them searched."""
_LONGEST_NAME: Final = 100
_LONGEST_ECHO: Final = 64


class UnknownSurface(Exception):
    """A client asks to be shown what there is not."""


def asked_surface(scope: Scope) -> str | None:
    """Return what a client asks to be shown with its URL, ``"/mcp?surface=search"``.

    Raises:
        UnknownSurface: the message is for the client.
    """
    if b"surface" not in scope["query_string"]:
        return None
    surface = QueryParams(scope["query_string"]).get("surface")
    if surface is not None and surface not in SURFACES:
        raise UnknownSurface(
            f"surface={surface[:_LONGEST_ECHO]!r} is not known: it is tools, search or auto."
        )
    return surface


is_asking_for_others: ContextVar[bool] = ContextVar("mcp_mount_is_asking", default=False)
"""Whether the tools are asked for that can be found, to which those of the search do not belong."""


@contextmanager
def asking_for_others() -> Iterator[None]:
    """Ask a server for its tools without those of the search, which are made from the others."""
    token = is_asking_for_others.set(True)
    try:
        yield
    finally:
        is_asking_for_others.reset(token)


class Surface:
    """What is shown of the tools of one server."""

    def __init__(self, choice: SurfaceChoice, pinned: Sequence[Selector]) -> None:
        self.choice = choice
        self.pinned = pinned
        self._lock = PerLoop(anyio.Lock)
        self._seen: tuple[object, ...] = ()
        self._has_warned = False
        self._snapshot = Snapshot({}, {}, {}, is_plain=True)

    def serve(
        self,
        server: FastMCP[Any],
        *,
        offered: Callable[[], Awaitable[Mapping[str, Tool] | None]],
        scopes: Callable[[str], Alternatives],
        tag_descriptions: Callable[[], Mapping[str, str]],
        is_plain: Callable[[], bool],
        unknown: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """Take the server whose tools these are.

        Args:
            server: Has the tools that users add.
            offered: Returns the other tools by name; None where only FastMCP can find out.
            scopes: Returns the alternatives of scopes that a tool asks for.
            tag_descriptions: Returns what the document says of its tags.
            is_plain: Whether nothing that users added to the server changes what it lists.
            unknown: Returns the servers that may offer their tools later; None: there are none.
        """
        self._server = server
        self._offered = offered
        self._scopes = scopes
        self._tag_descriptions = tag_descriptions
        self._is_plain = is_plain
        self._unknown = unknown

    @property
    def server(self) -> FastMCP[Any]:
        """The server whose tools these are."""
        return self._server

    async def check(self) -> None:
        """Refuse a selector of `pinned=` that matches no tool, as far as they are all known.

        Raises:
            InvalidSelector: there is one; the message names near matches.
        """
        if self._unknown is not None:
            # Nothing waits for them at the start; see `_warn_of_unmatched`.
            return
        snapshot = await self.snapshot()
        if unmatched := self._unmatched(snapshot.tools):
            raise InvalidSelector(unmatched[0])

    def _warn_of_unmatched(self, tools: Mapping[str, Tool]) -> None:
        """Tell the log, once, of selectors that match no tool of any server."""
        if self._unknown is None or self._has_warned or self._unknown():
            return
        self._has_warned = True
        for line in self._unmatched(tools):
            logger.warning("%s", line)

    def _unmatched(self, tools: Mapping[str, Tool]) -> list[str]:
        """Return what to say of the selectors of `pinned=` that match no tool."""
        lines = []
        for selector in self.pinned:
            if not any(is_match(tool, selector) for tool in tools.values()):
                near = near_names(str(selector), tools, n=3, cutoff=0.5)
                hint = f"Near matches: {', '.join(map(repr, near))}." if near else "None is near."
                lines.append(f"pinned= has {selector!r}, which matches no tool. {hint}")
        return lines

    async def is_search(self) -> bool:
        """Whether the current caller is shown the tools of the search instead of all."""
        ctx = request_context.get()
        choice = ctx.surface if ctx is not None and ctx.surface is not None else self.choice
        if choice != "auto":
            return choice == "search"
        return len((await self.snapshot()).tools) >= MANY_TOOLS

    async def snapshot(self) -> Snapshot:
        """Return the tools as they are now; the same snapshot as long as nothing changes."""
        own = await self._server.local_provider.list_tools()
        offered = await self._offered() if self._is_plain() else None
        if offered is not None:
            # A tool that users add stands in the place of another of its name.
            seen: tuple[object, ...] = (offered, *own)
            if [*map(id, seen)] == [*map(id, self._seen)]:
                return self._snapshot
            tools = {tool.name: tool for tool in reversed([*own, *offered.values()])}
            tools = dict(reversed(tools.items()))
        else:
            # What the providers offer after the transforms, whoever asks.
            with asking_for_others():
                listed = await super(FastMCP, self._server).list_tools()
            tools = {tool.name: tool for tool in reversed(listed)}
            tools = dict(reversed(tools.items()))
            seen = tuple(map(_identify, tools.values()))
            if seen == self._seen:
                return self._snapshot
        self._warn_of_unmatched(tools)
        users = {tool.name for tool in own}
        guards = {name: self._guard(each) for name, each in tools.items() if name not in users}
        if self.choice == "auto" and len(tools) >= MANY_TOOLS > len(self._snapshot.tools):
            logger.info("%d tools: with surface='auto', clients search them.", len(tools))
        self._seen = seen
        self._snapshot = Snapshot(
            tools=tools,
            guards={name: guard for name, guard in guards.items() if guard},
            users=frozenset(users),
            tag_descriptions=self._tag_descriptions(),
            is_plain=offered is not None,
            pinned=frozenset(
                name for name in tools if any(is_match(tools[name], each) for each in self.pinned)
            ),
        )
        return self._snapshot

    def _guard(self, tool: Tool) -> Alternatives:
        # By name each would be looked for in the document, which takes as long as there are routes.
        known: Alternatives | None = getattr(tool, "scopes", None)
        return self._scopes(tool.name) if known is None else known

    async def ranker(self, snapshot: Snapshot) -> Ranker:
        """Return the index of a snapshot; it is made in a thread, once."""
        if snapshot.has_ranker:
            return snapshot.ranker
        async with self._lock.get():
            # Who comes while it is made waits for that.
            return await make_in_thread(lambda: snapshot.ranker)

    async def view(self, snapshot: Snapshot) -> View:
        """Return what of a snapshot the current caller may find."""
        if not snapshot.is_plain:
            with asking_for_others():
                listed = await self._server.list_tools(run_middleware=False)
            shown = {tool.name for tool in listed}
            return snapshot.view(frozenset(), frozenset(snapshot.tools.keys() - shown))
        refused = snapshot.refused(granted_scopes.get())
        guarded = [name for name in snapshot.users if snapshot.tools[name].auth is not None]
        hidden = [name for name in guarded if await self._server.get_tool(name) is None]
        return snapshot.view(refused, frozenset(hidden))

    async def near_listed(self, name: str) -> list[str]:
        """Return up to three tools that the current caller would list, by their names alone."""
        snapshot = await self.snapshot()
        if not snapshot.is_plain:
            # With the scopes and the middleware.
            return near_names(name, [tool.name for tool in await self._server.list_tools()])
        names = (await self.view(snapshot)).names
        near = near_names(name, [each for each in snapshot.tools if each in names])
        # A session may hide some of them.
        return [each for each in near if await self._server.get_tool(each) is not None]

    async def near(self, name: str) -> list[str]:
        """Return up to three tools that the current caller may mean by a name that is none."""
        snapshot = await self.snapshot()
        shown = (await self.view(snapshot)).names
        ranker = await self.ranker(snapshot)
        found = islice(ranker.search(name[:_LONGEST_NAME], shown.__contains__), 3)
        return [match.name for match in found]


def is_match(tool: Tool, selector: Selector) -> bool:
    """Whether a selector matches a tool; one that is no operation's is known by its name alone."""
    if isinstance(tool, OperationTool):
        offer = SelectedOperation(tool.name, tool.binding.operation, ToolOverrides())
        return matches(offer, selector)
    return not callable(selector) and fnmatchcase(tool.name, selector)


def _identify(tool: Tool) -> object:
    """Return what a tool is found by: transforms make it anew for each list."""
    return (
        tool.name,
        tool.title,
        tool.description,
        *sorted(tool.tags),
        *tool.parameters.get("properties", {}),
    )
