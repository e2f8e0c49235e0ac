"""The command ``mcp-mount``."""

import logging
import sys
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number

from mcp_mount.errors import MountError
from mcp_mount.version import __version__

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from mcp_mount.mounted import Mounted

logger = logging.getLogger("mcp_mount")

Many = Annotated[tuple[str, ...], Parameter(show_default=False)]
"""An option that may be given several times."""
_PORTS: Final = Number(gte=1, lte=65535)

# The order of the commands is that of the functions below.
app = cyclopts.App(
    name="mcp-mount",
    version=__version__,
    help="Offers HTTP APIs and other MCP servers as one MCP endpoint.",
    default_parameter=cyclopts.Parameter(negative=()),
)


def serve(application: "ASGIApp", *, host: str, port: int, about: str) -> None:
    """Serve until the process is told to stop; open streams then get two seconds to end.

    `about` is what the log says first.
    """
    import uvicorn

    from mcp_mount.system import end_with_the_terminal

    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        timeout_graceful_shutdown=2,
        # Each call has a line of ours.
        access_log=False,
        log_config=_logging(),
    )
    logger.info(about)
    logger.info("The MCP endpoint is at http://%s:%d/mcp", host, port)
    server = uvicorn.Server(config)
    end_with_the_terminal()
    server.run()
    if not server.started:
        sys.exit(1)


def _logging() -> dict[str, Any]:
    """Return uvicorn's logging configuration with our loggers added."""
    from uvicorn.config import LOGGING_CONFIG

    config = deepcopy(LOGGING_CONFIG)
    config["loggers"] |= {
        "mcp_mount": {"handlers": ["default"], "level": "INFO", "propagate": False},
        # These write tracebacks of what a line of ours says already, and the ids of sessions.
        "mcp.client": {"handlers": [], "level": "CRITICAL"},
        "mcp.shared": {"handlers": [], "level": "CRITICAL"},
    }
    return config


@app.command
def proxy(
    *,
    openapi: Annotated[str, Parameter(env_var="OPENAPI")],
    upstream: Annotated[str | None, Parameter(env_var="UPSTREAM_URL")] = None,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="PORT", validator=_PORTS)] = 8000,
    include: Many = (),
    exclude: Many = (),
    forward_header: Many = (),
    upstream_header: Many = (),
    allow_slashes: Many = (),
    ca_file: Path | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
    token_url: Annotated[str | None, Parameter(env_var="TOKEN_URL")] = None,
    client_id: Annotated[str | None, Parameter(env_var="CLIENT_ID")] = None,
    client_secret: Annotated[str | None, Parameter(env_var="CLIENT_SECRET", show=False)] = None,
    token_scope: str | None = None,
    timeout: float = 60.0,
    public_url: str | None = None,
    allowed_origin: Many = (),
) -> None:
    """Offer the operations of an HTTP API as MCP tools at http://HOST:PORT/mcp.

    GET /health says whether the API answers. No credential of a caller reaches the API, unless
    --forward-header names it.

    Args:
        openapi: The API's OpenAPI 3 document, in JSON or YAML: a file or a URL.
        upstream: Where the API is, such as http://localhost:9000. By default, where the document
            says, if it was fetched from the same host.
        host: The address to listen on; 0.0.0.0 stands for all of the machine's.
        port: The port to listen on.
        include: Offer these operations only: an operation id, "tag:NAME", "/path/*" or "GET *".
        exclude: Leave these operations out.
        forward_header: Send this header of the caller to the API, such as Authorization.
        upstream_header: Send this header of the proxy's own to the API: "Name: value". ${NAME} is
            replaced with that environment variable.
        allow_slashes: Allow slashes in the path values of this operation: "GET /files/{path}".
        ca_file: A PEM file of the certificate authorities to trust for the API.
        client_cert: A PEM file of the certificate that the proxy shows the API.
        client_key: A PEM file of that certificate's key, if it is not in the same file.
        token_url: Where the proxy gets its own access tokens for the API (OAuth 2.0 client
            credentials); needs CLIENT_ID and CLIENT_SECRET in the environment.
        client_id: The proxy's client id.
        client_secret: The client secret; from the environment only, where other users cannot read
            it.
        token_scope: The scope to ask for, such as "parts:read".
        timeout: Seconds until a response must be complete.
        public_url: The endpoint's URL as clients see it.
        allowed_origin: Let web pages of this origin call, such as https://app.example.
    """
    import anyio

    from mcp_mount.backends.upstream import Upstream
    from mcp_mount.flags import read_credentials, read_headers, read_tls
    from mcp_mount.limits import Limits
    from mcp_mount.openapi.document import is_url
    from mcp_mount.proxy import proxy_app

    try:
        if upstream is None and not is_url(openapi):
            raise MountError("Where is the API? Give --upstream http://localhost:9000.")
        application = proxy_app(
            openapi,
            Upstream(
                upstream or "",
                headers=read_headers(upstream_header),
                forward_headers=tuple(forward_header),
                slashes=tuple(allow_slashes),
                tls=read_tls(ca_file, client_cert, client_key),
                auth=read_credentials(token_url, client_id, client_secret, token_scope),
            ),
            include=include,
            exclude=exclude,
            limits=Limits(timeout=timeout),
            public_url=public_url,
            allowed_origins=allowed_origin,
        )
    except MountError as error:
        sys.exit(f"mcp-mount: {error}")
    mounted: Mounted = application.state.mcp
    count = len(anyio.run(mounted.server.list_tools))
    about = (
        f"{count} tools of {mounted.server.name!r} at {mounted.upstream}; for old clients at /sse"
    )
    serve(application, host=host, port=port, about=about)


@app.command
def gateway(
    servers: Annotated[Path | None, Parameter(env_var="GATEWAY_SERVERS")] = None,
    /,
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(env_var="PORT", validator=_PORTS)] = 8490,
    example: bool = False,
) -> None:
    """Offer several MCP servers at http://HOST:PORT/mcp, each under its name.

    GET /health says which of them are up.

    Args:
        servers: A file of the kind that MCP clients read, with "mcpServers" in it.
        host: The address to listen on; 0.0.0.0 stands for all of the machine's.
        port: The port to listen on.
        example: Also offer an example server, with the tool example_hello_world.
    """
    from mcp_mount.gateway import example_remote, gateway_app, read_servers

    try:
        remotes = [*(read_servers(servers) if servers is not None else ())]
        if example:
            remotes.append(example_remote())
        if not remotes:
            raise MountError("Name a file with servers, or try it with --example.")
        application = gateway_app(remotes)
    except MountError as error:
        sys.exit(f"mcp-mount: {error}")
    names = ", ".join(remote.name for remote in remotes)
    serve(application, host=host, port=port, about=f"Tools of other servers: {names}")
