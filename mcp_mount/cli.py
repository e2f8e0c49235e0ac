"""The command ``mcp-mount``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number

from mcp_mount.errors import MountError
from mcp_mount.options import ServeOptions
from mcp_mount.run import run
from mcp_mount.version import __version__

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from mcp_mount.mounted import Mounted

Many = Annotated[tuple[str, ...], Parameter(show_default=False)]
"""An option that may be given several times."""
SurfaceFlag = Literal["tools", "search", "auto"]
_PORTS: Final = Number(gte=1, lte=65535)
_DEFAULTS: Final = ServeOptions()

SSE_PATH: Final = "/sse"
"""Where clients of the older transport find the tools."""

# The order of the commands is that of the functions below.
app = cyclopts.App(
    name="mcp-mount",
    version=__version__,
    help="Shows, calls and checks the tools of an app, and offers APIs and MCP servers as one.",
    default_parameter=cyclopts.Parameter(negative=()),
)


def _serve(application: "ASGIApp", options: ServeOptions, *, port: int, about: str) -> None:
    """Serve as the options say: over HTTP, or on standard input and output."""
    from mcp_mount.flags import read_headers
    from mcp_mount.serving import serve, serve_on_stdio
    from mcp_mount.stdio import claimed_streams

    if not options.stdio:
        serve(application, host=options.host, port=port, about=about)
        return
    headers = read_headers(options.header, "--header")
    with claimed_streams() as streams:
        serve_on_stdio(application, streams, headers=headers, about=about)


app.command(run)


# None of these is imported before it is run, so what each says of itself stands here too.
for _name, _function, _help in (
    ("list", "listing:list_tools", "List the tools of an app, a file or a running server."),
    (
        "call",
        "calling:call",
        """\
Call a tool of an app, a file or a running server.

What streams is written while it arrives. The code is 1 where the tool answers with an error.""",
    ),
    (
        "check",
        "checking:check",
        """\
Look for what makes models choose, fill in or read tools badly, and say what to do.

The code is 1 where there are errors; with --strict where there is anything. Rules are silenced
here, by a mark on the route, or in pyproject.toml: [tool.mcp-mount] silence = ["long-name"].""",
    ),
    (
        "export",
        "listing:export",
        "Write the list of tools as JSON, sorted by name, for review in a pull request.",
    ),
    (
        "connect",
        "connecting:connect",
        """\
Show what connects a client to a running endpoint, or write it where the client looks.

Nothing that a file holds is changed: a server is added, or the command says why not.""",
    ),
    (
        "worker",
        "working:worker",
        """\
Run the tasks of an app whose mount_mcp says tasks=Tasks("redis://…"), until told to stop.

Start as many as are needed, on as many machines. Each takes what waits, tasks.concurrency at
once, and needs the app's environment. On SIGTERM, what runs has a second to end.""",
    ),
):
    app.command(f"mcp_mount.commands.{_function}", name=_name, help=_help)


