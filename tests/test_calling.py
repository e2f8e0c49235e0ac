"""A call runs in process, in its caller's context, and no caller sees anything of another."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Literal

import anyio
import pytest
from fastapi import FastAPI, Request, Response
from fastmcp import Client
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Mounted, mount_mcp
from tests.support import ERAS, Era, call, connected, served

Mode = Literal["modern", "legacy", "sessions"]

caller: ContextVar[str] = ContextVar("caller", default="nobody")


class NameCaller:
    """Pure ASGI: puts the caller's name where a service has its request id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/mcp":
            name = dict(scope["headers"]).get(b"x-caller", b"nobody").decode()
            caller.set(name)
            scope["client"] = (name, 1)
            scope.setdefault("state", {})["caller"] = name
        await self.app(scope, receive, send)


async def name_caller(request: Request, call_next: RequestResponseEndpoint) -> Response:
    if request.url.path == "/mcp":
        caller.set(request.headers.get("x-caller", "nobody"))
    return await call_next(request)


@asynccontextmanager
async def client_of(app: ASGIApp, mode: Mode) -> AsyncIterator[Client[Any]]:
    if mode != "sessions":
        async with connected(app, mode) as client:
            yield client
        return
    async with run_asgi_lifespan(app), connected(app, "legacy") as client:
        yield client


@pytest.mark.parametrize("mode", ["modern", "legacy", "sessions"])
@pytest.mark.parametrize("middleware", ["asgi", "base"])
async def test_the_route_sees_context_variables_of_middleware(
    middleware: Literal["asgi", "base"], mode: Mode
) -> None:
    """C1: context variables set by middleware are visible to the route."""
    app = FastAPI()

    @app.get("/sync")
    def in_thread() -> str:
        return caller.get()

    @app.get("/async")
    async def in_loop() -> str:
        return caller.get()

    if middleware == "asgi":
        app.add_middleware(NameCaller)
    else:
        app.add_middleware(BaseHTTPMiddleware, dispatch=name_caller)

    def as_alice(scope: Scope) -> Scope:
        return {**scope, "headers": [*scope["headers"], (b"x-caller", b"alice")]}

    async def alice(scope: Scope, receive: Receive, send: Send) -> None:
        await app(as_alice(scope) if scope["type"] == "http" else scope, receive, send)

    mount_mcp(app, sessions=mode == "sessions")
    async with client_of(alice, mode) as client:
        for tool in ("in_thread", "in_loop"):
            result = await client.call_tool(tool)
            assert result.structured_content == {"result": "alice"}
    assert caller.get() == "nobody"


@pytest.mark.parametrize("era", ERAS)
async def test_what_a_route_sets_stays_in_its_call(era: Era) -> None:
    """C1: a context variable set by a route is not there in the next call."""
    app = FastAPI()

    @app.get("/mark")
    async def mark() -> str:
        before = caller.get()
        caller.set("marked")
        return before

    mount_mcp(app)
    async with connected(app, era) as client:
        for _ in range(2):
            result = await client.call_tool("mark")
            assert result.structured_content == {"result": "nobody"}


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_opens_no_connection_and_asks_no_resolver(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: there is no socket between the endpoint and the route."""
    app = FastAPI()

    @app.get("/whole")
    async def whole() -> str:
        return "here"

    opened: list[object] = []

    def refuse(*args: object, **_: object) -> None:
        opened.append(args)
        raise ConnectionRefusedError

    mount_mcp(app)
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    reply = await call(app, "whole", era=era)
    assert reply.result["structuredContent"] == {"result": "here"}
    assert opened == []


def build_mirror(**options: Any) -> tuple[FastAPI, Mounted]:
    """Return an app with a route that shows all it can see of its caller."""
    app = FastAPI()

    @app.get("/mirror")
    async def mirror(request: Request, response: Response, parties: int = 2) -> dict[str, Any]:
        response.set_cookie("session", request.headers["x-caller"])
        before = request.app.state.__dict__.setdefault("barrier", asyncio.Barrier(parties))
        # All callers are inside at the same time.
        await before.wait()
        return {
            "header": request.headers["x-caller"],
            "cookies": dict(request.cookies),
            "variable": caller.get(),
            "state": request.state.caller,
            "client": request.client.host if request.client else None,
        }

    app.add_middleware(NameCaller)
    return app, mount_mcp(app, **options)


def seen_by(name: str) -> dict[str, Any]:
    cookies = {"sid": name}
    return {"header": name, "cookies": cookies, "variable": name, "state": name, "client": name}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("callers", [2, 200])
async def test_callers_at_the_same_time_see_only_themselves(era: Era, callers: int) -> None:
    """C1: headers, cookies, context variables, state and address are each caller's own."""
    app, _ = build_mirror(forward_cookies=True)
    seen: dict[str, Any] = {}

    async def ask(name: str) -> None:
        headers = {"x-caller": name, "cookie": f"sid={name}"}
        reply = await call(app, "mirror", {"parties": callers}, era=era, headers=headers)
        seen[name] = reply.result["structuredContent"]

    names = [f"caller-{number}" for number in range(callers)]
    with anyio.fail_after(30):
        async with run_asgi_lifespan(app), anyio.create_task_group() as group:
            for name in names:
                group.start_soon(ask, name)
    assert seen == {name: seen_by(name) for name in names}


@pytest.mark.parametrize("era", ERAS)
async def test_one_client_keeps_no_cookies_between_calls(era: Era) -> None:
    """C1: there is no cookie jar: what one call was given to keep, the next does not send."""
    app, _ = build_mirror(forward_cookies=True)
    for name in ("alice", "bob"):
        headers = {"x-caller": name}
        reply = await call(app, "mirror", {"parties": 1}, era=era, headers=headers)
        assert reply.result["structuredContent"]["cookies"] == {}


def test_a_call_over_a_socket_sees_the_callers_own_address() -> None:
    """C2: the client's address is that of the MCP client, and the server's the one it reached."""
    app = FastAPI()

    @app.get("/ends")
    async def ends(request: Request) -> dict[str, Any]:
        return {"client": request.scope["client"], "server": request.scope["server"]}

    mount_mcp(app)
    mirrored: list[Any] = []

    async def keep(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            mirrored.append({"client": [*scope["client"]], "server": [*scope["server"]]})
        await app(scope, receive, send)

    async def ask(url: str) -> Any:
        async with Client(f"{url}/mcp", mode="2026-07-28") as client:
            return (await client.call_tool("ends")).structured_content

    with served(keep) as url:
        assert anyio.run(ask, url) in mirrored
