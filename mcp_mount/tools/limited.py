"""What tells tools of ours from those that users add."""

from fastmcp.tools import Tool


class LimitedTool(Tool):
    """A tool that counts its calls, bounds them, and writes their lines in the log, by itself."""
