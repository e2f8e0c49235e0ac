"""A Model Context Protocol endpoint for a FastAPI application, in the same process."""

from mcp_mount.content import Limits
from mcp_mount.errors import InvalidMark, InvalidSelector, MountError, NameClash
from mcp_mount.mount import Mounted, mount_mcp
from mcp_mount.operations import Operation

__all__ = [
    "InvalidMark",
    "InvalidSelector",
    "Limits",
    "MountError",
    "Mounted",
    "NameClash",
    "Operation",
    "mount_mcp",
]
