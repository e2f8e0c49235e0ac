"""Give a FastAPI application a Model Context Protocol endpoint, in the same process.

    from fastapi import FastAPI
    from mcp_mount import mount_mcp

    app = FastAPI(title="Parts")

    @app.get("/parts/{part_id}")
    async def get_part(part_id: int) -> dict[str, int]:
        return {"part_id": part_id}

    mount_mcp(app)  # every operation is now an MCP tool at /mcp

Start here:

    mount_mcp     offers the operations of an app; returns a `Mounted`
    proxy_app     offers those of an API elsewhere: `Upstream`, `ClientCredentials`
    gateway_app   offers the tools of other MCP servers and APIs: `Remote`, `API`, `RemoteState`

Their options are `Limits`, `RateLimit`, `Tasks`, a `Selector` of an `Operation`, and `ScopesOf`;
what all three take is in `MountOptions`. A wrong option or document raises `MountError`, of which
`InvalidDocument`, `InvalidMark`, `InvalidSelector` and `NameClash` are kinds. Middleware knows a
tool call by ``scope[TOOL_KEY]``, the tool's name. `__version__` is the package's.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mcp_mount.version import __version__

if TYPE_CHECKING:
    from mcp_mount.access.auth import ScopesOf
    from mcp_mount.access.rates import RateLimit
    from mcp_mount.apis import API
    from mcp_mount.assembly import MountOptions
    from mcp_mount.backends.request import TOOL_KEY
    from mcp_mount.backends.token import ClientCredentials
    from mcp_mount.backends.upstream import Upstream
    from mcp_mount.errors import (
        InvalidDocument,
        InvalidMark,
        InvalidSelector,
        MountError,
        NameClash,
    )
    from mcp_mount.gateway import gateway_app
    from mcp_mount.limits import Limits
    from mcp_mount.mount import mount_mcp
    from mcp_mount.mounted import Mounted
    from mcp_mount.openapi.operations import Operation
    from mcp_mount.proxy import proxy_app
    from mcp_mount.remotes.remote import Remote, RemoteState
    from mcp_mount.tasks.options import Tasks
    from mcp_mount.tools.marks import Selector

__all__ = [
    "API",
    "TOOL_KEY",
    "ClientCredentials",
    "InvalidDocument",
    "InvalidMark",
    "InvalidSelector",
    "Limits",
    "MountError",
    "MountOptions",
    "Mounted",
    "NameClash",
    "Operation",
    "RateLimit",
    "Remote",
    "RemoteState",
    "ScopesOf",
    "Selector",
    "Tasks",
    "Upstream",
    "__version__",
    "gateway_app",
    "mount_mcp",
    "proxy_app",
]

_MODULES: Final = {
    "access.auth": ("ScopesOf",),
    "access.rates": ("RateLimit",),
    "apis": ("API",),
    "assembly": ("MountOptions",),
    "backends.request": ("TOOL_KEY",),
    "backends.token": ("ClientCredentials",),
    "backends.upstream": ("Upstream",),
    "errors": ("InvalidDocument", "InvalidMark", "InvalidSelector", "MountError", "NameClash"),
    "gateway": ("gateway_app",),
    "limits": ("Limits",),
    "mount": ("mount_mcp",),
    "mounted": ("Mounted",),
    "openapi.operations": ("Operation",),
    "proxy": ("proxy_app",),
    "remotes.remote": ("Remote", "RemoteState"),
    "tasks.options": ("Tasks",),
    "tools.marks": ("Selector",),
}
"""Where the public names are; they are imported when they are asked for (PEP 562)."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
