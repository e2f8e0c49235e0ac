"""One line in the log for each call: who called what, and how it went.

The logger is ``mcp_mount.calls``, at level INFO. Each record's ``call`` attribute holds the same
values as a mapping, for formatters that write JSON. Arguments and credentials are never in it.
"""

import logging
from typing import Any

from fastmcp.server.context import Context
from fastmcp.tools import ToolResult
from starlette.requests import Request

from mcp_mount.limits import subject_of

calls = logging.getLogger("mcp_mount.calls")

_LONGEST = 80


def record(
    *,
    tool: str,
    operation: str,
    status: int,
    seconds: float,
    size: int,
    result: ToolResult,
    request_id: str | None,
    context: Context | None,
) -> None:
    """Write the line of one call.

    Args:
        tool: The tool's name.
        operation: E.g. ``"GET /articles/{slug}"``.
        status: The HTTP status of the response; 0 where there was none.
        seconds: How long the call took.
        size: Bytes of the response's body that were read.
        result: What the client gets.
        request_id: The ``X-Request-ID`` of the response, or of the request.
        context: The FastMCP context of the call; None where it came over no protocol.
    """
    if not calls.isEnabledFor(logging.INFO):
        return
    call: dict[str, Any] = {
        "tool": tool,
        "operation": operation,
        "status": status,
        "error": result.is_error,
        "ms": round(seconds * 1000, 1),
        "bytes": size,
        "client": _client_name(context),
        "subject": _subject(context),
        "request_id": request_id,
    }
    line = " ".join(f"{key}={_shown(value)}" for key, value in call.items())
    calls.info(line, extra={"call": call})


def _client_name(context: Context | None) -> str | None:
    request = context.request_context if context is not None else None
    client = request.session.client_params if request is not None else None
    return client.client_info.name if client is not None else None


def _subject(context: Context | None) -> str | None:
    request = context.request_context.request if context and context.request_context else None
    return subject_of(request) if isinstance(request, Request) else None


def _shown(value: object) -> str:
    """Write a value so that it stays within its line and its place, whoever sent it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        text = value[:_LONGEST]
        plain = text.isascii() and text.isprintable() and not set(text) & set(' "\\=')
        return text if plain and text else ascii(text)
    return str(value).lower()
