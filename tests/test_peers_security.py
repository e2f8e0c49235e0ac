"""What other packages let a caller see or reach, and this one does not."""

from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastmcp.server.middleware.caching import ResponseCachingMiddleware
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import MountError, mount_mcp
from tests.support import ERAS, MODERN, Era, call, connected, http, served

SECRET = "postgres://u:p@db/prod"
BEARER = HTTPBearer()


def from_address(app: ASGIApp, address: str) -> ASGIApp:
    """Return the app as a server that was reached from `address` would run it."""

    async def reached(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": (address, 4711)}, receive, send)

    return reached


def require_token(credentials: Annotated[HTTPAuthorizationCredentials, Depends(BEARER)]) -> str:
    if credentials.credentials not in {"alice", "bob"}:
        raise HTTPException(401, "unknown token")
    return credentials.credentials


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("forward_cookies", [False, True])
async def test_a_cookie_that_one_call_sets_is_in_no_other_call(
    *, era: Era, forward_cookies: bool
) -> None:
    """C1, C3: one cookie jar for all callers ran one caller's call in another's session."""
    app = FastAPI()

    @app.post("/login")
    async def login(response: Response) -> str:
        response.set_cookie("session", "alice")
        return "welcome"

    @app.get("/me")
    async def me(request: Request) -> str:
        return request.cookies.get("session", "nobody")

    mount_mcp(app, forward_cookies=forward_cookies)
    async with (
        run_asgi_lifespan(app),
        connected(app, era) as alice,
        connected(app, era) as bob,
    ):
        await alice.call_tool("login")
        for client in (bob, alice):
            result = await client.call_tool("me")
            assert result.structured_content == {"result": "nobody"}
        sent = await call(app, "me", era=era, headers={"cookie": "session=carol"})
    assert sent.text_content == ('"carol"' if forward_cookies else '"nobody"')


@pytest.mark.parametrize("era", ERAS)
async def test_a_route_for_loopback_only_keeps_its_secret_from_others(era: Era) -> None:
    """C2: every call seemed to come from 127.0.0.1, and a loopback-only route answered anyone."""
    app = FastAPI()

    @app.get("/secret")
    async def secret(request: Request) -> str:
        if request.client is None or request.client.host != "127.0.0.1":
            raise HTTPException(403, "local callers only")
        return SECRET

    mount_mcp(app)
    stranger = await call(from_address(app, "203.0.113.7"), "secret", era=era)
    assert stranger.text_content == '403 Forbidden\n{"detail":"local callers only"}'
    assert SECRET not in stranger.text
    local = await call(from_address(app, "127.0.0.1"), "secret", era=era)
    assert local.text_content == f'"{SECRET}"'


@pytest.mark.parametrize("era", ERAS)
async def test_limits_by_address_count_each_caller_on_its_own(era: Era) -> None:
    """C2: with one invented address, all callers shared one bucket of an IP limit."""
    app = FastAPI()
    seen: set[str] = set()

    @app.get("/once")
    async def once(request: Request) -> str:
        address = request.client.host if request.client else "unknown"
        if address in seen:
            raise HTTPException(429, "one call each")
        seen.add(address)
        return address

    mount_mcp(app)
    for address in ("203.0.113.7", "203.0.113.8"):
        first = await call(from_address(app, address), "once", era=era)
        assert first.text_content == f'"{address}"'
        assert (await call(from_address(app, address), "once", era=era)).is_error


async def test_behind_a_proxy_the_route_sees_the_clients_own_address() -> None:
    """C2: the address that the server took from its trusted proxy reaches the route."""
    app = FastAPI()

    @app.get("/address")
    async def address(request: Request) -> str:
        return request.client.host if request.client else "unknown"

    mount_mcp(app)
    with served(app, forwarded_allow_ips="127.0.0.1") as url:
        async with (
            httpx2.AsyncClient(headers={"x-forwarded-for": "203.0.113.7"}) as sender,
            Client(streamable_http_client(f"{url}/mcp", http_client=sender), mode=MODERN) as client,
        ):
            result = await client.call_tool("address")
    assert result.content == [TextContent(type="text", text='"203.0.113.7"')]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("handled", [False, True])
async def test_exception_text_reaches_no_client(*, era: Era, handled: bool) -> None:
    """R3: the text of an exception went to the model, past the app's handler for `Exception`."""
    app = FastAPI()

    @app.get("/report")
    async def report() -> str:
        raise RuntimeError(SECRET)

    if handled:

        @app.exception_handler(Exception)
        async def apologize(request: Request, error: Exception) -> JSONResponse:
            return JSONResponse({"sorry": "reference 17"}, 500)

    mount_mcp(app)
    async with connected(app, era) as client:
        result = await client.call_tool("report", raise_on_error=False)
    assert result.is_error
    (block,) = result.content
    shown = '{"sorry":"reference 17"}' if handled else "Internal Server Error"
    assert isinstance(block, TextContent)
    assert block.text == f"500 Internal Server Error\n{shown}"


@pytest.mark.parametrize("era", ERAS)
async def test_the_callers_own_authorization_reaches_the_route(era: Era) -> None:
    """C3: `Authorization` was stripped from the inner call, and a valid caller was refused."""
    app = FastAPI(dependencies=[Depends(require_token)])

    @app.get("/me")
    async def me(name: Annotated[str, Depends(require_token)]) -> str:
        return name

    mount_mcp(app)
    for name in ("alice", "bob"):
        reply = await call(app, "me", era=era, headers={"authorization": f"Bearer {name}"})
        assert reply.text_content == f'"{name}"'
    for refused in ({}, {"authorization": "Bearer mallory"}):
        reply = await call(app, "me", era=era, headers=refused)
        assert reply.is_error
        assert reply.text_content.startswith("401 Unauthorized")


@pytest.mark.parametrize("era", ERAS)
async def test_a_page_of_another_site_cannot_call(era: Era) -> None:
    """X4: any Origin was answered with 200."""
    app = FastAPI()

    @app.get("/secret")
    async def secret() -> str:
        return SECRET

    mount_mcp(app)
    # The second page has rebound its own name to this server's address.
    for host in ("localhost:8000", "evil.example"):
        headers = {"origin": "https://evil.example", "host": host}
        reply = await call(app, "secret", era=era, headers=headers)
        assert reply.status == 403
        assert SECRET not in reply.text
    own = await call(app, "secret", era=era, headers={"origin": "http://localhost:8000"})
    assert own.text_content == f'"{SECRET}"'


def guarded(name: str) -> APIRouter:
    """Return a router at ``/api`` whose every route needs a token."""
    router = APIRouter(prefix="/api", dependencies=[Depends(require_token)])

    @router.get("/z", name=name)
    async def z() -> str:
        return SECRET

    return router


async def get_statuses(app: FastAPI, *paths: str) -> list[int]:
    async with http(app) as client:
        return [(await client.get(path)).status_code for path in paths]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("path", ["/mcp", "/api/mcp"])
async def test_a_routers_routes_are_only_where_they_were_with_their_guards(
    era: Era, path: str
) -> None:
    """M1, M5: mounting on a router added its routes again, at the root and without guards."""
    app = FastAPI()
    mount_mcp(app, path=path)
    app.include_router(guarded("z"))
    assert (await call(app, "z", era=era, path=path)).is_error
    allowed = {"authorization": "Bearer alice"}
    reply = await call(app, "z", era=era, path=path, headers=allowed)
    assert reply.text_content == f'"{SECRET}"'
    assert await get_statuses(app, "/api/z", "/z", "/mcp/z", "/mcp/api/z") == [401, 404, 404, 404]


@pytest.mark.parametrize("era", ERAS)
async def test_a_sub_applications_endpoint_is_inside_it_and_keeps_its_guards(era: Era) -> None:
    """M5: the endpoint of an app that is mounted in another shows and guards what that app does."""
    app, inner = FastAPI(), FastAPI(dependencies=[Depends(require_token)])

    @inner.get("/z")
    async def z(request: Request) -> str:
        return request.url.path

    mount_mcp(inner)
    app.mount("/api", inner)
    assert (await call(app, "z", era=era, path="/api/mcp")).is_error
    allowed = {"authorization": "Bearer alice"}
    reply = await call(app, "z", era=era, path="/api/mcp", headers=allowed)
    assert reply.text_content == '"/api/z"'
    assert await get_statuses(app, "/api/z", "/z", "/mcp") == [401, 404, 404]


def test_a_cache_that_knows_no_callers_is_refused() -> None:
    """C1: FastMCP's response cache served one caller's result to another, without its own token."""
    app = FastAPI()
    mounted = mount_mcp(app)
    mounted.server.add_middleware(ResponseCachingMiddleware())
    with pytest.raises(MountError, match="one caller's results to another"), TestClient(app):
        pass
