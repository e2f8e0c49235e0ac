"""A tool as the rules see it: as clients get it, and the operation behind it where known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcp_mount.openapi.operations import Operation

if TYPE_CHECKING:
    from fastmcp import FastMCP

    from mcp_mount.tools.provider import OperationProvider
    from mcp_mount.tools.tool import OperationTool


@dataclass(frozen=True, slots=True)
class Subject:
    """One tool of a list.

    `tool` is what ``tools/list`` says of it. `operation` is None where only that is known: a tool
    of a server elsewhere, or one that somebody wrote by hand. `silenced` are the ids of the rules
    that do not apply to it.
    """

    tool: Mapping[str, Any]
    operation: Operation | None = None
    silenced: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Its name, e.g. ``"get_part"``."""
        return str(self.tool["name"])

    @property
    def description(self) -> str:
        """What a model reads of it."""
        return str(self.tool.get("description") or "").strip()

    @property
    def input(self) -> Mapping[str, Any]:
        """The schema of its arguments."""
        return self.tool.get("inputSchema") or {}

    @property
    def output(self) -> Mapping[str, Any]:
        """The schema of its answer; empty where it has none."""
        return self.tool.get("outputSchema") or {}

    @property
    def arguments(self) -> Mapping[str, Mapping[str, Any]]:
        """The schemas of its arguments by name."""
        properties = self.input.get("properties")
        if not isinstance(properties, Mapping):
            return {}
        return {k: each if isinstance(each, Mapping) else {} for k, each in properties.items()}

    @property
    def required(self) -> Sequence[Any]:
        """The names of the arguments that it needs."""
        names = self.input.get("required")
        return names if isinstance(names, list) else ()

    @property
    def hints(self) -> Mapping[str, Any]:
        """Its annotations, e.g. ``{"readOnlyHint": True}``."""
        return self.tool.get("annotations") or {}

    @property
    def size(self) -> int:
        """The bytes that it takes of a list."""
        text = json.dumps(self.tool, ensure_ascii=False, separators=(",", ":"))
        return len(text.encode("utf-8", "surrogatepass"))


async def known_operations(
    server: "FastMCP[Any]", provider: "OperationProvider"
) -> Mapping[str, "OperationTool"]:
    """Return the tools of operations, but those in whose place somebody has put another."""
    own = {tool.name for tool in await server.local_provider.list_tools()}
    return {name: tool for name, tool in provider.tools().items() if name not in own}


def subject_of(tool: Mapping[str, Any], known: "OperationTool | None") -> Subject:
    """Return a tool as it is listed, and what is known of its operation."""
    if known is None:
        return Subject(tool)
    return Subject(tool, known.binding.operation, frozenset(known.binding.silence))


def estimate_tokens(size: int) -> int:
    """Return about how many tokens of a model some bytes of JSON are: four bytes each."""
    return -(-size // 4)
