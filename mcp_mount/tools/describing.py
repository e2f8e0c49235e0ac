"""What a model reads of a tool: its title, its description and its hints."""

import re
from typing import Final

from mcp_types import ToolAnnotations

from mcp_mount.openapi.operations import Operation
from mcp_mount.tools.selection import ToolOverrides

_LONGEST_DESCRIPTION: Final = 2_000


def title_of(operation: Operation, mark: ToolOverrides) -> str | None:
    """Return the title: what the mark says, else the operation's summary."""
    return mark.title or " ".join(operation.summary.split()) or None


def description_of(operation: Operation, mark: ToolOverrides) -> str:
    """Say what the tool does, its first sentence first."""
    if mark.description is not None:
        text = mark.description
    else:
        summary, description = operation.summary.strip(), operation.description.strip()
        if description.lower().startswith(summary.lower()) or _is_generated(operation):
            text = description or summary
        elif not description:
            text = summary
        else:
            end = "" if summary.endswith((".", "!", "?")) else "."
            text = f"{summary}{end} {description}"
    # Clients and models want words; where there are none, at least what is called.
    text = text if text.strip() else str(operation)
    if operation.deprecated:
        text = f"Deprecated. {text}"
    return _cut(text)


def _is_generated(operation: Operation) -> bool:
    """Whether the summary is the one that FastAPI makes of the function's name."""
    name = re.sub(r"[^a-z0-9]", "", operation.summary.lower())
    generated = re.sub(r"[^a-z0-9]", "", operation.id.lower())
    path = re.sub(r"[^a-z0-9]", "", operation.path.lower())
    return bool(operation.description) and generated.startswith(f"{name}{path}")


def _cut(text: str) -> str:
    """Keep whole words within the length that every client shows."""
    if len(text) <= _LONGEST_DESCRIPTION:
        return text
    whole_words = re.sub(r"\s+\S*$", "", text[: _LONGEST_DESCRIPTION - 2])
    return f"{whole_words} …"


def annotations_of(operation: Operation, mark: ToolOverrides) -> ToolAnnotations:
    """Say what the method promises (RFC 9110 §9.2); POST and PATCH promise nothing."""
    method = operation.method
    safe = method in {"GET", "QUERY"}
    hints = {
        "readOnlyHint": safe,
        "destructiveHint": not safe,
        "idempotentHint": safe or method in {"PUT", "DELETE"},
        "openWorldHint": False,
    }
    return ToolAnnotations.model_validate(hints | dict(mark.annotations))
