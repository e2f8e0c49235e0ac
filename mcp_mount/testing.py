"""A client of an app in this process, for the tests of that app.

    from mcp_mount.testing import client

    async def test_a_part_is_found() -> None:
        async with client(app) as mcp:
            result = await mcp.call_tool("get_part", {"part_id": 1})
        assert result.structured_content == {"part_id": 1}

There is no socket and no server. Everything else is as in production: the app's lifespan and
middleware run, streams arrive while they are produced, and a caller has the headers that it sends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Literal

import httpx2
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.utilities.asgi_transport import StreamingASGITransport
from mcp_types.version import LATEST_MODERN_VERSION
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.endpoints.endpoint import Endpoint
from mcp_mount.errors import MountError

Era = Literal["modern", "legacy"]

__all__ = ["client"]


@asynccontextmanager
async def client(
    app: ASGIApp,
    *,
    path: str | None = None,
    headers: Mapping[str, str] | None = None,
    era: Era = "modern",
    lifespan: bool = True,
    base_url: str = "http://localhost",
) -> AsyncIterator[Client[StreamableHttpTransport]]:
    """Yield a FastMCP client that is connected to the MCP endpoint of an app.

    What the app raises during a request reaches the test only as a server would tell a client, so
    that it is tested what callers see.

    Args:
        app: The application on which `mount_mcp` was called, or one that wraps it.
        path: Where the endpoint is; by default, where `mount_mcp` put it.
        headers: What each request says of its caller, such as ``{"X-Api-Key": "secret"}``.
        era: ``"modern"`` for the protocol of 2026-07-28, ``"legacy"`` for a handshake.
        lifespan: Whether the app is started before and stopped after.
        base_url: The scheme and the host under which the app believes to be.

    Raises:
        MountError: no path is given, and the app has no MCP endpoint.
        RuntimeError: the app could not start.
        MCPError: the endpoint refuses the caller.
    """
    url = base_url.rstrip("/") + (find_path(app) if path is None else path)
    state: dict[str, Any] = {}

    transport = StreamableHttpTransport(
        url, headers=dict(headers or {}), httpx_client_factory=in_process(app, state)
    )
    mode = LATEST_MODERN_VERSION if era == "modern" else "legacy"
    started = running(app, state) if lifespan else nullcontext()
    async with started, Client(transport, mode=mode) as connected:
        if era == "modern":
            # Without a handshake, a stranger would not be refused before the first request.
            await connected.session.send_discover(mode)
        yield connected


def in_process(app: ASGIApp, state: dict[str, Any]) -> Callable[..., httpx2.AsyncClient]:
    """Return a factory of HTTP clients of an app, whose requests have the lifespan's `state`."""

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    def connect(*_: Any, **options: Any) -> httpx2.AsyncClient:
        # The app hears that a client has gone, and ends what it does by itself.
        options["transport"] = StreamingASGITransport(with_state, cancel_on_close=False)
        return httpx2.AsyncClient(**options)

    return connect


def find_path(app: ASGIApp) -> str:
    """Return the path of an app's MCP endpoint, e.g. ``"/mcp"``.

    Raises:
        MountError: it has none.
    """
    endpoint = find_endpoint(app)
    if endpoint is not None:
        return endpoint.path
    if isinstance(app, Starlette):
        raise MountError(
            "The app has no MCP endpoint: call mount_mcp(app) on it first, or name the path of one "
            "that is mounted below it with path=."
        )
    return "/mcp"


def find_endpoint(app: ASGIApp) -> Endpoint | None:
    """Return the endpoint that `mount_mcp` put onto an app, if there is one."""
    routes = app.routes if isinstance(app, Starlette) else ()
    # One of the older transport, with GET, comes behind the other.
    return next((each for each in routes if isinstance(each, Endpoint)), None)


@asynccontextmanager
async def running(app: ASGIApp, state: dict[str, Any]) -> AsyncIterator[None]:
    """Start an app, and stop it again, as a server does (ASGI "Lifespan Protocol").

    `state` is filled with what the app's lifespan yields.

    Raises:
        RuntimeError: the app could not start or stop; its own error is the cause.
    """
    told: asyncio.Queue[Message] = asyncio.Queue()
    answers: asyncio.Queue[Message] = asyncio.Queue()
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
    # A task and not a task group, which would hide what a test raises in a group.
    lifespan = asyncio.ensure_future(app(scope, told.get, answers.put))

    async def ask(phase: str) -> None:
        await told.put({"type": f"lifespan.{phase}"})
        answer = asyncio.ensure_future(answers.get())
        await asyncio.wait({answer, lifespan}, return_when=asyncio.FIRST_COMPLETED)
        failed = answer.done() and answer.result()["type"] == f"lifespan.{phase}.failed"
        answer.cancel()
        if failed:
            await asyncio.wait({lifespan})
        error = lifespan.exception() if lifespan.done() else None
        if failed or error is not None:
            raise RuntimeError(f"The app has failed at its {phase}: {error!r}") from error

    try:
        await ask("startup")
        try:
            yield
        finally:
            await ask("shutdown")
    finally:
        lifespan.cancel()
        await asyncio.wait({lifespan})
