"""What another server offers, asked for page by page."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types
from mcp.shared.exceptions import MCPError

from mcp_mount.foreign import MOST_TOOLS, ForeignTool

_MOST_PAGES: Final = 100


@dataclass(frozen=True, slots=True)
class Contents:
    """What a server offers: tools by its own names, and the rest as it said them."""

    tools: Mapping[str, ForeignTool] = field(default_factory=dict)
    resources: tuple[mcp_types.Resource, ...] = ()
    templates: tuple[mcp_types.ResourceTemplate, ...] = ()
    prompts: tuple[mcp_types.Prompt, ...] = ()

    def __str__(self) -> str:
        """Count it, e.g. ``"tools: 3, resources: 1, prompts: 0"``."""
        resources = len(self.resources) + len(self.templates)
        return f"tools: {len(self.tools)}, resources: {resources}, prompts: {len(self.prompts)}"


NOTHING: Final = Contents()


async def pages(page: Callable[..., Awaitable[Any]], kind: str) -> list[Any]:
    """Return all of a list, up to a bound; nothing where the server has no such list.

    Args:
        page: Returns one page, such as `ClientSession.list_tools`.
        kind: The name of the list in it, e.g. ``"tools"``.

    Raises:
        Exception: whatever the client raises.
    """
    items: list[Any] = []
    cursor: str | None = None
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
    return items[: MOST_TOOLS + 1]
