"""An app that was never started answers all the same, on any event loop."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from fastmcp import Context, FastMCP

from mcp_mount import InvalidMark, mount_mcp
from tests.support import ERAS, Era, call, connected, envelope


def inner(events: list[str]) -> FastMCP[Any]:
    """Return a FastMCP server of the user's own, whose tool needs the server's lifespan."""

    @asynccontextmanager
    async def lifespan(server: FastMCP[Any]) -> AsyncIterator[dict[str, int]]:
        events.append("server starts")
        yield {"answer": 42}
        events.append("server stops")

    server: FastMCP[Any] = FastMCP("inner", lifespan=lifespan)

    @server.tool
    async def state(context: Context) -> int:
        answer: int = context.lifespan_context["answer"]
        return answer

    return server


@pytest.mark.parametrize("era", ERAS)
async def test_an_app_that_was_never_started_answers(era: Era) -> None:
    """M3: through FastMCP's own client, handshake and all, each request on its own."""
    events: list[str] = []
    app = FastAPI()
    app.add_api_route("/one", lambda: 1, operation_id="one")
    mount_mcp(app).server.mount(inner(events))
    async with connected(app, era) as client:
        assert {tool.name for tool in await client.list_tools()} == {"one", "state"}
        assert (await client.call_tool("one")).structured_content == {"result": 1}
        assert (await client.call_tool("state")).data == 42
    assert events.count("server starts") == events.count("server stops") > 0


@pytest.mark.parametrize("era", ERAS)
async def test_an_app_that_was_never_started_answers_many_at_once(era: Era) -> None:
    """M3."""
    app = FastAPI()
    all_here = anyio.Event()
    here = []

    @app.get("/wait/{number}")
    async def wait(number: int) -> int:
        here.append(number)
        if len(here) == 10:
            all_here.set()
        with anyio.fail_after(30):
            await all_here.wait()
        return number

    mount_mcp(app).server.mount(inner([]))
    answers: dict[int, str] = {}

    async def one(number: int) -> None:
        answers[number] = (await call(app, "wait", {"number": number}, era=era)).text_content
        assert (await call(app, "state", era=era)).text_content == "42"

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(one, number)
    assert answers == {number: str(number) for number in range(10)}


@pytest.mark.parametrize("era", ERAS)
async def test_httpx_reaches_an_app_that_was_never_started(era: Era) -> None:
    """M3: with its plain transport, which gives the whole response at its end."""
    app = FastAPI()
    app.add_api_route("/one", lambda: 1, operation_id="one")
    mount_mcp(app)
    headers, body = envelope(era, "tools/call", {"name": "one", "arguments": {}})
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/mcp", headers=headers, json=body)
    assert answer.status_code == 200
    assert '"structuredContent":{"result":1}' in answer.text


def ask(app: FastAPI, era: Era, name: str) -> str:
    """Call a tool with a `TestClient` of an app that was never started; return the answer."""
    headers, body = envelope(era, "tools/call", {"name": name, "arguments": {}})
    client = TestClient(app, base_url="http://localhost")
    return client.post("/mcp", headers=headers, json=body).text


@pytest.mark.parametrize("era", ERAS)
def test_a_test_client_outside_a_with_block_has_a_new_event_loop_each_time(era: Era) -> None:
    """M3: nothing may be bound to the loop of the first request."""
    app = FastAPI()
    app.add_api_route("/one", lambda: 1, operation_id="one")
    mount_mcp(app).server.mount(inner([]))
    for _ in range(2):
        assert '"structuredContent":{"result":1}' in ask(app, era, "one")
        assert '"structuredContent":{"result":42}' in ask(app, era, "state")


@pytest.mark.parametrize("era", ERAS)
def test_test_clients_in_several_threads_do_not_meet(era: Era) -> None:
    """M3: several event loops at the same time."""
    app = FastAPI()
    together = threading.Barrier(4, timeout=5)
    app.add_api_route("/one", together.wait, operation_id="one")
    mount_mcp(app)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(app, era, "one"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert all('"structuredContent":{"result":' in answer for answer in answers)


def test_a_mistake_in_the_app_is_raised_as_it_is() -> None:
    """M3: where no start-up could tell of it, the first request does."""
    app = FastAPI()
    app.add_api_route("/one", lambda: 1, openapi_extra={"x-mcp": "nonsense"})
    mount_mcp(app)
    with pytest.raises(InvalidMark, match=r"of GET /one cannot be read"):
        ask(app, "modern", "one")
