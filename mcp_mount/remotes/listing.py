"""The lists of what another server offers, asked for page by page."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any, Final

import mcp_types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from mcp_mount.loops import in_thread
from mcp_mount.openapi.sizes import fits
from mcp_mount.remotes.bounds import TOO_LARGE
from mcp_mount.remotes.failures import InvalidLists
from mcp_mount.remotes.session import Session
from mcp_mount.remotes.text import count_values

MAX_ENTRIES: Final = 1_000
"""Tools, resources, templates or prompts that one server can offer."""

_MAX_PAGES: Final = 100
_MAX_BYTES: Final = 16 * 1024 * 1024
"""Of all pages of a list."""

_MAX_VALUES: Final = 500_000
"""JSON values of all lists of a server: they are read and kept until the last has come."""

_MAX_OF_ENTRY: Final = 30_000
"""JSON values of an entry: its schemas are not published then, and it is written in one step, in
which nothing else runs."""

_MAX_CHARACTERS: Final = 500_000
"""Of an entry, each value counting four; five times what its schemas may have to be published."""

_KEPT: Final = ("name", "title", "description", "uri", "uriTemplate", "mimeType")
_LONGEST: Final = 10_000
"""Texts of a larger entry, and characters of each."""

_FATAL: Final = {TOO_LARGE, mcp_types.CONNECTION_CLOSED}


@dataclass(frozen=True, slots=True)
class Lists:
    """The entries of a server's lists as it wrote them; two are the same if it said the same.

    Attributes:
        digests: One of each list, whatever the order of the members in an entry.
        failed: The names of lists that failed.
        has_resources: Whether it says that it has resources, listed or not.
        has_completions: Whether it says that it completes arguments.
    """

    tools: Sequence[Any] = field(default=(), compare=False)
    resources: Sequence[Any] = field(default=(), compare=False)
    templates: Sequence[Any] = field(default=(), compare=False)
    prompts: Sequence[Any] = field(default=(), compare=False)
    digests: tuple[bytes, ...] = (b"",) * 4
    failed: tuple[str, ...] = ()
    has_resources: bool = False
    has_completions: bool = False

    def without_entries(self) -> "Lists":
        """Return what tells it from others, which is small."""
        return replace(self, tools=(), resources=(), templates=(), prompts=())


async def list_everything(session: Session) -> Lists:
    """Return the lists that a server says it has, up to a bound.

    Raises:
        MCPError: it does not list its tools, or too much.
        InvalidLists: its tools are no list.
        Exception: whatever else the session raises.
    """
    has = session.server_capabilities or mcp_types.ServerCapabilities()
    failed: list[str] = []
    counts = _Counts()

    async def list_optional(page: Callable[..., Awaitable[Any]], what: str) -> _Entries:
        try:
            return await _list_pages(page, session, counts)
        except (MCPError, InvalidLists, ValidationError) as error:
            if isinstance(error, MCPError) and error.code in _FATAL:
                raise
            failed.append(what)
            return _Entries()

    tools, resources, templates, prompts = (_Entries() for _ in range(4))
    # One that says nothing of itself may be a small one that has tools.
    if has.tools is not None or (has.resources is None and has.prompts is None):
        tools = await _list_pages(session.list_tools, session, counts)
    if has.resources is not None:
        resources = await list_optional(session.list_resources, "resources")
        templates = await list_optional(session.list_resource_templates, "resource templates")
    if has.prompts is not None:
        prompts = await list_optional(session.list_prompts, "prompts")
    return Lists(
        tools.taken,
        resources.taken,
        templates.taken,
        prompts.taken,
        tuple(each.digest for each in (tools, resources, templates, prompts)),
        tuple(failed),
        has_resources=has.resources is not None,
        has_completions=has.completions is not None,
    )


class _Counts:
    """How many values all lists of a server have."""

    values = 0


class _Entries:
    """The entries of one list while they arrive.

    Attributes:
        taken: As many as can be offered, and one.
        digest: Of what was taken.
    """

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.digest = b""
        self.size = 0

    def add(self, page: Sequence[Any], counts: _Counts) -> None:
        """Take the entries of a page. Those that are large take a while.

        Raises:
            MCPError: the lists have too many values, or this one too many bytes.
        """
        for each in page[: MAX_ENTRIES + 1 - len(self.taken)]:
            values = count_values(each)
            counts.values += values
            if counts.values > _MAX_VALUES:
                raise _too_large()
            is_small = values <= _MAX_OF_ENTRY and fits(each, _MAX_CHARACTERS)
            entry = each if is_small else _texts_of(each)
            said = json.dumps(entry, ensure_ascii=False, sort_keys=True)
            text = said.encode("utf-8", "surrogatepass")
            self.size += len(text)
            if self.size > _MAX_BYTES:
                raise _too_large()
            self.digest = sha256(self.digest + text).digest()
            self.taken.append(entry)


def _texts_of(entry: Any) -> Any:
    """Return an entry with the beginnings of its texts alone, and a schema that accepts anything.

    A name or an address that is longer than that leads nowhere any more.
    """
    members = entry if isinstance(entry, dict) else {}
    texts = {key: members[key] for key in _KEPT if isinstance(members.get(key), str)}
    cut = {key: each[:_LONGEST] for key, each in texts.items()}
    return {**cut, "inputSchema": {"type": "object"}}


async def _list_pages(
    page: Callable[..., Awaitable[Any]], session: Session, counts: _Counts
) -> _Entries:
    """Return the entries of all pages; none if the server knows no such list."""
    entries = _Entries()
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        try:
            result = await page(params=mcp_types.PaginatedRequestParams(cursor=cursor))
        except MCPError as error:
            if error.code == mcp_types.METHOD_NOT_FOUND and not entries.taken:
                return entries
            raise
        found = session.dispatcher.take_entries()
        if found is None:
            raise InvalidLists
        await in_thread(partial(entries.add, found, counts))
        cursor = result.next_cursor
        if cursor is None or len(entries.taken) > MAX_ENTRIES:
            break
    return entries


def _too_large() -> MCPError:
    return MCPError(code=TOO_LARGE, message="The list is too large.")
