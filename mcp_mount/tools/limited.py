"""What tells tools, prompts and resources of ours from those that users add."""

from fastmcp.tools import Tool


class Limited:
    """What counts its calls, bounds them, and writes their lines in the log, by itself."""


class LimitedTool(Limited, Tool):
    """Such a tool."""
