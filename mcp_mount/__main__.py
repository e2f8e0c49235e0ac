"""Run the command: ``python -m mcp_mount`` is ``mcp-mount``."""

from mcp_mount.cli import app

app()
