"""One line in the log for each call: who called what, and how it went.

The logger is ``mcp_mount.calls``, at level INFO. Each record's ``call`` attribute holds the same
values as a mapping, for formatters that write JSON. Arguments and credentials are never in it.
"""

import logging
from typing import Any, Literal

from mcp_mount.access.principals import subject_of
from mcp_mount.backends.request import RequestContext
from mcp_mount.conversion.reader import ResponseReader
from mcp_mount.errors import Busy, InvalidArguments

calls = logging.getLogger("mcp_mount.calls")
LEVEL = logging.INFO

CallOutcome = Literal["ok", "error", "refused", "busy", "asked", "cancelled", "failed"]
"""``ok`` or ``error``: the API's answer, or an error of it. ``refused``: the arguments do not fit.
``busy``: a limit was reached. ``asked``: the user is to confirm. ``cancelled``: nobody waited.
``failed``: a fault of the server's own."""

_LONGEST = 80


def log_call(
    tool: str,
    operation: str,
    outcome: CallOutcome,
    seconds: float,
    ctx: RequestContext | None,
    *,
    client: str | None,
    reader: ResponseReader | None = None,
) -> None:
    """Write the line of one call.

    `reader` is the response, as far as it came; None where none was to come.
    """
    if not calls.isEnabledFor(LEVEL):
        return
    request = ctx.request if ctx is not None else None
    request_id = reader.headers.get("x-request-id") if reader is not None else None
    if request_id is None and request is not None:
        request_id = request.headers.get("x-request-id")
    call: dict[str, Any] = {
        "tool": tool,
        "operation": operation,
        "outcome": outcome,
        "status": reader.status if reader is not None else 0,
        "ms": round(seconds * 1000, 1),
        "bytes": reader.size if reader is not None else 0,
        "client": _cut(client),
        "subject": _cut(subject_of(request) if request is not None else None),
        "request_id": _cut(request_id),
    }
    line = " ".join(f"{key}={_quote(value)}" for key, value in call.items())
    calls.info(line, extra={"call": call})


def outcome_of_refusal(refusal: InvalidArguments | Busy) -> CallOutcome:
    """Return why a call did not run."""
    return "busy" if isinstance(refusal, Busy) else "refused"


def _cut(value: str | None) -> str | None:
    """Keep what others chose short, in the line and in the mapping."""
    return value[:_LONGEST] if value is not None else None


def _quote(value: object) -> str:
    """Write a value so that it stays within its line and its place, whoever sent it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        plain = value.isascii() and value.isprintable() and not set(value) & set(' "\\=')
        return value if plain and value else ascii(value)
    return str(value).lower()
