"""What the search says of the tools, in as few words as a model needs. Pure.

An answer is JSON, in a text alone: some clients show their model the text of a result and others
its structure, so that either of them alone would be hidden from somebody, and both be sent twice.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastmcp.tools import Tool

from mcp_mount.search.words import stems

_BYTES_EACH: Final = 80
"""Bytes of an answer for each tool: ten of them then take less than 200 tokens."""
_FEWEST_BYTES: Final = 300
_EMPTY_LINE: Final = '{"name":""},\n'
_EMPTY_SUMMARY: Final = ',"about":""'
_SHORTEST_SUMMARY: Final = 12
_MOST_NAMES: Final = 200
_MOST_OVERVIEW: Final = 1_000
"""Characters of the overview of tags in a description."""
_MOST_DESCRIPTION: Final = 800
_MOST_TEXT: Final = 200
"""Bytes of what is said of a tool, and of each of its arguments, to who asks for one tool."""
_WEAK: Final = "weak: none says all of this. Other words or a tag may find a better one."


def write_matches(tools: Sequence[Tool], *, is_weak: bool) -> str:
    """Write the tools that were found, one a line, within a length that grows with their number.

    Where the names alone are longer than that, the last ones are left out.
    """
    head = _write({**({"match": _WEAK} if is_weak else {}), "tools": []})
    room = max(_BYTES_EACH * len(tools), _FEWEST_BYTES) - len(head)
    lines: list[dict[str, str]] = []
    for tool in tools:
        room -= len(tool.name) + len(_EMPTY_LINE)
        if room < 0 and lines:
            break
        lines.append({"name": tool.name})
    summaries = [_summary(tool) for tool in tools[: len(lines)]]
    each = room // max(1, sum(map(bool, summaries))) - len(_EMPTY_SUMMARY)
    for line, summary in zip(lines, summaries, strict=True):
        if summary and each >= _SHORTEST_SUMMARY:
            line["about"] = _cut(summary, each)
    written = ",\n".join(map(_write, lines))
    return f"{head[:-2]}\n{written}]}}"


def write_names(tag: str, names: Sequence[str]) -> str:
    """Write all names of a tag."""
    answer: dict[str, Any] = {"tag": tag, "tools": [*names[:_MOST_NAMES]]}
    if len(names) > _MOST_NAMES:
        answer["more"] = len(names) - _MOST_NAMES
    return _write(answer)


def write_tags(tags: Mapping[str, int]) -> str:
    """Write all tags with how many tools each has."""
    return _write({"tags": dict(tags)})


def write_description(tool: Tool, call: str) -> str:
    """Write what is needed to call a tool; `call` is what calls it."""
    said = " ".join((tool.description or "").split()).lower()
    title = tool.title if tool.title and not said.startswith(tool.title.lower()) else None
    answer: dict[str, Any] = {
        "name": tool.name,
        **({"title": title} if title else {}),
        "description": _cut(tool.description or "", _MOST_DESCRIPTION),
        "inputSchema": _shorten(tool.parameters),
        "call_with": call,
    }
    return _write(answer)


def _shorten(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema with what says how to call, and no longer texts than that takes."""
    short: dict[str, Any] = {}
    for key, value in schema.items():
        if key in {"default", "enum", "const"}:
            short[key] = value
        elif key == "description" and isinstance(value, str):
            short[key] = _cut(value, _MOST_TEXT)
        elif isinstance(value, Mapping):
            short[key] = _shorten(value)
        elif isinstance(value, list):
            short[key] = [_shorten(each) if isinstance(each, Mapping) else each for each in value]
        elif not (key == "additionalProperties" and value is False):
            short[key] = value
    return short


def write_overview(tags: Mapping[str, int]) -> str:
    """Write tags with counts, e.g. ``"parts (12), orders (3)"``, the largest first."""
    text = ""
    for number, (tag, count) in enumerate(tags.items()):
        part = f"{', ' if text else ''}{' '.join(tag.split())[:60]} ({count})"
        if len(text) + len(part) > _MOST_OVERVIEW:
            return f"{text} and {len(tags) - number} more"
        text += part
    return text


def _summary(tool: Tool) -> str:
    """Return what a tool does in some words; empty where its name says the same."""
    lead = " ".join((tool.description or "").split()).partition(". ")[0].rstrip(".")
    said = {*stems(tool.name)}
    return next((text for text in (tool.title, lead) if text and not {*stems(text)} <= said), "")


def _cut(text: str, room: int) -> str:
    """Cut a text to a number of bytes, between two words if it can be."""
    if len(text.encode()) <= room:
        return text
    short = text.encode()[: room - 3].decode(errors="ignore")
    head, space, _ = short.rpartition(" ")
    return f"{head if space and len(head) > room // 2 else short}…"


def _write(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
