"""A transport of FastMCP's client whose results are shown as they came.

The SDK's own session compares each with the tool's ``outputSchema``, in Python and in one step: ten
thousand rows hold up the event loop for 0.4 s, and a regular expression of a server's for ever.
"""

from dataclasses import replace
from typing import Any

from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.client.transports.base import TransportOptions
from mcp import ClientSession
from mcp_types import CallToolResult


class Transport(StreamableHttpTransport):
    """Streamable HTTP."""

    def connect_session(
        self, *, transport_options: TransportOptions | None = None, **options: Any
    ) -> Any:
        """Return a session that does not compare results with their schemas."""
        chosen = replace(transport_options or TransportOptions(), session_class=_Session)
        return super().connect_session(transport_options=chosen, **options)


class _Session(ClientSession):
    async def validate_tool_result(self, name: str, result: CallToolResult) -> None:
        """Take what came."""
