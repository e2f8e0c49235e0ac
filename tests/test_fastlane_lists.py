"""The lists that the fast lane has learned, and what many calls of it share."""

import contextvars
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from fastmcp import Client

from mcp_mount import mount_mcp
from mcp_mount.backends.request import request_context
from tests.kinds import every_kind
from tests.lanes import called, closed, exchange, handled_by_fastmcp, listed, request_of
from tests.support import ERAS, Era, envelope

pytestmark = pytest.mark.parametrize("era", ERAS)


def small_app() -> FastAPI:
    app = FastAPI()

    @app.get("/one")
    async def one() -> int:
        return 1

    mount_mcp(app)
    return app


async def test_a_list_is_rendered_once_and_anew_when_routes_are_added(era: Era) -> None:
    """M4, X5: for each version by itself, and never by FastMCP."""
    app = small_app()
    with handled_by_fastmcp() as handled:
        assert [await listed(app, era) for _ in range(3)] == [["one"]] * 3
        app.add_api_route("/two", lambda: 2, name="two")
        assert [await listed(app, era) for _ in range(2)] == [["one", "two"]] * 2
    assert handled == []


async def test_a_rendered_list_is_the_list_that_fastmcp_gives(era: Era) -> None:
    """X2: to the byte, in the modern era; whatever is asked beside it."""
    app, _ = every_kind()
    slow, mounted = every_kind()
    closed(mounted)
    headers, body = request_of(era, "tools/list")
    first = await exchange(app, headers, body)
    with handled_by_fastmcp() as handled:
        second = await exchange(app, headers, body, root_path="/proxy")
        third = await exchange(app, *request_of(era, "tools/list", token="p"))
    assert handled == []
    theirs = await exchange(slow, headers, body)
    assert first.messages == second.messages == third.messages == theirs.messages
    assert first.body == second.body
    assert theirs.body == first.body or era == "legacy"


async def test_the_first_list_is_one_that_the_sdks_client_reads(era: Era) -> None:
    """P1: a Server-Sent Event of more than 1 MiB is refused by it."""
    app = FastAPI()
    for number in range(40):
        name = f"tool_{number}"
        app.add_api_route(f"/{name}", lambda: 1, name=name, description=f"{number} " + "x" * 30_000)
    mount_mcp(app)
    answer = await exchange(app, *request_of(era, "tools/list"))
    assert answer.headers["content-type"].startswith("application/json")
    assert len(answer.messages[0]["result"]["tools"]) == 40


async def test_a_mistake_made_later_is_told_and_then_forgotten(era: Era) -> None:
    """M4: no list is learned from an error, and none from before it is served."""
    app = small_app()
    assert await listed(app, era) == await listed(app, era) == ["one"]
    mark: dict[str, Any] = {"nonsense": 1}
    app.add_api_route("/two", lambda: 2, name="two", openapi_extra={"x-mcp": mark})
    for _ in range(2):
        with pytest.raises(Exception, match="nonsense"):
            await listed(app, era)
        with pytest.raises(Exception, match="nonsense"):
            await called(app, era, "one")
    mark.clear()
    app.openapi_schema = None
    assert await listed(app, era) == await listed(app, era) == ["one", "two"]


async def test_first_lists_at_the_same_time_are_all_whole(era: Era) -> None:
    app, other = small_app(), every_kind()[0]
    lists: list[list[str]] = []

    async def ask() -> None:
        lists.append(await listed(app, era))
        assert "one" not in await listed(other, era)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask)
    assert lists == [["one"]] * 10


async def test_many_calls_at_once_are_kept_apart(era: Era) -> None:
    """C1: each has its own caller, its own arguments and its own context."""
    app = FastAPI()
    everybody = anyio.Event()
    waiting = 0

    @app.get("/who")
    async def who(request: Request, number: int) -> list[str]:
        nonlocal waiting
        waiting += 1
        if waiting == 200:
            everybody.set()
        await everybody.wait()
        return [request.headers["x-caller"], str(number)]

    mount_mcp(app)
    answers: dict[int, Any] = {}

    async def ask(number: int) -> None:
        headers, body = request_of(
            era, "tools/call", {"name": "who", "arguments": {"number": number}}
        )
        answer = await exchange(app, [*headers, (b"x-caller", b"%d" % number)], body)
        answers[number] = answer.result["structuredContent"]["result"]
        assert request_context.get() is None

    with anyio.fail_after(30), handled_by_fastmcp() as handled:
        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(ask, number)
    assert answers == {number: [str(number)] * 2 for number in range(200)}
    assert handled == []


async def test_a_route_called_through_the_lane_may_call_tools(era: Era) -> None:
    """C1, C8."""
    app = small_app()
    mounted = mount_mcp(app, path="/other")

    @app.get("/outer")
    async def outer() -> Any:
        async with Client(mounted.server) as client:
            return (await client.call_tool("one")).structured_content

    with anyio.fail_after(30), handled_by_fastmcp() as handled:
        answer = await called(app, era, "outer")
    assert answer.result["structuredContent"] == {"result": 1}
    assert handled == []


def test_one_event_loop_after_another_is_served(era: Era) -> None:
    """M3."""
    app = small_app()
    headers, body = envelope(era, "tools/call", {"name": "one", "arguments": {}})
    for _ in range(2):
        with handled_by_fastmcp() as handled:
            reply = TestClient(app).post("/mcp", headers=headers, json=body)
        assert reply.json()["result"]["structuredContent"] == {"result": 1}
        assert handled == []


async def test_context_variables_of_middleware_reach_the_route(era: Era) -> None:
    """C1."""
    caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller")
    app = FastAPI()

    @app.middleware("http")
    async def note(request: Request, call_next: Any) -> Any:
        if request.url.path == "/mcp":
            caller.set("alice")
        return await call_next(request)

    @app.get("/who")
    async def who() -> str:
        return caller.get()

    mount_mcp(app)
    with handled_by_fastmcp() as handled:
        assert (await called(app, era, "who")).text == '"alice"'
    assert handled == []
