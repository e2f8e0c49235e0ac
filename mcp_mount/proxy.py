"""An app that offers the operations of an API elsewhere, in whatever language it is written."""

from collections.abc import Sequence
from typing import Unpack

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from mcp_mount.assembly import MountOptions
from mcp_mount.backends.upstream import Upstream
from mcp_mount.mount import mount_source
from mcp_mount.remotes.remote import Remote
from mcp_mount.source import OpenAPI, leave_out_elsewhere, read_upstream


def proxy_app(
    openapi: OpenAPI,
    upstream: str | Upstream | None = None,
    *,
    path: str = "/mcp",
    sse_path: str | None = "/sse",
    remotes: Sequence[Remote] = (),
    **options: Unpack[MountOptions],
) -> FastAPI:
    """Return an app that offers the operations of an API elsewhere as tools, at `path`.

    ``app.state.mcp`` is the `Mounted`. A tool that you add to its server replaces the generated one
    of the same name. ``/health`` answers 200 with ``{"status": "ok", "upstream": "up"}``, or 503
    with ``"down"`` if the API does not answer.

    Args:
        openapi: The API's OpenAPI document: a mapping, a path, or a URL.
        upstream: Where the API is: a URL, or an `Upstream` with more. Without it, where the
            document says, if that is a URL on the same host.
        path: The endpoint's path.
        sse_path: The path for clients of the older HTTP+SSE transport, or None.
        remotes: Other MCP servers to offer as well; see `mount_mcp`.
        options: As for `mount_mcp`.

    Raises:
        MountError: as `mount_mcp` does; or the document or the upstream cannot be used.
    """
    app = FastAPI(title="MCP proxy", docs_url=None, redoc_url=None, openapi_url=None)
    source = read_upstream(openapi, upstream)
    options["exclude"] = leave_out_elsewhere(
        source, options.get("include", ()), options.get("exclude", ())
    )
    mounted = mount_source(app, source, path=path, sse_path=sse_path, remotes=remotes, **options)
    app.state.mcp = mounted

    async def health(_: Request) -> JSONResponse:
        is_up = await mounted.upstream_answers()
        status, upstream = ("ok", "up") if is_up else ("down", "down")
        return JSONResponse({"status": status, "upstream": upstream}, 200 if is_up else 503)

    # FastAPI would remember a function of its own routes, and with it the app, for good.
    app.add_route("/health", health, include_in_schema=False)
    return app
