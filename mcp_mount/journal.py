"""One line in the log for each call: who called what, and how it went.

The logger is ``mcp_mount.calls``, at level INFO. Each record's ``call`` attribute holds the same
values as a mapping, for formatters that write JSON. Arguments and credentials are never in it.
"""

import logging
from typing import Any

from fastmcp.server.context import Context
from fastmcp.tools import ToolResult
from fastmcp.tools.base import InputRequiredToolResult
from starlette.requests import Request

from mcp_mount.limits import subject_of
from mcp_mount.reading import Reading

calls = logging.getLogger("mcp_mount.calls")

_LONGEST = 80


def record(
    *,
    tool: str,
    operation: str,
    seconds: float,
    reading: Reading | None,
    result: ToolResult | None,
    context: Context | None,
) -> None:
    """Write the line of one call.

    Args:
        tool: The tool's name.
        operation: E.g. ``"GET /articles/{slug}"``.
        seconds: How long the call took.
        reading: The response, as far as it came; None where the call was refused before.
        result: What the client gets; None where the call was cancelled.
        context: The FastMCP context of the call; None where it came over no protocol.
    """
    if not calls.isEnabledFor(logging.INFO):
        return
    call: dict[str, Any] = {
        "tool": tool,
        "operation": operation,
        "outcome": _outcome(result),
        "status": reading.status if reading is not None else 0,
        "ms": round(seconds * 1000, 1),
        "bytes": reading.size if reading is not None else 0,
        "client": _client_name(context),
        "subject": _subject(context),
        "request_id": _request_id(reading, context),
    }
    line = " ".join(f"{key}={_shown(value)}" for key, value in call.items())
    calls.info(line, extra={"call": call})


def _outcome(result: ToolResult | None) -> str:
    if result is None:
        return "cancelled"
    if isinstance(result, InputRequiredToolResult):
        return "asked"
    return "error" if result.is_error else "ok"


def _request_id(reading: Reading | None, context: Context | None) -> str | None:
    """Return the ``X-Request-ID`` of the response, or that of the MCP request."""
    if reading is not None and (given := reading.headers.get("x-request-id")):
        return given
    request = context.request_context.request if context and context.request_context else None
    return request.headers.get("x-request-id") if isinstance(request, Request) else None


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
