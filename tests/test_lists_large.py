"""F1: a list of many tools holds the event loop for a moment only, whichever way it is answered."""

from collections.abc import Iterator
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI, Query
from fastmcp import FastMCP
from fastmcp.server.middleware import Middleware
from pydantic import BaseModel
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from mcp_mount import Mounted, Remote, mount_mcp, proxy_app
from mcp_mount.search.surface import SurfaceChoice
from tests.foreign import HELD, Heartbeat
from tests.lanes import HeaderPairs, exchange, handled_by_fastmcp, request_of, sent_by
from tests.others import gateway, raw
from tests.starting import started
from tests.steps import measured_steps
from tests.support import call, rpc

TOOLS = 400
"""Written in one step, they take 60 to 90 ms."""


class Address(BaseModel):
    street: str
    city: str
    zip: str | None = None


class Thing(BaseModel):
    name: str
    count: int = 0
    note: str | None = None
    tags: list[str] = []
    home: Address | None = None
    work: Address | None = None


def large_app(*, sessions: bool = False) -> tuple[FastAPI, Mounted]:
    app = FastAPI()

    async def update(
        item_id: str, body: Thing, limit: Annotated[int, Query(ge=1, le=100)] = 10
    ) -> list[Thing]:
        return []

    for number in range(TOOLS):
        app.add_api_route(f"/{number}/{{item_id}}", update, name=f"u{number}", methods=["POST"])
    return app, mount_mcp(app, sessions=sessions)


async def held_by(app: ASGIApp, headers: HeaderPairs, body: bytes) -> float:
    """Return for how long the event loop is held by a request for the list."""
    heart = Heartbeat()

    async def act() -> None:
        # To read the answer would take the loop's time, too.
        parts = await sent_by(app, headers, body)
        assert b"".join(each.get("body", b"") for each in parts).count(b'"inputSchema"') == TOOLS

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heart.beat)
        await act()
        held = await heart.during(act)
        tasks.cancel_scope.cancel()
    return held


async def part_of_longest_step(app: ASGIApp, headers: HeaderPairs, body: bytes) -> float:
    """Return which part of what a request takes is its longest step in the event loop."""
    async with measured_steps() as steps:
        await sent_by(app, headers, body)
    # Without those in which nothing else has run.
    return max(steps) / sum(step for step in steps if step > 0.0005)


async def in_a_session(app: ASGIApp, method: str = "tools/list") -> tuple[HeaderPairs, bytes]:
    """Open a session; return a request for its list."""
    client = {"name": "c", "version": "1"}
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
    opened = await rpc(app, "legacy", "initialize", params)
    headers, body = request_of("legacy", method)
    return [*headers, (b"mcp-session-id", opened.headers["mcp-session-id"].encode())], body


async def test_a_list_in_a_session_lets_others_run() -> None:
    app, _ = large_app(sessions=True)
    async with started(app) as served:
        assert await held_by(served, *await in_a_session(served)) < HELD


async def test_a_list_that_fastmcp_answers_lets_others_run() -> None:
    """In the modern era the SDK writes the whole answer in one step."""
    app, mounted = large_app()
    mounted.server.add_middleware(Middleware())
    async with started(app) as served:
        with handled_by_fastmcp() as handled:
            assert await held_by(served, *request_of("legacy", "tools/list")) < HELD
        assert handled


RESOURCES = [{"uri": f"x://{number}", "name": f"r{number}"} for number in range(1_000)]
TEMPLATES = [
    {"uriTemplate": f"x://{number}/{{a}}/{{b}}", "name": f"t{number}"} for number in range(1_000)
]
PROMPTS = [{"name": f"p{number}"} for number in range(1_000)]


