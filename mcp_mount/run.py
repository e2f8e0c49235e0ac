"""The command ``mcp-mount run``: an app, or an endpoint elsewhere, for one client or for many."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from mcp_mount.errors import MountError
from mcp_mount.options import ServeOptions


def run(
    target: str,
    /,
    *,
    port: Annotated[int, Parameter(env_var="PORT", validator=Number(gte=1, lte=65535))] = 8000,
    app_dir: Path = Path(),
    reload: bool = False,
    options: ServeOptions = ServeOptions(),  # noqa: B008 - frozen
) -> None:
    """Serve a FastAPI app with MCP at http://HOST:PORT/mcp, or on standard input and output.

    An app that calls mount_mcp is served as it is; any other one gets its endpoint here, and needs
    no change.

    Args:
        target: The app, such as main:app; or, with --stdio, the URL of an MCP endpoint.
        port: The port to listen on.
        app_dir: The folder in which the app's module is.
        reload: Start anew whenever a file in that folder changes.
        options: What all commands have.
    """
    try:
        if target.startswith(("http://", "https://")):
            _carry_to(target, options)
        elif options.stdio:
            _serve_on_stdio(target, app_dir, options)
        elif reload:
            _serve_anew(target, app_dir, port, options)
        else:
            _serve(target, app_dir, port, options)
    except MountError as error:
        sys.exit(f"mcp-mount: {error}")


def _carry_to(url: str, options: ServeOptions) -> None:
    from mcp_mount.flags import read_headers
    from mcp_mount.serving import carry_to
    from mcp_mount.stdio import claimed_streams

    if not options.stdio:
        raise MountError(
            "What has a URL is served already: add --stdio for a client that starts programs, or "
            "use mcp-mount gateway for several servers behind one endpoint."
        )
    headers = read_headers(options.header, "--header")
    with claimed_streams() as streams:
        carry_to(url, streams, headers=headers)


def _serve_on_stdio(target: str, folder: Path, options: ServeOptions) -> None:
    from mcp_mount.flags import read_headers
    from mcp_mount.stdio import claimed_streams

    headers = read_headers(options.header, "--header")
    # Before the app is imported, which may print.
    with claimed_streams() as streams:
        from mcp_mount.loading import endpoint_path, load_app
        from mcp_mount.serving import serve_on_stdio

        app = load_app(target, folder, options)
        path = endpoint_path(app) or "/mcp"
        serve_on_stdio(app, streams, headers=headers, about=f"The app {target!r}", path=path)


def _serve(target: str, folder: Path, port: int, options: ServeOptions) -> None:
    from mcp_mount.loading import endpoint_path, load_app
    from mcp_mount.serving import serve

    app = load_app(target, folder, options)
    path = endpoint_path(app) or "/mcp"
    serve(app, host=options.host, port=port, about=f"The app {target!r}", path=path)


def _serve_anew(target: str, folder: Path, port: int, options: ServeOptions) -> None:
    import uvicorn
    from uvicorn.supervisors import ChangeReload

    from mcp_mount.loading import load_app
    from mcp_mount.serving import server_config

    config = server_config(
        # Called in each new process.
        partial(load_app, target, folder, options),
        factory=True,
        host=options.host,
        port=port,
    )
    # As an option, uvicorn takes it with the name of an app only.
    config.reload_dirs = [folder.resolve()]
    server = uvicorn.Server(config)
    ChangeReload(config, target=server.run, sockets=[config.bind_socket()]).run()
