"""Results, and questions, that are refused before the SDK makes models of them.

A result with too many blocks, or too much beside them, would hold the event loop for long.
"""

from collections.abc import Mapping
from typing import Any, Final

from mcp.shared.exceptions import MCPError

from mcp_mount.openapi.sizes import fits
from mcp_mount.remotes.bounds import ASKS_TOO_MUCH, MAX_UNASKED, TOO_LARGE
from mcp_mount.remotes.text import count_values

LISTS: Final = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
"""The member of a result that is a list, whose entries are read one by one."""

_BLOCKS: Final = {"tools/call": "content", "resources/read": "contents", "prompts/get": "messages"}

_MAX_META: Final = 64 * 1024
"""Characters of a result's ``_meta``, each value counting four."""

_MAX_PARTS: Final = 10_000
_PARTS: Final = 10
"""JSON values in a result's blocks altogether, and so many more for each that it may have."""

_MAX_SAID: Final = 1_000
"""JSON values in a question, or in a result beside its list, blocks or structure: the SDK takes up
to 70 µs for each that is wrong."""

_PLAIN: Final = frozenset({"requestedSchema", "inputSchema"})
"""What the SDK takes as it is."""

_MAX_AUDIENCE: Final = 2
"""For whom a block can be: users and models."""


def check_result(result: Mapping[str, Any], method: str, max_blocks: int) -> None:
    """Refuse a result of which it would take long to make models.

    Raises:
        MCPError: `TOO_LARGE`, it has too many blocks, or too much in them or its metadata; or
            `ASKS_TOO_MUCH`, it is a question that is far too long.
    """
    if not fits(result.get("_meta"), _MAX_META):
        raise MCPError(code=TOO_LARGE, message="The answer has too much metadata.")
    rest = _rest_of(result, method)
    # Of a completion long texts are left out; none of the rest is looked at beyond its bound.
    is_completion = method == "completion/complete"
    if not (count_values(rest, _MAX_SAID) <= _MAX_SAID if is_completion else is_modest(rest)):
        code = ASKS_TOO_MUCH if "inputRequests" in rest else TOO_LARGE
        raise MCPError(code=code, message="The answer says too much beside what is asked for.")
    blocks = result.get(_BLOCKS[method]) if method in _BLOCKS else None
    most = _MAX_PARTS + _PARTS * max_blocks
    if isinstance(blocks, list) and (
        len(blocks) > max_blocks
        or count_values(blocks, most) > most
        or not all(map(_has_audience, blocks))
    ):
        raise MCPError(code=TOO_LARGE, message="The answer has too many blocks.")


def is_modest(said: object) -> bool:
    """Whether models of what a server says or asks are made in some milliseconds."""
    return fits(said, MAX_UNASKED) and count_values(said, _MAX_SAID, _PLAIN) <= _MAX_SAID


def _rest_of(result: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return what stands in a result beside its list, blocks, structure and metadata."""
    large = {"_meta", "structuredContent", LISTS.get(method), _BLOCKS.get(method)}
    rest = {key: each for key, each in result.items() if key not in large}
    if isinstance(asked := rest.get("inputRequests"), dict):
        # Its names are the server's to choose, and could be those of what is not counted.
        rest["inputRequests"] = [*asked, *asked.values()]
    return rest


def _has_audience(block: object) -> bool:
    """Whether a block, or that in a message, is for no more than there are; each is tried often."""
    for part in (block, block.get("content")) if isinstance(block, dict) else ():
        annotations = part.get("annotations") if isinstance(part, dict) else None
        audience = annotations.get("audience") if isinstance(annotations, dict) else None
        if isinstance(audience, list) and len(audience) > _MAX_AUDIENCE:
            return False
    return True