@pytest.mark.parametrize("sessions", [False, True])
async def test_lists_of_other_servers_let_others_run(*, sessions: bool) -> None:
    """Gateway, F1: also those of resources, templates and prompts; they were one step of 0.1 s."""
    answers: dict[str, Any] = {
        "resources/list": {"resources": RESOURCES},
        "resources/templates/list": {"resourceTemplates": TEMPLATES},
        "prompts/list": {"prompts": PROMPTS},
    }
    with raw([], **answers) as (_, url), raw([], **answers) as (_, other):
        remotes = Remote("a", url=url), Remote("b", url=other)
        async with gateway(*remotes, sessions=sessions) as app:
            for method, answer in answers.items():
                if sessions:
                    request = await in_a_session(app, method)
                else:
                    request = request_of("modern", method)
                ((member, each),) = answer.items()
                listed = (await exchange(app, *request)).result[member]
                names = [entry["name"].rpartition("_")[2] for entry in listed]
                assert names == 2 * [entry["name"] for entry in each]
                parts = [await part_of_longest_step(app, *request) for _ in range(3)]
                assert min(parts) < 0.4, method


async def test_a_tool_that_is_none_is_answered_without_a_list_of_those_that_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FastMCP makes one with a look at each tool: 8,100 took it 40 ms for each such call."""
    app, _ = large_app()
    asked: list[object] = []
    list_tools = FastMCP.list_tools

    async def counted(self: FastMCP[Any], **options: Any) -> Any:
        asked.append(self)
        return await list_tools(self, **options)

    async with started(app) as served:
        monkeypatch.setattr(FastMCP, "list_tools", counted)
        error = (await call(served, "u-17")).answer["error"]
    assert error["message"] == "Unknown tool: 'u-17'. Near are: 'u17', 'u177', 'u172'"
    assert not asked


class Routes(list[BaseRoute]):
    """The routes of an app; counts how often they are gone through."""

    walks = 0

    def __iter__(self) -> Iterator[BaseRoute]:
        self.walks += 1
        return super().__iter__()


@pytest.mark.parametrize("surface", ["tools", "auto"])
async def test_the_routes_are_not_gone_through_for_each_tool(surface: SurfaceChoice) -> None:
    """FastAPI does, to tell whether its document is still true: 1,000 tools took 80 ms of that."""
    app = FastAPI()
    for number in range(100):
        app.add_api_route(f"/{number}", lambda: None, name=f"t{number}")
    mount_mcp(app, surface=surface)
    app.router.routes = routes = Routes(app.router.routes)
    async with started(app) as served:
        answer = (await exchange(served, *request_of("modern", "tools/list"))).messages[-1]
    assert answer["result"]["tools"]
    assert routes.walks < 50


@pytest.mark.parametrize("sessions", [False, True])
async def test_a_tool_that_cannot_be_listed_is_told_to_the_log(
    caplog: pytest.LogCaptureFixture, *, sessions: bool
) -> None:
    """As the SDK does it: the server's mistake is not the client's to read of."""
    mounted = mount_mcp(app := FastAPI(), sessions=sessions)

    @mounted.server.tool
    def odd() -> None: ...

    (tool,) = await mounted.server.local_provider.list_tools()
    tool.parameters = {"type": "array"}
    mounted.server.add_middleware(Middleware())
    async with started(app) as served:
        if sessions:
            answer = (await exchange(served, *await in_a_session(served))).messages[-1]
        else:
            answer = (await exchange(served, *request_of("modern", "tools/list"))).messages[-1]
    assert answer["error"] == {"code": -32603, "message": "Handler returned an invalid result"}
    assert "An entry of tools/list cannot be listed" in caplog.text


def large_document() -> dict[str, Any]:
    """Return a document of 0.2 MB with 20 operations that take the same large body."""
    text = {"type": "string", "description": "word " * 40}
    properties = {f"p{number}": {"items": text, "type": "array"} for number in range(1_500)}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}}}
    return {
        "openapi": "3.1.0",
        "paths": {f"/{number}": {"post": {"requestBody": body}} for number in range(20)},
        "components": {"schemas": {"Body": {"type": "object", "properties": properties}}},
    }


async def test_a_list_of_few_large_tools_is_made_and_written_in_many_steps() -> None:
    """Each tool has its share of a million characters, and twenty have six million."""
    app = proxy_app(large_document(), "http://localhost:9")
    headers, body = request_of("modern", "tools/list")
    async with started(app) as served:
        for _ in range(3):
            async with measured_steps() as steps:
                await sent_by(served, headers, body)
            assert max(steps) < HELD
