"""What a model reads of a tool: its title, its description and its hints."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any, Final

from mcp_types import ToolAnnotations

from mcp_mount.openapi.media import is_json
from mcp_mount.openapi.operations import Operation, successes
from mcp_mount.tools.marks import ToolOverrides

_LONGEST_DESCRIPTION: Final = 2_000
_BLOCKS = "p|br|div|ul|ol|li|dl|dt|dd|h[1-6]|hr|pre|blockquote|table|tr"
_INLINE = "a|b|i|u|em|strong|code|tt|span|font|small|sub|sup|img|td|th|thead|tbody"
_BLOCK_TAG = re.compile(rf"</?(?:{_BLOCKS})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_TAG = re.compile(rf"</?(?:{_BLOCKS}|{_INLINE})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_ENTITY = re.compile(r"&#?\w{2,8};")


def title_of(operation: Operation, mark: ToolOverrides) -> str | None:
    """Return the title: what the mark says, else the operation's summary."""
    return _cut(mark.title or " ".join(operation.summary.split())) or None


def description_of(operation: Operation, mark: ToolOverrides) -> str:
    """Say what the tool does, its first sentence first."""
    text = mark.description
    if text is None:
        summary = "" if _repeats_name(operation) else _as_text(operation.summary)
        text = description = _as_text(operation.description)
        if summary and not description.lower().startswith(summary.lower()):
            end = "" if summary.endswith((".", "!", "?")) else "."
            text = f"{summary}{end} {description}" if description else summary
    if not text.strip():
        # Clients and models want words; where there are none, at least what is called.
        returned = _returned(operation)
        text = f"{operation}. Returns {returned}." if returned else str(operation)
    if operation.deprecated:
        text = f"Deprecated. {text}"
    return _cut(text)


def _repeats_name(operation: Operation) -> bool:
    """Whether the summary is the one that FastAPI makes of the function's name."""
    summary, name = (
        re.sub(r"[\W_]", "", text).lower() for text in (operation.summary, operation.id)
    )
    return bool(summary) and summary in name


def _as_text(text: str) -> str:
    """Return text without the HTML that some write in it; what only looks like a tag stays."""
    if _TAG.search(text):
        text = _TAG.sub("", _BLOCK_TAG.sub("\n", text))
        text = "\n".join(filter(None, map(str.strip, text.splitlines())))
    return _ENTITY.sub(lambda found: unescape(found[0]), text).strip()


def _returned(operation: Operation) -> str:
    """Name what a success returns, e.g. ``"a list of Order"``; empty where nothing says it."""
    media = next((media for medias in successes(operation) for media in medias), None)
    if media is None:
        return ""
    if media.item_schema is not None:
        return f"a stream of {_name_of(media.item_schema) or 'events'}"
    return _name_of(media.schema or {}) if is_json(media.media_type) else media.media_type


def _name_of(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind, items = schema.get("type"), schema.get("items")
    if kind == "array" and isinstance(items, Mapping) and (name := _name_of(items)):
        return f"a list of {name}"
    return kind if isinstance(kind, str) and kind != "object" else ""


def _cut(text: str) -> str:
    """Keep whole words within the length that every client shows."""
    if len(text) <= _LONGEST_DESCRIPTION:
        return text
    cut = text[: _LONGEST_DESCRIPTION - 2]
    # Not with an expression, which would look at many blanks anew for each of them.
    return f"{next(iter(cut.rsplit(None, 1)), '')} …"


def annotations_of(operation: Operation, mark: ToolOverrides) -> ToolAnnotations:
    """Say what the method promises (RFC 9110 §9.2); POST and PATCH promise nothing."""
    method = operation.method
    safe = method in {"GET", "QUERY"}
    hints = {"readOnlyHint": safe, "destructiveHint": not safe, "openWorldHint": False}
    hints |= mark.annotations
    # It means something only of what changes something, and is false by default.
    if not hints["readOnlyHint"] and (safe or method in {"PUT", "DELETE"}):
        hints.setdefault("idempotentHint", True)
    return ToolAnnotations.model_validate(hints)
