"""Whether a path leads to the operation it is meant for."""

import time
from typing import Any
from uuid import UUID

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match, Mount, Route
from starlette.types import Scope

from mcp_mount import mount_mcp
from mcp_mount.backends.routing import Routing
from tests.support import call
from tests.test_linear import within_seconds


async def seen(app: FastAPI, tool: str, arguments: dict[str, Any], **options: Any) -> Any:
    """What the route answered; None where the call was refused."""
    reply = await call(app, tool, arguments, **options)
    return None if reply.is_error else reply.text_content


async def test_operations_of_included_and_nested_routers_are_reached() -> None:
    """C5: FastAPI wraps included routers, with their prefixes, in routes of its own."""
    app = FastAPI()
    inner, outer = APIRouter(prefix="/items"), APIRouter(prefix="/shops/{shop}")

    @inner.get("/{item}")
    async def read(shop: str, item: str) -> str:
        return f"{shop}:{item}"

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")
    mount_mcp(app)
    assert await seen(app, "read", {"shop": "a b", "item": "%2e"}) == '"a b:%2e"'
    assert await seen(app, "read", {"shop": "a/items/b", "item": "c"}) is None


async def test_path_convertors_take_what_they_are_for() -> None:
    """C5: slashes where the route takes them, numbers where it takes numbers."""
    app = FastAPI()

    @app.get("/files/{name:path}/raw")
    async def raw(name: str) -> str:
        return name

    @app.get("/numbers/{n:int}")
    async def number(n: int) -> str:
        return str(n)

    @app.get("/floats/{x:float}")
    async def real(x: float) -> str:
        return str(x)

    @app.get("/ids/{id_:uuid}")
    async def by_id(id_: UUID) -> str:
        return str(id_)

    mount_mcp(app)
    assert await seen(app, "raw", {"name": "a/b/../c"}) == '"a/b/../c"'
    assert await seen(app, "number", {"n": 12}) == '"12"'
    assert await seen(app, "number", {"n": "12"}) == '"12"'
    assert await seen(app, "number", {"n": "1/../../admin"}) is None
    assert await seen(app, "real", {"x": 1.5}) == '"1.5"'
    uuid = "123e4567-e89b-12d3-a456-426614174000"
    assert await seen(app, "by_id", {"id_": uuid}) == f'"{uuid}"'


async def test_mounted_applications_are_never_reached_through_a_value() -> None:
    """C5: a sub-application under the prefix of an operation takes what is its own."""
    reached: list[str] = []

    async def inside(request: Request) -> Response:
        reached.append(request.url.path)
        return Response("inside")

    app = FastAPI(routes=[Mount("/files/private", routes=[Route("/{rest:path}", inside)])])

    @app.get("/files/{name:path}")
    async def read(name: str) -> str:
        return name

    app.mount("/", Mount("/", routes=[Route("/{rest:path}", inside)]))
    mount_mcp(app)
    assert await seen(app, "read", {"name": "private/key"}) is None
    assert await seen(app, "read", {"name": "public/key"}) == '"public/key"'
    assert reached == []


async def test_a_fixed_path_behind_a_route_that_takes_it_is_refused() -> None:
    """C5: over REST it would be the other operation, too; a tool says so."""
    app = FastAPI()

    @app.get("/users/{user}")
    async def user(user: str) -> str:
        return user

    @app.get("/users/me")
    async def me() -> str:
        return "me"

    mount_mcp(app)
    reply = await call(app, "me")
    assert reply.is_error
    assert "/users/me" in reply.text_content
    assert await seen(app, "user", {"user": "me"}) == '"me"'


async def test_a_hidden_route_added_later_is_noticed() -> None:
    """C5, M4: what is remembered of the routing is forgotten when a route is added."""
    app, early = FastAPI(), APIRouter()
    app.include_router(early)

    @app.get("/users/{user}")
    async def user(user: str) -> str:
        return user

    mount_mcp(app)
    assert await seen(app, "user", {"user": "root"}) == '"root"'

    @early.get("/users/root", include_in_schema=False)
    async def root() -> str:
        return "hidden"

    assert await seen(app, "user", {"user": "root"}) is None
    assert await seen(app, "user", {"user": "other"}) == '"other"'


async def test_the_routing_is_asked_about_the_path_as_the_app_sees_it() -> None:
    """M5: as a sub-application, the app's own paths begin behind its prefix."""
    parent, app = FastAPI(), FastAPI()

    @app.get("/users/{user}")
    async def user(user: str) -> str:
        return user

    mount_mcp(app)
    parent.mount("/api", app)
    assert await seen(parent, "user", {"user": "a"}, path="/api/mcp") == '"a"'
    assert await seen(parent, "user", {"user": "a/b"}, path="/api/mcp") is None


