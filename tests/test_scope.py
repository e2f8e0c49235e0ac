"""A call passes the whole middleware stack, with the scope that its caller's own request had."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Body, FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.middleware.httpsredirect import HTTPSRedirectMiddleware
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastmcp import Client
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, call, served


class Recorder:
    """Keeps every scope that passes; gives each request a state."""

    def __init__(self, app: ASGIApp, scopes: list[Scope]) -> None:
        self.app = app
        self.scopes = scopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.scopes.append(scope)
        await self.app(scope, receive, send)


@pytest.mark.parametrize("era", ERAS)
async def test_middleware_sees_the_operation_as_if_it_were_asked_for_directly(era: Era) -> None:
    """C2: method, path, query, client, server, scheme, root_path and Host are the request's own."""
    scopes: list[Scope] = []
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def get_item(item_id: str, full: str) -> str:
        return item_id

    app.add_middleware(Recorder, scopes=scopes)
    mount_mcp(app)

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        # As uvicorn does with --root-path.
        await app({**scope, "root_path": "/api"}, receive, send)

    reply = await call(
        server,
        "get_item",
        {"item_id": "a b", "full": "true"},
        era=era,
        path="/api/mcp",
        base_url="https://kb.example:8443",
    )
    assert reply.result["structuredContent"] == {"result": "a b"}
    outer, inner = scopes
    assert inner["type"] == "http"
    assert inner["method"] == "GET"
    assert inner["path"] == "/api/items/a b"
    assert inner["raw_path"] == b"/api/items/a%20b"
    assert inner["query_string"] == b"full=true"
    assert inner["root_path"] == "/api"
    assert inner["scheme"] == "https"
    assert inner["client"] == ("127.0.0.1", 1234)
    assert inner["server"] == ("kb.example", 8443)
    assert dict(inner["headers"])[b"host"] == b"kb.example:8443"
    assert inner["http_version"] == outer["http_version"]
    assert inner["mcp_mount.tool"] == "get_item"
    assert "mcp_mount.tool" not in outer


@pytest.mark.parametrize("era", ERAS)
async def test_request_state_is_copied_into_the_call_and_not_back(era: Era) -> None:
    """C2: the route sees `request.state` as middleware left it; what it sets stays in the call."""
    app = FastAPI()
    outer: list[dict[str, Any]] = []

    @app.get("/state")
    async def state(request: Request) -> str:
        tenant: str = request.state.tenant
        request.state.tenant = "changed"
        return tenant

    @app.middleware("http")
    async def set_tenant(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.url.path == "/mcp":
            request.state.tenant = "acme"
            outer.append(request.scope["state"])
        return await call_next(request)

    mount_mcp(app)
    reply = await call(app, "state", era=era)
    assert reply.result["structuredContent"] == {"result": "acme"}
    assert outer == [{"tenant": "acme"}]


def test_the_lifespans_state_is_there() -> None:
    """C2: what the app's lifespan yields is in `request.state` of a called route."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"database": "open"}

    app = FastAPI(lifespan=lifespan)

    @app.get("/state")
    async def state(request: Request) -> str:
        database: str = request.state.database
        return database

    mount_mcp(app)

    async def ask(url: str) -> Any:
        async with Client(f"{url}/mcp", mode="2026-07-28") as client:
            return (await client.call_tool("state")).structured_content

    with served(app) as url:
        assert anyio.run(ask, url) == {"result": "open"}


class ReadBody:
    """Pure ASGI: reads the whole body, as one that logs or verifies it does, and replays it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self.app(scope, replay, send)


async def read_body(request: Request, call_next: RequestResponseEndpoint) -> Response:
    await request.body()
    return await call_next(request)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("middleware", "options"),
    [
        (TrustedHostMiddleware, {"allowed_hosts": ["kb.example"]}),
        (HTTPSRedirectMiddleware, {}),
        (GZipMiddleware, {"minimum_size": 1}),
        (CORSMiddleware, {"allow_origins": ["https://kb.example"]}),
        (BaseHTTPMiddleware, {"dispatch": read_body}),
        (ReadBody, {}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_usual_middleware_lets_calls_through(
    middleware: Any, options: dict[str, Any], era: Era
) -> None:
    """C2: what an app has in front of its routes works on the endpoint and on each call."""
    app = FastAPI()

    @app.post("/echo")
    async def echo(text: Annotated[str, Body(embed=True)]) -> str:
        return text

    @app.get("/text")
    async def get_text() -> PlainTextResponse:
        return PlainTextResponse("ü" * 2_000)

    app.add_middleware(middleware, **options)
    mount_mcp(app)
    url = "https://kb.example"
    reply = await call(app, "echo", {"text": "hé"}, era=era, base_url=url)
    assert reply.result["structuredContent"] == {"result": "hé"}
    headers = {"accept-encoding": "gzip"}
    reply = await call(app, "get_text", era=era, base_url=url, headers=headers)
    assert reply.text_content == "ü" * 2_000


@pytest.mark.parametrize("era", ERAS)
async def test_a_rule_by_path_holds_for_calls(era: Era) -> None:
    """C2: middleware that refuses a path refuses the call of its operation, and only that."""
    app = FastAPI()

    @app.get("/admin/users")
    async def list_users() -> str:
        return "secret"

    @app.get("/items")
    async def list_items() -> str:
        return "items"

    @app.middleware("http")
    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.url.path.startswith("/admin"):
            return PlainTextResponse("Not for you.", status_code=403)
        return await call_next(request)

    mount_mcp(app)
    refused = await call(app, "list_users", era=era)
    assert refused.is_error
    assert refused.text_content == "403 Forbidden\nNot for you."
    assert not (await call(app, "list_items", era=era)).is_error
