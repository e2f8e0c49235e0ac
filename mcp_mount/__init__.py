"""Give a FastAPI application a Model Context Protocol endpoint, in the same process.

    from fastapi import FastAPI
    from mcp_mount import mount_mcp

    app = FastAPI(title="Parts")

    @app.get("/parts/{part_id}")
    async def get_part(part_id: int) -> dict[str, int]:
        return {"part_id": part_id}

    mount_mcp(app)  # every operation is now an MCP tool at /mcp

`mount_mcp` offers the operations of the app, `proxy_app` those of another API, and `gateway_app`
the tools of other MCP servers. `Limits`, `RateLimit`, `Remote`, `Upstream` and `ClientCredentials`
are their options; `Mounted` is what `mount_mcp` returns.
"""

from mcp_mount.access.rates import RateLimit
from mcp_mount.backends.token import ClientCredentials
from mcp_mount.backends.upstream import Upstream
from mcp_mount.errors import InvalidMark, InvalidSelector, MountError, NameClash
from mcp_mount.gateway import gateway_app
from mcp_mount.limits import Limits
from mcp_mount.mount import Mounted, mount_mcp
from mcp_mount.openapi.operations import Operation
from mcp_mount.proxy import proxy_app
from mcp_mount.remotes.remote import Remote
from mcp_mount.version import __version__

__all__ = [
    "ClientCredentials",
    "InvalidMark",
    "InvalidSelector",
    "Limits",
    "MountError",
    "Mounted",
    "NameClash",
    "Operation",
    "RateLimit",
    "Remote",
    "Upstream",
    "__version__",
    "gateway_app",
    "mount_mcp",
    "proxy_app",
]
