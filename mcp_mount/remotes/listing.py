"""The lists of what another server offers, asked for page by page."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mcp_types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError
from pydantic_core import to_json

from mcp_mount.remotes.bounds import TOO_LARGE
from mcp_mount.remotes.failures import InvalidLists
from mcp_mount.remotes.session import Session

MAX_ENTRIES: Final = 1_000
"""Tools, resources, templates or prompts that one server can offer."""

_MAX_PAGES: Final = 100
_MAX_BYTES: Final = 16 * 1024 * 1024
"""Of all pages but the last, whose size its message bounds."""

_FATAL: Final = {TOO_LARGE, mcp_types.CONNECTION_CLOSED}


@dataclass(frozen=True, slots=True)
class Lists:
    """The entries of a server's lists as it wrote them.

    Attributes:
        failed: The names of lists that failed.
        has_resources: Whether it says that it has resources, listed or not.
        has_completions: Whether it says that it completes arguments.
    """

    tools: Sequence[Any] = ()
    resources: Sequence[Any] = ()
    templates: Sequence[Any] = ()
    prompts: Sequence[Any] = ()
    failed: tuple[str, ...] = ()
    has_resources: bool = False
    has_completions: bool = False


async def list_everything(session: Session) -> Lists:
    """Return the lists that a server says it has, up to a bound.

    Raises:
        MCPError: it does not list its tools, or too much.
        InvalidLists: its tools are no list.
        Exception: whatever else the session raises.
    """
    has = session.server_capabilities or mcp_types.ServerCapabilities()
    failed: list[str] = []

    async def list_optional(page: Callable[..., Awaitable[Any]], what: str) -> list[Any]:
        try:
            return await _list_pages(page, session)
        except (MCPError, InvalidLists, ValidationError) as error:
            if isinstance(error, MCPError) and error.code in _FATAL:
                raise
            failed.append(what)
            return []

    tools, resources, templates, prompts = [], [], [], []
    # One that says nothing of itself may be a small one that has tools.
    if has.tools is not None or (has.resources is None and has.prompts is None):
        tools = await _list_pages(session.list_tools, session)
    if has.resources is not None:
        resources = await list_optional(session.list_resources, "resources")
        templates = await list_optional(session.list_resource_templates, "resource templates")
    if has.prompts is not None:
        prompts = await list_optional(session.list_prompts, "prompts")
    return Lists(
        tools,
        resources,
        templates,
        prompts,
        tuple(failed),
        has_resources=has.resources is not None,
        has_completions=has.completions is not None,
    )


async def _list_pages(page: Callable[..., Awaitable[Any]], session: Session) -> list[Any]:
    """Return the entries of all pages; none if the server knows no such list."""
    entries: list[Any] = []
    cursor: str | None = None
    size = 0
    for _ in range(_MAX_PAGES):
        session.dispatcher.forget()
        try:
            result = await page(params=mcp_types.PaginatedRequestParams(cursor=cursor))
        except MCPError as error:
            if error.code == mcp_types.METHOD_NOT_FOUND and not entries:
                return []
            raise
        found: list[Any] | None = session.dispatcher.entries
        if found is None:
            raise InvalidLists
        entries += found
        cursor = result.next_cursor
        if cursor is None or len(entries) > MAX_ENTRIES:
            break
        size += len(to_json(found))
        if size > _MAX_BYTES:
            raise MCPError(code=TOO_LARGE, message="The list is too large.")
    return entries[: MAX_ENTRIES + 1]
