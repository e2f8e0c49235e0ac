"""The application with `mcp_mount` and limits that a gigabyte fits in."""

from benchmarks.application import build_full
from mcp_mount import Limits, mount_mcp

app = build_full()
mount_mcp(app, limits=Limits(timeout=600, max_bytes=4 * 1024**3, max_event_bytes=4 * 1024**3))
