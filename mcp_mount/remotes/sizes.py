"""How large a result is, before it is written."""

import mcp_types
from pydantic import BaseModel
from pydantic_core import to_json

from mcp_mount.loops import LARGE, in_thread
from mcp_mount.openapi.sizes import fits


async def is_larger(answer: BaseModel, most: int) -> bool:
    """Whether a result is larger than so many bytes; a large one is measured in a thread."""
    texts = _characters(answer)
    if texts > most:
        return True
    # It takes a while to write a result as JSON; so does the structure, which is seen.
    is_large = texts > LARGE or not fits(getattr(answer, "structured_content", None), LARGE)
    return (await in_thread(lambda: _size_of(answer)) if is_large else _size_of(answer)) > most


def _characters(answer: BaseModel) -> int:
    """Return how many characters there are in the blocks of a result."""
    blocks = [*getattr(answer, "content", ()), *getattr(answer, "contents", ())]
    blocks += [each.content for each in getattr(answer, "messages", ())]
    blocks += [each.resource for each in blocks if isinstance(each, mcp_types.EmbeddedResource)]
    texts = ("text", "data", "blob", "uri")
    return sum(len(getattr(each, name, "")) for each in blocks for name in texts)


def _size_of(answer: BaseModel) -> int:
    """Return how long the larger of two is as JSON: the structure, or all else."""
    structured = getattr(answer, "structured_content", None)
    # Text and structure carry the same, and each is bounded by itself.
    beside = answer.model_copy(update={"structured_content": None}) if structured else answer
    return max(len(to_json(structured)), len(to_json(beside)))
