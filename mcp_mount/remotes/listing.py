"""What another server offers, asked for page by page."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types
from mcp.shared.exceptions import MCPError

from mcp_mount.remotes.connection import Session, TooLarge
from mcp_mount.remotes.foreign import MOST_TOOLS, ForeignTool

_MOST_PAGES: Final = 100
_MOST_BYTES: Final = 16 * 1024 * 1024
"""Of all pages but the last, whose size its message bounds."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a server says that it offers, and what of it is left out, as it is not of MCP."""

    tools: tuple[mcp_types.Tool, ...] = ()
    resources: tuple[mcp_types.Resource, ...] = ()
    templates: tuple[mcp_types.ResourceTemplate, ...] = ()
    prompts: tuple[mcp_types.Prompt, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contents:
    """What a server offers: tools by its own names, and the rest as it said it."""

    tools: Mapping[str, ForeignTool] = field(default_factory=dict)
    listed: Listed = Listed()

    def __str__(self) -> str:
        """Count it, e.g. ``"tools: 3, resources: 1, prompts: 0"``."""
        listed = self.listed
        resources = len(listed.resources) + len(listed.templates)
        return f"tools: {len(self.tools)}, resources: {resources}, prompts: {len(listed.prompts)}"


NOTHING: Final = Contents()


async def listed(session: Session) -> Listed:
    """Return all that a server lists, up to a bound.

    Raises:
        TooLarge: it is larger than any list should be.
        Exception: whatever the session raises.
    """
    session.left_out.clear()
    return Listed(
        tools=tuple(await tools_of(session)),
        resources=tuple(await _pages(session.list_resources, "resources")),
        templates=tuple(await _pages(session.list_resource_templates, "resource_templates")),
        prompts=tuple(await _pages(session.list_prompts, "prompts")),
        left_out=tuple(session.left_out),
    )


async def tools_of(session: Session) -> list[mcp_types.Tool]:
    """Return the tools that a server lists, up to a bound.

    Raises:
        Exception: as `listed`.
    """
    return await _pages(session.list_tools, "tools")


async def _pages(page: Callable[..., Awaitable[Any]], kind: str) -> list[Any]:
    """Return all of a list, up to a bound; nothing where the server has no such list.

    Args:
        page: Returns one page, such as `ClientSession.list_tools`.
        kind: The name of the list in it, e.g. ``"tools"``.
    """
    items: list[Any] = []
    cursor: str | None = None
    size = 0
    for _ in range(_MOST_PAGES):
        try:
            result = await page(params=mcp_types.PaginatedRequestParams(cursor=cursor))
        except MCPError as error:
            if error.code == mcp_types.METHOD_NOT_FOUND and not items:
                return []
            raise
        items += getattr(result, kind)
        cursor = result.next_cursor
        if cursor is None or len(items) > MOST_TOOLS:
            break
        size += len(result.model_dump_json())
        if size > _MOST_BYTES:
            raise TooLarge("The list is too large.")
    return items[: MOST_TOOLS + 1]
