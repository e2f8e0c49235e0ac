"""A Model Context Protocol endpoint for a FastAPI application, in the same process.

The folders and modules in the order in which to read them; each imports only from those above it.
A folder's ``__init__.py`` lists what is in it:

    errors         what can be wrong, and what to do about it
    loops          values that each event loop has of its own
    limits         what calls may take
    openapi/       what an OpenAPI document says, and its schemas as every client accepts them
    access/        who calls, who may, and how often
    calls/         a request on its way to the app in this process, or to an API elsewhere
    conversion/    what a model gives as a request, and a response as what it gets
    tools/         which operations are offered, and each of them as a tool
    remotes/       other MCP servers as a source of tools
    server         the tools of a document, and of remotes, as an MCP server
    fastlane/      the same answers, sooner
    endpoints/     where MCP is served: the door, the transports, the start and the stop
    source         the app or an API elsewhere, as what is offered
    checks         what is wrong with the options of a mount
    mount          the server on the app
    example        a server to try the gateway with
    environment    variables in what configuration says
    gateway        several servers behind one endpoint
    proxy          an app that offers an API elsewhere
    flags          the command line's words for an upstream
    cli            the command line
"""

from mcp_mount.access.rates import RateLimit
from mcp_mount.calls.token import ClientCredentials
from mcp_mount.calls.upstream import Upstream
from mcp_mount.errors import InvalidMark, InvalidSelector, MountError, NameClash
from mcp_mount.gateway import gateway_app
from mcp_mount.limits import Limits
from mcp_mount.mount import Mounted, mount_mcp
from mcp_mount.openapi.operations import Operation
from mcp_mount.proxy import proxy_app
from mcp_mount.remotes.remote import Remote

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
    "gateway_app",
    "mount_mcp",
    "proxy_app",
]
