"""Who called the endpoint is who calls the route, whichever way the app tells its callers apart."""

import json
from contextvars import ContextVar
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    SimpleUser,
)
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import mount_mcp
from tests.access import bearer, static
from tests.raw import send_raw
from tests.starting import started
from tests.support import ERAS, Era, call, envelope, http, rpc, tools

METHODS = ["tools/list", "tools/call", "initialize", "server/discover"]
KEYS = {"key-of-alice": "alice", "key-of-bob": "bob"}

tenant: ContextVar[str] = ContextVar("tenant", default="none")
eras = pytest.mark.parametrize("era", ERAS)


class KeyBackend(AuthenticationBackend):
    """Tells callers by ``X-Key``."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        key = conn.headers.get("x-key")
        if key is None:
            return None
        if key not in KEYS:
            raise AuthenticationError("unknown key")
        return AuthCredentials(["authenticated", f"is:{KEYS[key]}"]), SimpleUser(KEYS[key])


class Tenant:
    """Tells the routes of an MCP call, and them alone, who calls; notes which paths are asked."""

    def __init__(self, app: ASGIApp, paths: list[str]) -> None:
        self.app = app
        self.paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.paths.append(scope["path"])
        found = HTTPConnection(scope).headers.get("x-key", "nobody")
        if scope["path"] == "/mcp":
            scope.setdefault("state", {})["first"] = found
            token = tenant.set(found)
            try:
                await self.app(scope, receive, send)
            finally:
                tenant.reset(token)
        else:
            await self.app(scope, receive, send)


def whoami_app(**options: Any) -> FastAPI:
    """Return an app whose one tool, ``whoami``, tells all that its route knows of the caller."""
    app = FastAPI()

    @app.get("/whoami")
    async def whoami(request: Request) -> dict[str, Any]:
        client = request.client
        return {
            "user": request.user.display_name,
            "scopes": sorted(request.auth.scopes),
            "state": getattr(request.state, "first", None),
            "context": tenant.get(),
            "authorization": request.headers.get("authorization"),
            "address": client and [client.host, client.port],
        }

    mount_mcp(app, **options)
    app.add_middleware(Tenant, paths=[])
    app.add_middleware(AuthenticationMiddleware, backend=KeyBackend(), on_error=refused)
    return app


def refused(conn: HTTPConnection, error: AuthenticationError) -> Response:
    return JSONResponse({"refused": str(error)}, 403)


@eras
@pytest.mark.parametrize("with_tokens", [True, False], ids=["with auth", "without"])
async def test_the_caller_at_the_endpoint_is_the_caller_at_the_route(
    era: Era, *, with_tokens: bool
) -> None:
    """C1, C2, C3: `request.user`, state, context variables, header and address."""
    app = whoami_app(auth=static(alice=[], bob=[]) if with_tokens else None)
    for key, name in KEYS.items():
        headers, body = envelope(era, "tools/call", {"name": "whoami", "arguments": {}})
        sent = {**headers, "x-key": key, **bearer(name)}
        content = json.dumps(body).encode()
        reply = await send_raw(app, [content], sent, client=("203.0.113.9", 1234))
        result = reply.answer["result"]["structuredContent"]
        assert result == {
            "user": name,
            "scopes": ["authenticated", f"is:{name}"],
            "state": key,
            "context": key,
            "authorization": f"Bearer {name}",
            "address": ["203.0.113.9", 1234],
        }


@eras
async def test_a_caller_who_is_nobody_is_nobody_at_the_route(era: Era) -> None:
    """C1."""
    reply = await call(whoami_app(), "whoami", era=era)
    assert reply.result["structuredContent"]["user"] == ""
    assert reply.result["structuredContent"]["scopes"] == []


@eras
@pytest.mark.parametrize("method", METHODS)
async def test_middleware_that_authenticates_guards_the_endpoint(era: Era, method: str) -> None:
    """M1: in its own words, before anything is listed."""
    params = {"name": "whoami", "arguments": {}} if method == "tools/call" else {}
    reply = await rpc(whoami_app(), era, method, params, headers={"x-key": "wrong"})
    assert (reply.status, reply.text) == (403, '{"refused":"unknown key"}')


@eras
async def test_a_provider_does_not_replace_the_apps_own_authentication(era: Era) -> None:
    """C2: both must be content, and the route sees the app's own user."""
    app = whoami_app(auth=static(alice=[]))
    own = {"x-key": "key-of-bob"}
    assert (await rpc(app, era, "tools/list", headers=own)).status == 401
    assert (await tools(app, era=era, headers={**own, **bearer("alice")})).keys() == {"whoami"}
    assert (
        await rpc(app, era, "tools/list", headers={"x-key": "x", **bearer("alice")})
    ).status == 403
    reply = await call(app, "whoami", era=era, headers={**own, **bearer("alice")})
    assert reply.result["structuredContent"]["user"] == "bob"


@eras
@pytest.mark.parametrize("is_started", [True, False])
async def test_the_apps_middleware_sees_the_endpoint_and_the_operation(
    era: Era, *, is_started: bool
) -> None:
    """C2: once each."""
    paths: list[str] = []
    app = FastAPI()

    @app.get("/a")
    async def a() -> str:
        return "a"

    mount_mcp(app)
    app.add_middleware(Tenant, paths=paths)
    if is_started:
        async with started(app):
            await call(app, "a", era=era)
    else:
        await call(app, "a", era=era)
    assert paths == ["/mcp", "/a"]
    async with http(app) as client:
        assert (await client.get("/a")).json() == "a"
