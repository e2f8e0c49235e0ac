"""Answers the calls of the tools of the search that say something of the others."""

import logging
from collections.abc import Mapping
from itertools import islice
from typing import Annotated, Any, Final, TypeVar

import msgspec
from fastmcp.exceptions import FastMCPError

from mcp_mount.conversion.content import Result
from mcp_mount.errors import InvalidArguments
from mcp_mount.near import near_names
from mcp_mount.search.answers import write_description, write_matches, write_names, write_tags
from mcp_mount.search.surface import Surface

_WEAK: Final = 0.45
"""The part of a request that the best match covers, below which it is said to be weak."""
_LONGEST: Final = 64
"""Characters of a name that are repeated."""
MOST_FOUND: Final = 50

Arguments = TypeVar("Arguments", bound=msgspec.Struct)


class UnknownTool(FastMCPError):
    """A tool that is to be called through the search is not there."""

    def __init__(self, name: str) -> None:
        # FastMCP writes a line in its log; the answer says it all.
        super().__init__(f"Unknown tool: {name!r}", log_level=logging.DEBUG)
        self.name = name


class SearchArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `search_tools` takes."""

    query: str = ""
    tag: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_FOUND)] = 10


class DescribeArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `describe_tool` takes."""

    name: str


class CallArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `call_tool` and `call_read_tool` take."""

    name: str
    arguments: dict[str, Any] = {}


def is_half(value: object) -> bool:
    """Whether a value is a text that UTF-8, and so no header, can hold."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return True
    return False


def read_arguments(kind: type[Arguments], arguments: Mapping[str, Any]) -> Arguments:
    """Read what a model gave.

    Raises:
        InvalidArguments: an argument is unknown, missing, of another type, or half a character.
    """
    if any(map(is_half, (*arguments, *arguments.values()))):
        raise InvalidArguments(
            "An argument, or its name, holds half of a character (a lone surrogate)."
        )
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as wrong:
        takes = ", ".join(map(repr, kind.__struct_fields__))
        raise InvalidArguments(f"{str(wrong)[:200]}. The tool takes: {takes}.") from None


async def search(surface: Surface, arguments: Mapping[str, Any]) -> Result:
    """Find tools by what somebody wants done.

    Raises:
        InvalidArguments: an argument is wrong, or the tag is not known.
    """
    asked = read_arguments(SearchArguments, arguments)
    snapshot = await surface.snapshot()
    view = await surface.view(snapshot)
    names, tools = view.names, snapshot.tools
    if asked.tag is not None:
        if asked.tag not in view.tags:
            near = near_names(asked.tag, view.tags, n=5, cutoff=0.3)
            said = ", ".join(map(repr, near or [*view.tags][:5])) or "there are none"
            raise InvalidArguments(f"Unknown tag {asked.tag[:_LONGEST]!r}. Tags: {said}.")
        names = frozenset(name for name in names if asked.tag in tools[name].tags)
    if not asked.query.strip():
        if asked.tag is None:
            return Result(content=(write_tags(view.tags),))
        return Result(content=(write_names(asked.tag, [*filter(names.__contains__, tools)]),))
    ranker = await surface.ranker(snapshot)
    found = [*islice(ranker.search(asked.query, names.__contains__), asked.limit)]
    is_weak = max((match.confidence for match in found), default=0.0) < _WEAK
    # Never nothing: from what there is at all, a model sees how to ask again.
    best = [match.name for match in found] or filter(names.__contains__, tools)
    chosen = [tools[name] for name in islice(best, asked.limit)]
    return Result(content=(write_matches(chosen, is_weak=is_weak),))


async def describe(surface: Surface, arguments: Mapping[str, Any]) -> Result:
    """Tell what a tool does and takes.

    Raises:
        InvalidArguments: an argument is wrong, or the tool is not known.
    """
    name = read_arguments(DescribeArguments, arguments).name
    snapshot = await surface.snapshot()
    if name not in (await surface.view(snapshot)).names:
        raise InvalidArguments(await unknown_tool(surface, name))
    tool = snapshot.tools[name]
    return Result(content=(write_description(tool, snapshot.caller_of(tool)),))


async def unknown_tool(surface: Surface, name: str) -> str:
    """Say that there is no such tool, and which are near."""
    near = ", ".join(await surface.near(name))
    return f"Unknown tool: {name[:_LONGEST]!r}.{f' Near: {near}.' if near else ''}"
