"""The span of a request that is answered here, as FastMCP makes it for the others."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from fastmcp.server.telemetry import seam_span, server_span
from fastmcp.telemetry import extract_trace_context
from fastmcp.tools import Tool
from opentelemetry import context as otel_context
from opentelemetry import trace


def is_traced() -> bool:
    """Whether the process has a tracer at all."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def request_span(
    method: str, tool: Tool | None, *, server: str, version: str, parent: Mapping[str, str]
) -> Iterator[None]:
    """Answer a request within its span, which belongs to the trace of the client (``_meta``).

    Args:
        method: ``"tools/call"`` or ``"tools/list"``.
        tool: What is called.
        server: The FastMCP server's name.
        version: The protocol version that the client speaks.
        parent: The trace context, e.g. ``{"traceparent": "00-…"}``.
    """
    name = tool.name if tool is not None else ""
    with ExitStack() as stack:
        if parent and (context := extract_trace_context(dict(parent))) is not None:
            stack.callback(otel_context.detach, otel_context.attach(context))
        span = stack.enter_context(seam_span(method, server))
        span.set_attribute("mcp.protocol.version", version)
        stack.enter_context(
            server_span(
                f"{method} {name}".strip(), method, server, "tool", name, tool_name=name or None
            )
        )
        if tool is not None:
            span.set_attributes(tool.get_span_attributes())
        yield
