"""The command ``mcp-mount``."""

import cyclopts
import uvicorn
from starlette.types import ASGIApp

# The order of the commands is that of the functions below.
app = cyclopts.App(
    name="mcp-mount",
    help="Offers HTTP APIs and other MCP servers as one MCP endpoint.",
    default_parameter=cyclopts.Parameter(negative=()),
)


def serve(application: ASGIApp, *, host: str, port: int) -> None:
    """Serve until the process is told to stop; what streams then gets two seconds to end."""
    uvicorn.run(application, host=host, port=port, timeout_graceful_shutdown=2)
