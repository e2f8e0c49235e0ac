"""The span of a request that is answered here, as FastMCP makes it for the others."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastmcp.server.telemetry import seam_span, server_span
from fastmcp.tools import Tool


@contextmanager
def request_span(method: str, tool: Tool | None, *, server: str, version: str) -> Iterator[None]:
    """Answer a request within its span."""
    name = tool.name if tool is not None else ""
    whole = f"{method} {name}".strip()
    with seam_span(method, server) as span:
        span.set_attribute("mcp.protocol.version", version)
        with server_span(whole, method, server, "tool", name, tool_name=name or None):
            if tool is not None:
                span.set_attributes(tool.get_span_attributes())
            yield