async def test_routes_that_look_at_headers_see_the_callers() -> None:
    """C3, C5: a version in a header chooses the route, as over REST."""

    class V2(APIRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            if (b"x-version", b"2") not in scope["headers"]:
                return Match.NONE, {}
            return super().matches(scope)

    app = FastAPI()
    app.router.route_class = V2

    @app.get("/new/{name}")
    async def new(name: str) -> str:
        return name

    mount_mcp(app)
    assert await seen(app, "new", {"name": "a"}) is None
    assert await seen(app, "new", {"name": "a"}, headers={"x-version": "2"}) == '"a"'


def test_only_routes_that_could_take_the_path_are_asked() -> None:
    """X5: in an app of a thousand routes, a call asks its own, and a handful of others."""
    asked: list[str] = []

    class Counted(APIRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            asked.append(self.path)
            return super().matches(scope)

    app = FastAPI()
    app.router.route_class = Counted
    app.get("/{anything:path}/never", name="never")(lambda: None)
    for i in range(1_000):
        app.get(f"/r{i}/{{name}}")(lambda name: name)
        app.get(f"/r{i}/{{name}}/more")(lambda name: name)
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/r999/a",
        "root_path": "",
        "headers": [],
    }
    assert Routing(app).is_as_meant(scope, "/r999/{name}", {"name": "a"}, None)
    assert asked == ["/{anything:path}/never", "/r999/{name}"]
    assert not Routing(app).is_as_meant(scope, "/r999/{name}", {"name": "b"}, None)
    assert not Routing(app).is_as_meant(scope, "/r998/{name}", {"name": "a"}, None)


async def test_a_path_that_routes_would_take_long_to_divide_is_refused() -> None:
    """F1: each route's expression tries the path in every way; this took fourteen seconds."""
    app = FastAPI()

    @app.get("/files/{name}.{kind}")
    async def file(name: str, kind: str) -> str:
        return f"{name} {kind}"

    @app.get("/parts/{part}")
    async def part(part: str) -> str:
        return part

    app.get("/{a}/{one}.{two}-{three}/more", include_in_schema=False)(lambda: None)
    app.get("/tree/{path:path}/at/{version}", include_in_schema=False)(lambda: None)
    app.get("/parts/mine")(lambda: None)
    mount_mcp(app)
    assert await seen(app, "file", {"name": "a.final-v2", "kind": "pdf"}) == '"a.final-v2 pdf"'
    assert await seen(app, "part", {"part": "a" * 20_000}) == f'"{"a" * 20_000}"'
    assert await seen(app, "part", {"part": "a.b-c" * 40}) == f'"{"a.b-c" * 40}"'
    for tool, arguments in (
        ("file", {"name": "." * 30_000, "kind": "b"}),
        ("part", {"part": ".-" * 3_000}),
    ):
        with within_seconds(0.5):
            reply = await call(app, tool, arguments)
        assert "too long to be compared" in reply.text_content


@pytest.mark.parametrize("methods", [["GET"], ["GET", "PUT", "PATCH", "DELETE"]])
async def test_what_all_routes_would_take_to_divide_a_path_counts_together(
    methods: list[str],
) -> None:
    """F1: each of them is asked, whatever its method; four of a file took 0.2 s.

    One alone is asked for the same path, and all of them for one that people have.
    """
    app = FastAPI()

    def file(name: str, kind: str) -> str:
        return f"{name} {kind}"

    for method in methods:
        operation = f"{method.lower()}_file"
        app.add_api_route("/files/{name}.{kind}", file, methods=[method], operation_id=operation)
    mount_mcp(app)
    long = "a.b" * 100
    assert await seen(app, "get_file", {"name": long, "kind": "pdf"}) == f'"{long} pdf"'
    begun = time.thread_time()
    reply = await call(app, "get_file", {"name": "." * 40 + "a" * 50_000 + "/b", "kind": "b"})
    assert time.thread_time() - begun < 0.15
    assert ("too long to be compared" in reply.text_content) == (len(methods) > 1)
    assert "No such path" in reply.text_content


async def test_a_path_is_divided_in_each_segment_for_each_way_in_the_others() -> None:
    """F1: of two segments with two values each, eight hundred dots took 0.2 s, 3,000 ten."""
    app = FastAPI()

    @app.get("/from/{day}.{month}/to/{until}.{last}")
    async def days(day: str, month: str, until: str, last: str) -> str:
        return f"{day}.{month}-{until}.{last}"

    mount_mcp(app)
    given = {"day": "1", "month": "2", "until": "3", "last": "4"}
    assert await seen(app, "days", given) == '"1.2-3.4"'
    begun = time.thread_time()
    reply = await call(app, "days", {**given, "day": "." * 400, "until": "." * 400, "last": "/"})
    assert time.thread_time() - begun < 0.15
    assert "too long to be compared" in reply.text_content


async def test_a_long_path_is_not_compared_with_hundreds_of_routes() -> None:
    """F1: each reads it to its end; 60,000 characters took 0.15 s with four hundred of them."""
    app = FastAPI()

    @app.get("/{owner}/files/{path:path}")
    async def file(owner: str, path: str) -> str:
        return f"{owner} {path}"

    for number in range(400):
        app.get(f"/{{owner}}/things{number}/{{id_}}")(lambda owner, id_: f"{owner} {id_}")
    mount_mcp(app)
    long = "a" * 5_000
    assert await seen(app, "file", {"owner": long, "path": "b/c"}) == f'"{long} b/c"'
    begun = time.thread_time()
    reply = await call(app, "file", {"owner": "a" * 60_000, "path": "b"})
    assert time.thread_time() - begun < 0.15
    assert "too long to be compared" in reply.text_content
