"""What is known of each tool that can be found, whoever offers it."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastmcp.tools import Tool

from mcp_mount.search.entries import Entry
from mcp_mount.tools.marks import read_overrides
from mcp_mount.tools.tool import OperationTool


def read_entry(tool: Tool, tag_descriptions: Mapping[str, str]) -> Entry:
    """Return what is known of a tool."""
    properties: Mapping[str, Any] = tool.parameters.get("properties", {})
    entry: dict[str, Any] = {
        "name": tool.name,
        "title": tool.title or "",
        "description": tool.description or "",
        "tags": tuple(sorted(tool.tags)),
        "parameters": tuple(properties),
        "parameter_texts": " ".join(_descriptions(properties)),
    }
    if not isinstance(tool, OperationTool):
        return Entry(**entry)
    operation = tool.binding.operation
    mark = read_overrides(operation)
    return Entry(
        **entry,
        method=operation.method,
        path=operation.path,
        tag_descriptions=" ".join(tag_descriptions.get(tag, "") for tag in operation.tags),
        keywords=tuple(mark.keywords) if mark is not None else (),
        examples=operation.examples,
    )


def is_read_only(tool: Tool) -> bool:
    """Whether a tool says that it changes nothing."""
    return tool.annotations is not None and tool.annotations.read_only_hint is True


def _descriptions(properties: Mapping[str, Any]) -> Iterator[str]:
    for each in properties.values():
        text = each.get("description") if isinstance(each, Mapping) else None
        if isinstance(text, str):
            yield text
