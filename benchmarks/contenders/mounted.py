"""The application with `mcp_mount`, as the README mounts it."""

from benchmarks.application import build_full
from mcp_mount import mount_mcp

app = build_full()
mount_mcp(app)
