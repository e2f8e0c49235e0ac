"""A call goes straight to its route, exactly where routing would have led it there."""

from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import MountError, mount_mcp
from mcp_mount.backends.request import BOUND_KEY
from tests.support import ERAS, Era, call, http, tools


class Watching(Route):
    """A route that nothing matches, and that counts how often it is asked."""

    asked = 0

    def matches(self, scope: Scope) -> Any:
        type(self).asked += scope.get(BOUND_KEY) is not None
        return super().matches(scope)


def watched(app: FastAPI) -> type[Watching]:
    kind = type("Watched", (Watching,), {"asked": 0})
    app.router.routes.insert(0, kind("/never", lambda _: PlainTextResponse()))
    return kind


@pytest.mark.parametrize("era", ERAS)
async def test_routes_before_the_calls_own_are_not_asked(era: Era) -> None:
    """X5: an app with a thousand routes is not searched for the one that is known."""
    app = FastAPI()
    watcher = watched(app)

    @app.get("/items/{item_id}")
    async def get_item(request: Request, item_id: str) -> dict[str, str]:
        return {"item_id": item_id, "route": request.scope["route"].path}

    mount_mcp(app)
    reply = await call(app, "get_item", {"item_id": "a"}, era=era)
    assert reply.result["structuredContent"] == {"item_id": "a", "route": "/items/{item_id}"}
    assert watcher.asked == 0


@pytest.mark.parametrize("era", ERAS)
async def test_a_route_of_an_included_router_is_reached_with_its_dependencies(era: Era) -> None:
    """C8, M5: prefixes and dependencies of each router on the way are its own."""
    seen: list[str] = []
    app, outer, inner = FastAPI(), APIRouter(prefix="/outer"), APIRouter(prefix="/inner")
    watcher = watched(app)

    @inner.get("/items/{item_id}")
    async def get_item(item_id: int) -> int:
        return item_id

    def note(what: str) -> Any:
        return Depends(lambda: seen.append(what))

    outer.include_router(inner, dependencies=[note("inner")])
    app.include_router(outer, prefix="/v1", dependencies=[note("outer")])
    mount_mcp(app)
    reply = await call(app, "get_item", {"item_id": 7}, era=era)
    assert reply.result["structuredContent"] == {"result": 7}
    assert seen == ["outer", "inner"]
    assert watcher.asked == 0


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("is_replaced", [True, False])
async def test_a_route_that_was_taken_out_is_not_called(era: Era, *, is_replaced: bool) -> None:
    """M4, C2: over REST it is not found either, whatever the app's document says of it."""
    app = FastAPI()
    called: list[str] = []

    @app.get("/items/{item_id}")
    async def get_item(item_id: str) -> None:
        called.append(item_id)

    @app.get("/items")
    async def get_items() -> None:
        called.append("all")

    mount_mcp(app)
    for name, arguments in (("get_item", {"item_id": "1"}), ("get_items", {})):
        assert not (await call(app, name, arguments, era=era)).is_error
    left = [each for each in app.router.routes if not getattr(each, "path", "").startswith("/i")]
    if is_replaced:
        app.router.routes = left
    else:
        app.router.routes[:] = left
    for name, arguments in (("get_item", {"item_id": "2"}), ("get_items", {})):
        assert (await call(app, name, arguments, era=era)).is_error
    assert called == ["1", "all"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_route_in_the_slot_of_another_is_called_in_its_place(era: Era) -> None:
    """M4, C2: as over REST, where the list is read anew for each request."""
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def get_item(item_id: str) -> str:
        return f"old {item_id}"

    async def replacement(item_id: str) -> str:
        return f"new {item_id}"

    mount_mcp(app)
    assert (await call(app, "get_item", {"item_id": "1"}, era=era)).text_content == '"old 1"'
    slots = app.router.routes
    (position,) = (i for i, each in enumerate(slots) if getattr(each, "name", "") == "get_item")
    slots[position] = APIRoute("/items/{item_id}", replacement, methods=["GET"])
    assert (await call(app, "get_item", {"item_id": "1"}, era=era)).text_content == '"new 1"'


async def test_middleware_that_rewrites_the_path_still_decides_where_a_request_goes() -> None:
    """C2: what routing sees is what middleware left there."""
    app = FastAPI()

    @app.get("/old/{name}")
    async def old(name: str) -> str:
        return f"old {name}"

    @app.get("/new/{name}")
    async def new(name: str) -> str:
        return f"new {name}"

    class Rewrites:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope = {**scope, "path": scope["path"].replace("/old/", "/new/")}
            await self.app(scope, receive, send)

    app.add_middleware(Rewrites)
    mount_mcp(app)
    async with http(app) as client:
        assert (await client.get("/old/a")).json() == "new a"
    assert (await call(app, "old", {"name": "a"})).result["structuredContent"] == {
        "result": "new a"
    }


async def test_a_route_added_in_front_is_asked_again() -> None:
    """M4, C5: a route that takes the path before the operation's ends the straight way."""
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def get_item(item_id: str) -> str:
        return item_id

    mount_mcp(app)
    assert not (await call(app, "get_item", {"item_id": "me"})).is_error

    @app.get("/items/me", include_in_schema=False)
    async def mine() -> str:
        return "secret"

    app.router.routes.insert(1, app.router.routes.pop())
    assert (await call(app, "get_item", {"item_id": "me"})).is_error
    assert not (await call(app, "get_item", {"item_id": "you"})).is_error


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_a_path_that_the_app_uses_is_not_taken(path: str) -> None:
    """M1: a route of the app's own stays reachable; the start says what to do."""
    app = FastAPI()

    @app.post(path)
    async def own() -> str:
        return "mine"

    with pytest.raises(MountError, match="choose another path="):
        mount_mcp(app)
    mount_mcp(app, path="/tools")
    assert "own" in await tools(app, path="/tools")


def test_a_path_that_the_app_takes_later_stops_the_start() -> None:
    """M1: the same, for a route that is added after the endpoint."""
    app = FastAPI()
    mount_mcp(app)
    app.add_api_route("/mcp", lambda: "mine", methods=["GET"])
    with pytest.raises(MountError, match="a route of its own at '/mcp'"), TestClient(app):
        pass


async def test_a_catch_all_route_is_no_reason_to_stop() -> None:
    """M1: it takes every path that nothing else has, and leaves the endpoint its own."""
    app = FastAPI()

    @app.get("/{rest:path}")
    async def pages(rest: str) -> str:
        return rest

    mount_mcp(app)
    assert "pages" in await tools(app)


@pytest.mark.parametrize("era", ERAS)
async def test_middleware_that_looks_for_the_route_finds_the_operations(era: Era) -> None:
    """C2: tracers and counters name a request by the first of the app's routes that takes it."""
    names: list[tuple[str, str]] = []
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def get_item(item_id: str) -> str:
        return item_id

    def name_of(scope: Scope) -> str:
        taking = (route for route in app.routes if route.matches(scope)[0] is Match.FULL)
        return str(getattr(next(taking), "path", None))

    class Naming:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            before = name_of(scope)
            await self.app(scope, receive, send)
            names.append((before, name_of(scope)))

    mount_mcp(app)
    app.add_middleware(Naming)
    # The second call knows its route.
    for _ in range(2):
        assert not (await call(app, "get_item", {"item_id": "a"}, era=era)).is_error
    assert names == [("/items/{item_id}",) * 2, ("/mcp",) * 2] * 2
