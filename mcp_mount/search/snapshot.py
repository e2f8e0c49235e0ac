"""The tools of a server as they are at one time: what can be found, and who may find it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import nsmallest
from itertools import islice
from typing import Final

from fastmcp.tools import Tool
from mcp_types import ToolAnnotations

from mcp_mount.access.auth import Scopes, scopes_to_request
from mcp_mount.search.ranker import Ranker
from mcp_mount.search.reading import is_read_only, read_entry
from mcp_mount.tools.naming import fold_name

NAMES: Final = ("search_tools", "describe_tool", "call_read_tool", "call_tool")
_PREFIX: Final = "api_"
_MOST_VIEWS: Final = 64
_MOST_TAGS: Final = 1_000
_MOST_TAGS_OF_TOOL: Final = 20
_LONGEST_TAG: Final = 200

Alternatives = Sequence[Scopes]
Guard = tuple[Scopes, ...]
"""The alternatives of scopes of some tools, of which a caller needs one."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the tools of the search are called; prefixed where another tool has such a name."""

    search: str
    describe: str
    call_read: str
    call: str

    @classmethod
    def beside(cls, others: Iterable[str]) -> "Names":
        """Return names that none of the others has, as clients tell names apart."""
        taken = {*map(fold_name, others)}
        prefix = ""
        while any(f"{prefix}{name}" in taken for name in NAMES):
            prefix += _PREFIX
        return cls(*(f"{prefix}{name}" for name in NAMES))


@dataclass(frozen=True, slots=True)
class View:
    """What one caller may find: the names of tools, and the count of each of their tags.

    The tags stand in the order of their counts, the largest first.
    """

    names: frozenset[str]
    tags: Mapping[str, int]


@dataclass
class Snapshot:
    """The tools by name; another snapshot is made when they change.

    Attributes:
        guards: The alternatives of scopes of those that ask for any.
        tag_descriptions: What the document says of its tags.
        is_plain: False where only FastMCP can tell who may see what.
        users: The names of those that the server's user added; only FastMCP can tell who sees them.
        pinned: The names of those that are listed beside the search.
    """

    tools: Mapping[str, Tool]
    guards: Mapping[str, Alternatives]
    tag_descriptions: Mapping[str, str]
    is_plain: bool
    users: frozenset[str] = frozenset()
    pinned: frozenset[str] = frozenset()
    _views: dict[tuple[frozenset[Guard], frozenset[str]], View] = field(default_factory=dict)

    @cached_property
    def names(self) -> Names:
        """What the tools of the search are called."""
        return Names.beside(self.tools)

    @cached_property
    def has_reads(self) -> bool:
        """Whether any tool says that it changes nothing."""
        return any(map(is_read_only, self.tools.values()))

    @cached_property
    def has_writes(self) -> bool:
        """Whether any tool may change something."""
        return not all(map(is_read_only, self.tools.values()))

    def caller_of(self, tool: Tool) -> str:
        """Return the name of what calls a tool."""
        both = self.has_reads and self.has_writes
        return self.names.call_read if both and is_read_only(tool) else self.names.call

    def hints(self, *, reads_only: bool) -> ToolAnnotations:
        """Return what is true of all tools, or of those alone that change nothing."""
        each = [tool.annotations for tool in self.tools.values()]
        if reads_only:
            each = [hints for hints in each if hints is not None and hints.read_only_hint]
        # What says nothing of itself may do anything (MCP "Tools", "ToolAnnotations").
        return ToolAnnotations(
            read_only_hint=reads_only,
            destructive_hint=not reads_only
            and any(hints is None or hints.destructive_hint is not False for hints in each),
            idempotent_hint=reads_only,
            open_world_hint=any(
                hints is None or hints.open_world_hint is not False for hints in each
            ),
        )

    @cached_property
    def ranker(self) -> Ranker:
        """The index of the tools; to make one of a thousand is for a thread to do."""
        return Ranker(read_entry(each, self.tag_descriptions) for each in self.tools.values())

    @property
    def has_ranker(self) -> bool:
        """Whether the index is made."""
        return "ranker" in vars(self)

    def refused(self, granted: Scopes | None) -> frozenset[Guard]:
        """Return which of the guards refuse a caller of these scopes."""
        return frozenset(guard for guard in self._distinct if scopes_to_request(guard, granted))

    @cached_property
    def _distinct(self) -> frozenset[Guard]:
        return frozenset(map(tuple, self.guards.values()))

    def view(self, refused: frozenset[Guard], hidden: frozenset[str]) -> View:
        """Return what may be found by who is refused at some guards, without some hidden tools."""
        key = refused, hidden
        if key not in self._views:
            if len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            names = frozenset(
                name
                for name in self.tools.keys() - hidden
                if not refused or tuple(self.guards.get(name, ())) not in refused
            )
            # A document may have hundreds of thousands, which are made and written on the loop.
            counts = Counter(
                tag
                for name in names
                for tag in islice(self.tools[name].tags, _MOST_TAGS_OF_TOOL)
                if len(tag) <= _LONGEST_TAG
            )
            tags = dict(nsmallest(_MOST_TAGS, counts.items(), lambda each: (-each[1], each[0])))
            self._views[key] = View(names, tags)
        return self._views[key]
