"""The command ``mcp-mount``."""

import logging
import signal
import sys
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Final

import cyclopts
import uvicorn
from cyclopts import Parameter
from cyclopts.validators import Number
from starlette.types import ASGIApp
from uvicorn.config import LOGGING_CONFIG

from mcp_mount.errors import MountError
from mcp_mount.gateway import example_remote, gateway_app, read_servers

logger = logging.getLogger("mcp_mount")

_PORTS: Final = Number(gte=1, lte=65535)

# The order of the commands is that of the functions below.
app = cyclopts.App(
    name="mcp-mount",
    help="Offers HTTP APIs and other MCP servers as one MCP endpoint.",
    default_parameter=cyclopts.Parameter(negative=()),
)


def serve(application: ASGIApp, *, host: str, port: int) -> None:
    """Serve until the process is told to stop; what streams then gets two seconds to end."""
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        timeout_graceful_shutdown=2,
        # Each call has a line of ours.
        access_log=False,
        log_config=_logging(),
    )
    logger.info("The MCP endpoint is at http://%s:%d/mcp", host, port)
    server = uvicorn.Server(config)
    _end_with_the_terminal()
    server.run()
    if not server.started:
        sys.exit(1)


def _end_with_the_terminal() -> None:
    """End as when told to, so that programs are ended too; unless it is to outlive its terminal."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def _logging() -> dict[str, Any]:
    """Return uvicorn's logging with ours in it: a line for each call, and what remotes do."""
    config = deepcopy(LOGGING_CONFIG)
    config["loggers"] |= {
        "mcp_mount": {"handlers": ["default"], "level": "INFO", "propagate": False},
        # It writes tracebacks of what is told in a line of ours, and the ids of sessions.
        "mcp.client": {"handlers": [], "level": "CRITICAL"},
        "mcp.shared": {"handlers": [], "level": "CRITICAL"},
    }
    return config


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

    How they are is told at /health.

    Args:
        servers: A file in the form that MCP clients have, with "mcpServers" in it.
        host: The address to serve at; 0.0.0.0 stands for all of the machine's.
        port: The port to serve at.
        example: Offer an example server as well, with the tool example_hello_world.
    """
    try:
        remotes = [*(read_servers(servers) if servers is not None else ())]
        if example:
            remotes.append(example_remote())
        if not remotes:
            raise MountError("Name a file with servers, or try it with --example.")
        application = gateway_app(remotes)
    except MountError as error:
        sys.exit(f"mcp-mount: {error}")
    serve(application, host=host, port=port)
