"""A small MCP server to try the gateway with: ``python -m mcp_mount.example`` speaks on stdio."""

from typing import Any

import anyio
from fastmcp import Context, FastMCP

server: FastMCP[Any] = FastMCP(
    name="example",
    instructions="Shows what passes through a gateway: results, progress, a resource, a prompt.",
)
_READS = {"readOnlyHint": True, "openWorldHint": False}


# Without a schema of its result, which would show the text as {"result": …}.
@server.tool(annotations=_READS, output_schema=None)
def hello_world() -> str:
    """Say hello, to see that the way here works."""
    return "Hello from the example MCP server!"


@server.tool(annotations=_READS)
async def count_slowly(context: Context, to: int = 5, pause: float = 0.2) -> dict[str, int]:
    """Count, and tell of each number as progress.

    Args:
        context: Given by the server.
        to: How far, up to 100.
        pause: Seconds between two numbers, up to 1.
    """
    to = max(0, min(to, 100))
    for number in range(1, to + 1):
        await context.report_progress(number, to, f"{number}")
        await anyio.sleep(max(0.0, min(pause, 1.0)))
    return {"counted": to}


@server.resource("text://greeting", mime_type="text/plain")
def greeting() -> str:
    """A greeting, as a resource."""
    return "Hello from a resource of the example MCP server!"


@server.prompt
def greet(name: str) -> str:
    """Ask for a greeting."""
    return f"Greet {name} in one friendly sentence."


if __name__ == "__main__":
    server.run(transport="stdio", show_banner=False, log_level="WARNING")
