"""C9: what an outer app or the server put into the scope is there for the route, as over REST."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import RateLimit, mount_mcp
from tests.lanes import called, listed, scope_of
from tests.support import ERAS, Era
from tests.ways import Way, either_way, force

pytestmark = [either_way, pytest.mark.parametrize("era", ERAS)]

GIVEN: Mapping[str, Any] = {
    "tenant": "acme",
    "user": SimpleUser("alice"),
    "auth": AuthCredentials(["read"]),
    "session": {"visits": 1},
    "example.request_id": object(),
    "extensions": {"example": {"key": "value"}},
}

ROUTING = {"router", "endpoint", "path_params", "route", "app", "app_root_path"}
"""What routing says of its own request; FastAPI's own keys begin with its name."""

OWN = {"method", "path", "raw_path", "query_string", "headers", "asgi"}
"""What is another request's, and so may differ."""


class Adding:
    """What an outer application is: it adds to the scope."""

    def __init__(self, app: ASGIApp, added: Mapping[str, Any]) -> None:
        self.app = app
        self.added = added

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, **self.added}, receive, send)


def keeping_app(way: Way, kept: list[Scope], **options: Any) -> FastAPI:
    """Return an app whose tool ``scope`` keeps the scope that it is given."""
    app = FastAPI()

    @app.get("/scope")
    async def scope(request: Request) -> str:
        kept.append({**request.scope})
        return "kept"

    force(mount_mcp(app, **options), way)
    return app


async def get(app: ASGIApp, path: str) -> None:
    """Send a GET over REST."""
    sent: list[Message] = []

    async def receive() -> Message:
        if sent:
            await anyio.sleep_forever()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope_of([], method="GET", path=path, raw_path=path.encode()), receive, send)
    assert sent[0]["status"] == 200


async def both(app: ASGIApp, era: Era, prefix: str = "") -> None:
    """Have the route keep its scope over REST, and then over MCP."""
    await get(app, f"{prefix}/scope")
    path = f"{prefix}/mcp"
    answer = await called(app, era, "scope", path=path, raw_path=path.encode())
    assert answer.text == '"kept"'


def foreign(scope: Scope) -> dict[str, Any]:
    """Return what is in a scope, but for what is a request's own and our mark of the tool."""
    ours = ("fastapi_", "starlette.", "mcp_mount.")
    return {
        key: value
        for key, value in scope.items()
        if key not in ROUTING | OWN and not key.startswith(ours)
    }


async def test_every_key_of_an_outer_app_is_there_for_the_route(way: Way, era: Era) -> None:
    """C9: the very objects, and nothing that is not there over REST."""
    kept: list[Scope] = []
    await both(Adding(keeping_app(way, kept), GIVEN), era)
    rest, mcp = map(foreign, kept)
    assert mcp == rest
    assert all(mcp[key] is GIVEN[key] for key in ("user", "auth", "example.request_id"))


async def test_nothing_of_the_mcp_requests_routing_is_there_for_the_route(
    way: Way, era: Era
) -> None:
    """C9: the route is that of the operation; no key is of FastMCP's app, or of our endpoint."""
    kept: list[Scope] = []
    app = keeping_app(way, kept)
    await both(app, era)
    rest, mcp = kept
    assert mcp.keys() - rest.keys() == {"mcp_mount.tool"}
    assert mcp.keys() >= rest.keys()
    for key in ("app", "endpoint", "route", "router", "path_params"):
        assert mcp[key] == rest[key]


class Bearer(AuthenticationBackend):
    """Takes every caller at its word."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:  # noqa: ARG002
        return AuthCredentials(["read"]), SimpleUser("alice")


async def test_the_user_of_a_parent_app_is_the_routes_user(way: Way, era: Era) -> None:
    """C9: its authentication has run, and does not run again for the call."""
    kept: list[Scope] = []
    parent = Starlette(
        routes=[Mount("/sub", keeping_app(way, kept))],
        middleware=[
            Middleware(AuthenticationMiddleware, backend=Bearer()),
            Middleware(Adding, added={"tenant": "acme"}),
        ],
    )
    await both(parent, era, "/sub")
    rest, mcp = map(foreign, kept)
    assert (mcp["user"].display_name, mcp["auth"].scopes, mcp["tenant"]) == (
        *("alice", ["read"]),
        "acme",
    )
    assert mcp.keys() == rest.keys()
    assert mcp["root_path"] == rest["root_path"] == "/sub"


async def test_a_scope_that_the_route_changes_is_its_own(way: Way, era: Era) -> None:
    """C9: what one call adds is not there for the next, nor for the outer app."""
    app = FastAPI()
    seen: list[bool] = []

    @app.get("/scope")
    async def scope(request: Request) -> str:
        seen.append("mine" in request.scope or hasattr(request.state, "mine"))
        request.scope["mine"] = request.state.mine = True
        return "kept"

    force(mount_mcp(app), way)
    outer: list[Scope] = []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        outer.append({**scope, "state": {}})
        await app(outer[-1], receive, send)

    for _ in range(2):
        await called(watched, era, "scope")
    assert seen == [False, False]
    assert all("mine" not in {**scope, **scope["state"]} for scope in outer)


async def test_an_extension_of_the_server_that_a_call_has_not_is_not_offered(
    way: Way, era: Era, tmp_path: Path
) -> None:
    """C9, R2: a server that sends files by their path is not what answers the call."""
    path = tmp_path / "file.txt"
    path.write_text("whole")
    app = FastAPI()

    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(path)

    force(mount_mcp(app), way)
    extensions = {"extensions": {"http.response.pathsend": {}, "tls": {"version": 772}}}
    answer = await called(Adding(app, extensions), era, "file")
    assert answer.text == "whole"


@pytest.mark.parametrize("prefix", ["", "/sub"])
async def test_who_calls_can_be_asked_of_the_apps_own_state(
    way: Way, era: Era, prefix: str
) -> None:
    """C6: `caller_of` gets a request whose app is the one that has the endpoint."""
    apps: list[object] = []

    def caller_of(request: Request) -> str:
        apps.append(request.app)
        return str(request.app.state.caller)

    kept: list[Scope] = []
    app = keeping_app(way, kept, rate_limit=RateLimit("1/hour", caller_of=caller_of))
    app.state.caller = "alice"
    served: ASGIApp = Starlette(routes=[Mount(prefix, app)]) if prefix else app
    path: dict[str, Any] = {"path": f"{prefix}/mcp", "raw_path": f"{prefix}/mcp".encode()}
    texts = [(await called(served, era, "scope", **path)).text for _ in range(2)]
    assert texts[0] == '"kept"'
    assert "Too many calls" in texts[1]
    assert apps == [app, app]


@pytest.mark.parametrize("prefix", ["", "/sub"])
async def test_scopes_can_be_asked_of_the_apps_own_state(way: Way, era: Era, prefix: str) -> None:
    """`scopes_of` gets a request whose app is the one that has the endpoint, and its state."""
    apps: list[object] = []

    def scopes_of(request: Request) -> list[str]:
        apps.append(request.app)
        scopes: list[str] = request.app.state.scopes
        return scopes

    kept: list[Scope] = []
    app = keeping_app(way, kept, scopes_of=scopes_of)
    served: ASGIApp = Starlette(routes=[Mount(prefix, app)]) if prefix else app
    path: dict[str, Any] = {"path": f"{prefix}/mcp", "raw_path": f"{prefix}/mcp".encode()}
    app.state.scopes = ["read"]
    assert await listed(served, era, **path) == ["scope"]
    assert (await called(served, era, "scope", **path)).text == '"kept"'
    assert apps
    assert all(each is app for each in apps)