@app.command
def proxy(
    *,
    openapi: Annotated[str, Parameter(env_var="OPENAPI")],
    upstream: Annotated[str | None, Parameter(env_var="UPSTREAM_URL")] = None,
    base_path: str | None = None,
    port: Annotated[int, Parameter(env_var="PORT", validator=_PORTS)] = 8000,
    fields: Many = (),
    tools: Path | None = None,
    forward_header: Many = (),
    upstream_header: Many = (),
    allow_slashes: Many = (),
    allow_encoded_slashes: Many = (),
    strict: bool = False,
    ca_file: Path | None = None,
    client_cert: Path | None = None,
    client_key: Path | None = None,
    token_url: Annotated[str | None, Parameter(env_var="TOKEN_URL")] = None,
    client_id: Annotated[str | None, Parameter(env_var="CLIENT_ID")] = None,
    client_secret: Annotated[str | None, Parameter(env_var="CLIENT_SECRET", show=False)] = None,
    token_scope: str | None = None,
    options: ServeOptions = _DEFAULTS,
) -> None:
    """Offer the operations of an HTTP API as MCP tools at http://HOST:PORT/mcp.

    GET /health says whether the API answers. No credential of a caller reaches the API, unless
    --forward-header names it. MCP_API_KEY in the environment is the key that callers must show.

    Args:
        openapi: The API's OpenAPI 3 document, in JSON or YAML: a file or a URL. From the API's own
            origin it is fetched with the upstream headers and the token.
        upstream: Where the API is, such as http://localhost:9000. By default, where the document
            says, if it was fetched from the same host. A path in it replaces the document's.
        base_path: What stands before the document's paths, such as /api, or "" for nothing,
            whatever the document says.
        port: The port to listen on.
        fields: Let a model ask for some fields of what these operations answer, as in --include.
        tools: A JSON file that says more of the tools, or something else:
            {"POST /search*": {"annotations": {"readOnlyHint": true}}}.
        forward_header: Send this header of the caller to the API, such as Authorization.
        upstream_header: Send this header of the proxy's own to the API: "Name: value". ${NAME} is
            replaced with that environment variable.
        allow_slashes: Allow slashes in the path values of this operation: "GET /files/{path}".
        allow_encoded_slashes: The same, but send each slash as %2F: "GET /projects/{id}".
        strict: Do not start where the document puts an operation on another host; otherwise it is
            left out.
        ca_file: A PEM file of the certificate authorities to trust for the API.
        client_cert: A PEM file of the certificate that the proxy shows the API.
        client_key: A PEM file of that certificate's key, if it is not in the same file.
        token_url: Where the proxy gets its own access tokens for the API (OAuth 2.0 client
            credentials); needs CLIENT_ID and CLIENT_SECRET in the environment.
        client_id: The proxy's client id.
        client_secret: The client secret; from the environment only, where other users cannot read
            it.
        token_scope: The scope to ask for, such as "parts:read".
        options: What all commands have.
    """
    import anyio

    from mcp_mount.backends.upstream import Upstream
    from mcp_mount.door import mount_options, upstream_credentials
    from mcp_mount.flags import (
        check_source,
        describe_prefix,
        read_credentials,
        read_headers,
        read_tls,
        read_tools,
    )
    from mcp_mount.proxy import proxy_app
    from mcp_mount.search.surface import asking_for_others

    try:
        check_source(openapi, upstream)
        api = Upstream(
            upstream or "",
            headers=read_headers(upstream_header, "--upstream-header"),
            forward_headers=tuple(forward_header),
            slashes=tuple(allow_slashes),
            encoded_slashes=tuple(allow_encoded_slashes),
            base_path=base_path,
            strict=strict,
            tls=read_tls(ca_file, client_cert, client_key),
            auth=read_credentials(token_url, client_id, client_secret, token_scope),
        )
        credentials = [*upstream_credentials(api), *["--client-cert"] * bool(client_cert)]
        shared = mount_options(options, credentials)
        shared["fields"], shared["tools"] = fields, read_tools(tools)
        sse_path = None if options.sse is False else SSE_PATH
        application = proxy_app(openapi, api, sse_path=sse_path, **shared)
    except MountError as error:
        sys.exit(f"mcp-mount: {error}")
    mounted: Mounted = application.state.mcp

    async def count_tools() -> int:
        with asking_for_others():
            return len(await mounted.server.list_tools())

    count = anyio.run(count_tools)
    about = f"{count} tools of {mounted.server.name!r} at {mounted.upstream}"
    if base_path is None and upstream is not None:
        about += describe_prefix(upstream, mounted.upstream or "")
    if sse_path is not None:
        about = f"{about}; for old clients at {sse_path}"
    _serve(application, options, port=port, about=about)


@app.command
def gateway(
    servers: Annotated[Path | None, Parameter(env_var="GATEWAY_SERVERS")] = None,
    /,
    *,
    port: Annotated[int, Parameter(env_var="PORT", validator=_PORTS)] = 8490,
    example: bool = False,
    options: ServeOptions = _DEFAULTS,
) -> None:
    """Offer several MCP servers at http://HOST:PORT/mcp, each under its name.

    GET /health says which of them are up. MCP_API_KEY in the environment is the key that callers
    must show.

    Args:
        servers: A file of the kind that MCP clients read, with "mcpServers" in it.
        port: The port to listen on.
        example: Also offer an example server, with the tool example_hello_world.
        options: What all commands have.
    """
    from mcp_mount.door import mount_options, remote_credentials
    from mcp_mount.gateway import example_remote, gateway_app, read_servers

    try:
        remotes = [*(read_servers(servers) if servers is not None else ())]
        if example:
            remotes.append(example_remote())
        if not remotes:
            raise MountError("Name a file with servers, or try it with --example.")
        shared = mount_options(options, remote_credentials(remotes))
        application = gateway_app(remotes, sse_path=SSE_PATH if options.sse else None, **shared)
    except MountError as error:
        sys.exit(f"mcp-mount: {error}")
    names = ", ".join(remote.name for remote in remotes)
    _serve(application, options, port=port, about=f"Tools of other servers: {names}")
