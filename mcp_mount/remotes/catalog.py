"""What another server offers, in a form that can be offered here.

The server is not trusted: what it says is bounded and cleaned, and what is not of MCP is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

import mcp_types
from mcp.shared.inbound import find_invalid_x_mcp_header, x_mcp_header_map
from mcp_types import ToolAnnotations
from pydantic import ValidationError

from mcp_mount.near import near_names
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.sizes import fits
from mcp_mount.remotes.entries import Item, name_of, read_entry, read_items, read_via
from mcp_mount.remotes.listing import MAX_ENTRIES, Lists
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.schemas import MAX_READ, MAX_WORK, publish_input, publish_output, work_of
from mcp_mount.remotes.text import clean_description, clean_title, is_visible
from mcp_mount.remotes.uris import add_prefix
from mcp_mount.tools.naming import names_within
from mcp_mount.tools.uris import is_template, is_uri

_MOST_SLASHES: Final = 50
"""Of an address template: with each address that is read, all templates are compared."""


@dataclass(frozen=True, slots=True)
class PublishedTool:
    """A tool of another server, fit to be offered.

    Attributes:
        name: What the other server calls it.
        title: None if it has none.
        description: At most 2,000 characters.
        schema: The schema of its arguments.
        output_schema: None if none can be published.
        annotations: What it claims of itself; nobody has checked it.
        aliases: The server's names of arguments that are published under another one.
        headers: Which arguments go into which headers as well (``x-mcp-header``).
        via: The gateways through which it has come.
    """

    name: str
    title: str | None
    description: str
    schema: Schema
    output_schema: Schema | None
    annotations: ToolAnnotations
    aliases: Mapping[str, str]
    headers: Mapping[tuple[str, ...], str]
    via: tuple[str, ...]

    @property
    def is_destructive(self) -> bool:
        """Whether it may destroy something, by its own account; saying nothing means yes."""
        hints = self.annotations
        return not hints.read_only_hint and hints.destructive_hint is not False


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a server offers: tools by its own names, the rest with the fields of our components.

    Attributes:
        lists: What it was read from, without the entries.
        addresses: Those of the resources, as the server wrote them.
        left_out: What is not offered, and why, a line each.
    """

    tools: Mapping[str, PublishedTool] = field(default_factory=dict)
    resources: tuple[Item, ...] = ()
    templates: tuple[Item, ...] = ()
    prompts: tuple[Item, ...] = ()
    lists: Lists = field(default_factory=Lists)
    addresses: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Count it, e.g. ``"tools: 3, resources: 1, prompts: 0"``."""
        resources = len(self.resources) + len(self.templates)
        return f"tools: {len(self.tools)}, resources: {resources}, prompts: {len(self.prompts)}"


def read_catalog(lists: Lists, remote: Remote, gateway: str) -> Catalog:
    """Return what can be offered of a server's lists; this may take some seconds of a thread.

    Args:
        lists: As the server wrote them.
        remote: The server.
        gateway: Which gateway this is: what has come through it before is left out.
    """
    left_out = [f"its {what} cannot be listed" for what in lists.failed]
    prompts = dict(read_items(mcp_types.Prompt, lists.prompts, gateway, left_out))
    resources = tuple(
        (uri, {**fields, "uri": add_prefix(uri, remote.name)})
        for uri, fields in read_items(mcp_types.Resource, lists.resources, gateway, left_out)
        if is_uri(uri)
    )
    return Catalog(
        tools=_read_tools(lists.tools, remote, gateway, left_out),
        resources=resources,
        addresses=frozenset(uri for uri, _ in resources),
        templates=tuple(
            (uri, {**fields, "uri_template": add_prefix(uri, remote.name), "parameters": {}})
            for uri, fields in read_items(
                mcp_types.ResourceTemplate, lists.templates, gateway, left_out
            )
            if is_template(uri) and is_visible(uri) and uri.count("/") <= _MOST_SLASHES
        ),
        prompts=tuple(
            (name, {**prompts[name], "name": given})
            for name, given in names_within(remote.name, prompts, ()).items()
        ),
        lists=lists.without_entries(),
        left_out=tuple(left_out),
    )


def _read_tools(
    entries: Sequence[Any], remote: Remote, gateway: str, left_out: list[str]
) -> dict[str, PublishedTool]:
    """Return the tools by the other server's names; of two with one name, the first."""
    tools: dict[str, PublishedTool] = {}
    names = [name_of(each) for each in entries[:MAX_ENTRIES]]
    for pattern in remote.tools:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = ", ".join(map(repr, near_names(pattern, names))) or "none"
            left_out.append(f"no tool is called {pattern!r} (near: {near})")
    work = 0
    for entry in entries[:MAX_ENTRIES]:
        tool = _read_tool(entry)
        if tool is None:
            left_out.append(f"the tool {name_of(entry)!r} is not valid MCP, and is left out")
            continue
        via = read_via(tool.meta, gateway)
        is_wanted = not remote.tools or any(fnmatchcase(tool.name, each) for each in remote.tools)
        if tool.name in tools or via is None or not is_wanted:
            continue
        if tool.execution is not None and tool.execution.task_support == "required":
            left_out.append(f"its tool {name_of(entry)!r} runs as a task only, and is left out")
            continue
        needed = work_of(tool.input_schema, tool.output_schema)
        if work + needed > MAX_WORK:
            tool = tool.model_copy(
                update={"input_schema": {"type": "object"}, "output_schema": None}
            )
        else:
            work += needed
        tools[tool.name] = _publish_tool(tool, via)
    if len(entries) > MAX_ENTRIES:
        left_out.append(f"it lists more than the {MAX_ENTRIES} tools that are taken")
    return tools


def _read_tool(entry: object) -> mcp_types.Tool | None:
    """Return the tool of an entry; None if it is not valid MCP."""
    try:
        tool = read_entry(mcp_types.Tool, entry)
    except ValidationError:
        return None
    schema = tool.input_schema
    # Of what is longer nothing is published, and the SDK would take long to look at it.
    is_valid = schema.get("type") == "object" and not (
        fits(schema, MAX_READ) and find_invalid_x_mcp_header(schema)
    )
    return tool if is_valid else None


def _publish_tool(tool: mcp_types.Tool, via: tuple[str, ...]) -> PublishedTool:
    schema, aliases = publish_input(tool.input_schema)
    hints = tool.annotations or ToolAnnotations()
    title = clean_title(tool.title or hints.title)
    return PublishedTool(
        name=tool.name,
        title=title,
        description=clean_description(tool.description) or title or "No description.",
        schema=schema,
        output_schema=publish_output(tool.output_schema),
        annotations=hints.model_copy(update={"title": None}),
        aliases=aliases,
        headers=x_mcp_header_map(tool.input_schema),
        via=via,
    )
