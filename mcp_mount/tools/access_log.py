"""One line in the log for each call: who called what, and how it went.

The logger is ``mcp_mount.calls``, at level INFO. Each record's ``call`` attribute holds the same
values as a mapping, for formatters that write JSON. Arguments and credentials are never in it.
"""

import logging
from typing import Any, Literal

from starlette.requests import Request

from mcp_mount.access.principals import subject_of
from mcp_mount.conversion.reader import ResponseReader
from mcp_mount.errors import Busy, InvalidArguments

calls = logging.getLogger("mcp_mount.calls")

Outcome = Literal["ok", "error", "refused", "busy", "asked", "cancelled", "failed"]
"""What came of a call: the API's answer, or an error of the API; arguments that do not fit; a limit
that was reached; a question to the user; nobody who waited for it; a fault of the server's own."""

_LONGEST = 80


def record(
    *,
    tool: str,
    operation: str,
    seconds: float,
    reader: ResponseReader | None,
    outcome: Outcome,
    request: Request | None,
    client: str | None,
) -> None:
    """Write the line of one call.

    Args:
        tool: The tool's name.
        operation: E.g. ``"GET /articles/{slug}"``.
        seconds: How long the call took.
        reader: The response, as far as it came; None where none was to come.
        outcome: What came of it.
        request: The MCP request; None where the call came over no transport.
        client: The name that the client gives itself.
    """
    if not calls.isEnabledFor(logging.INFO):
        return
    call: dict[str, Any] = {
        "tool": tool,
        "operation": operation,
        "outcome": outcome,
        "status": reader.status if reader is not None else 0,
        "ms": round(seconds * 1000, 1),
        "bytes": reader.size if reader is not None else 0,
        "client": _cut(client),
        "subject": _cut(subject_of(request) if request is not None else None),
        "request_id": _cut(_request_id(reader, request)),
    }
    line = " ".join(f"{key}={_shown(value)}" for key, value in call.items())
    calls.info(line, extra={"call": call})


def refusal(refused: InvalidArguments | Busy) -> Outcome:
    """Tell why a call did not run."""
    return "busy" if isinstance(refused, Busy) else "refused"


def _request_id(reader: ResponseReader | None, request: Request | None) -> str | None:
    """Return the ``X-Request-ID`` of the response, or that of the MCP request."""
    if reader is not None and (given := reader.headers.get("x-request-id")):
        return given
    return request.headers.get("x-request-id") if request is not None else None


def _cut(value: str | None) -> str | None:
    """Keep what others chose short, in the line and in the mapping."""
    return value[:_LONGEST] if value is not None else None


def _shown(value: object) -> str:
    """Write a value so that it stays within its line and its place, whoever sent it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        plain = value.isascii() and value.isprintable() and not set(value) & set(' "\\=')
        return value if plain and value else ascii(value)
    return str(value).lower()
