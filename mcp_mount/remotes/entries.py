"""Entries of another server's lists, one by one: read as MCP, bounded and cleaned."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import mcp_types
from pydantic import BaseModel, ValidationError

from mcp_mount.remotes.listing import MAX_ENTRIES
from mcp_mount.remotes.text import clean_description, clean_title, count_values, is_visible

VIA_KEY: Final = "mcp-mount/via"
"""In the ``_meta`` of what is offered: the gateways through which it has come."""

_MAX_GATEWAYS: Final = 4
_MAX_NAME: Final = 100
_LONGEST_NAME: Final = 1_000
"""Characters of a name as its server writes it, which is looked at in one step."""

_PLAIN: Final = frozenset({"inputSchema", "outputSchema", "_meta"})
"""What a model holds as it is."""

_MAX_SAID: Final = 1_000
"""JSON values of an entry beside these."""

_READ: Final = _PLAIN | {
    *("name", "title", "description", "annotations", "execution"),
    *("uri", "uriTemplate", "mimeType", "arguments"),
}
"""The members of entries that are looked at."""

_DATE: Final = re.compile(r"[0-9TWZtz :.,+-]{4,40}")
"""What dates of ISO 8601 are written with."""

_MAX_PROMPT_ARGUMENTS: Final = 50
_MOST_ARGUMENTS: Final = 2_000
"""Those of a server's prompts altogether: FastMCP and the SDK take 6 µs for each, in one step."""

_MIME: Final = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}", re.ASCII)
_GATEWAY: Final = re.compile(r"[\w-]{1,64}", re.ASCII)

Kind = mcp_types.Resource | mcp_types.ResourceTemplate | mcp_types.Prompt
Entry = TypeVar("Entry", bound=BaseModel)
Item = tuple[str, Mapping[str, Any]]
"""The server's own name or address of something, and the fields of what stands for it here."""


def read_items(
    kind: type[Kind], entries: Sequence[Any], gateway: str, left_out: list[str]
) -> Iterator[Item]:
    """Yield the entries of a list, cleaned."""
    most = _MOST_ARGUMENTS
    for entry in entries[:MAX_ENTRIES]:
        try:
            item = read_entry(kind, entry)
        except ValidationError:
            what = f"the {kind.__name__} {name_of(entry)!r}"
            left_out.append(f"{what} is not valid MCP, and is left out")
            continue
        via = read_via(item.meta, gateway)
        if via is None:
            continue
        fields: dict[str, Any] = {
            "title": clean_title(item.title),
            "description": clean_description(item.description) or None,
            "meta": {VIA_KEY: [*via]},
        }
        if isinstance(item, mcp_types.Prompt):
            arguments = _read_arguments(item)
            if arguments is not None and len(arguments) <= most:
                most -= len(arguments)
                yield item.name, {**fields, "arguments": arguments}
            elif arguments is not None:
                what = f"the prompt {name_of(entry)!r}"
                left_out.append(f"{what} is left out: all have {_MOST_ARGUMENTS} arguments at most")
            continue
        is_type = _MIME.fullmatch(item.mime_type or "")
        fields |= {
            "name": clean_title(item.name) or "resource",
            "mime_type": item.mime_type if is_type else "text/plain",
            "annotations": _clean_annotations(item.annotations),
        }
        yield (str(item.uri) if isinstance(item, mcp_types.Resource) else item.uri_template), fields


def read_entry(kind: type[Entry], entry: object) -> Entry:
    """Return the model of an entry.

    Raises:
        ValidationError: it is none, or has a name or values that no client would take.
    """
    if not isinstance(entry, dict):
        return kind.model_validate(entry)
    said = {key: each for key, each in entry.items() if key in _READ}
    name = said.get("name")
    is_long = isinstance(name, str) and len(name) > _LONGEST_NAME
    if is_long or count_values(said, _MAX_SAID, _PLAIN) > _MAX_SAID:
        # It would take long to say all that is wrong.
        said = {}
    return kind.model_validate(said, by_name=False)


def read_via(meta: Mapping[str, Any] | None, gateway: str) -> tuple[str, ...] | None:
    """Return the gateways, this one first; None if it is among them already, or they are many."""
    via = (meta or {}).get(VIA_KEY, [])
    if not isinstance(via, list) or len(via) >= _MAX_GATEWAYS or gateway in via:
        return None
    named = (each for each in via if isinstance(each, str) and _GATEWAY.fullmatch(each))
    return (gateway, *named)


def _clean_annotations(said: mcp_types.Annotations | None) -> mcp_types.Annotations | None:
    if said is None:
        return None
    date = said.last_modified
    is_date = date is not None and _DATE.fullmatch(date)
    audience = [*dict.fromkeys(said.audience)] if said.audience is not None else None
    return said.model_copy(
        update={"audience": audience, "last_modified": date if is_date else None}
    )


def _read_arguments(prompt: mcp_types.Prompt) -> list[dict[str, Any]] | None:
    """Return a prompt's arguments; None if their names, which are sent back, cannot be shown."""
    arguments = prompt.arguments or []
    if any(len(each.name) > _MAX_NAME or not is_visible(each.name) for each in arguments):
        return None
    return [
        {
            "name": each.name,
            "description": clean_description(each.description) or None,
            "required": bool(each.required),
        }
        for each in arguments[:_MAX_PROMPT_ARGUMENTS]
    ]


def name_of(entry: object) -> str:
    """Return how an entry is called in our log: what is no text can take long to write."""
    name = entry.get("name") if isinstance(entry, dict) else entry
    return name[:_MAX_NAME] if isinstance(name, str) else type(name).__name__
