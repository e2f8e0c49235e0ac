"""The span of a call that is answered here, as FastMCP makes it for the others."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fastmcp.server.telemetry import server_span
from fastmcp.telemetry import extract_trace_context
from fastmcp.tools import Tool
from opentelemetry import context as otel_context
from opentelemetry import trace


def is_traced() -> bool:
    """Whether the process has a tracer at all."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def call_span(
    server_name: str, tool: Tool, version: str, parent: Mapping[str, str]
) -> Iterator[trace.Span]:
    """Run a call within its span, which belongs to the trace of the client (``_meta``).

    Args:
        server_name: The FastMCP server's.
        tool: What is called.
        version: The protocol version that the client speaks.
        parent: The trace context, e.g. ``{"traceparent": "00-…"}``.
    """
    context = extract_trace_context(dict(parent)) if parent else None
    token = otel_context.attach(context) if context is not None else None
    name = tool.name
    try:
        with server_span(
            f"tools/call {name}", "tools/call", server_name, "tool", name, tool_name=name
        ) as span:
            span.set_attributes({**tool.get_span_attributes(), "mcp.protocol.version": version})
            yield span
    finally:
        if token is not None:
            otel_context.detach(token)
