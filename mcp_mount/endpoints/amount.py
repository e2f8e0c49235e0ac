"""Refuses a message that holds more than it can need, before it is parsed."""

import codecs
from typing import Final

from starlette.responses import Response
from starlette.types import Scope

from mcp_mount.conversion.structure import (
    MAX_VALUES,
    MOST_ASIDE,
    SLICE,
    VALUES_KEY,
    is_small,
    weigh_values,
)
from mcp_mount.endpoints.guard import refuse
from mcp_mount.fastpath.outline import Outline, read_outline, read_strict_outline
from mcp_mount.tools.uris import MAX_ASKED
from mcp_mount.turns import Turns

_LARGEST_OPENING: Final = 8 * 1024
"""Bytes of the request with which a client names itself and what it can do."""

_UTF_16: Final = frozenset({codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE})

_PARSE_ERROR: Final = -32700


async def refuse_too_much(scope: Scope, body: bytes, *, is_kept: bool) -> Response | None:
    """Return a 400 or 413 response, or None if a message may be parsed.

    JSON in UTF-16, which some parsers guess, is refused: no value in it has been counted.

    `is_kept` says that what opens a session, or a stream, is kept as long as that.
    """
    if b"\0" in body[:2] or body[:2] in _UTF_16:
        return refuse(400, "The request is JSON in UTF-16: send it in UTF-8.", _PARSE_ERROR)
    if not is_small(body) and (too_much := await _too_much(scope, body)) is not None:
        return refuse(400, too_much, _PARSE_ERROR)
    if is_kept and len(body) > _LARGEST_OPENING and read_outline(body).method == "initialize":
        message = f"The request is larger than {_LARGEST_OPENING} bytes: initialize says less."
        return refuse(413, message)
    return None


async def _too_much(scope: Scope, body: bytes) -> str | None:
    # Large ones that come at once go on one after the other.
    values = scope[VALUES_KEY] = await weigh_values(body, Turns(0, is_large=True))
    if values > MAX_VALUES:
        return f"The request has more than {MAX_VALUES:,} JSON values."
    if values > MOST_ASIDE:
        # Nothing is known of what stands where in a message that is not JSON to the letter.
        outline = read_strict_outline(body) or Outline()
        if outline.state is not None:
            return f"The request has more than {MOST_ASIDE:,} JSON values, and answers a question."
        if values - await weigh_values(outline.arguments) > MOST_ASIDE:
            # The rest is read again and again, and checked, by what is behind this.
            most = f"{MOST_ASIDE:,} JSON values"
            return f"The request has more than {most} beside a call's arguments."
    outline = read_outline(body)
    if outline.repeated > SLICE:
        # Each event of a stream repeats them.
        return f"The id, the progress token and the name have more than {SLICE:,} characters."
    if outline.address is not None and len(outline.address) > MAX_ASKED:
        return f"The address of a resource has more than {MAX_ASKED:,} characters."
    return None


async def values_of(scope: Scope, body: bytes) -> int:
    """Return how many values a message has; those of a large one were counted when it came."""
    values: int | None = scope.get(VALUES_KEY)
    return values if values is not None else await weigh_values(body)
