"""F1: what is ready at one moment for many calls is answered one after the other."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Tasks, mount_mcp
from tests.foreign import HELD
from tests.lanes import request_of, sent_by
from tests.longwork import MARK, META, start
from tests.starting import started
from tests.steps import measured_steps
from tests.support import ERAS, Era
from tests.test_session_unread import opened

ROWS = "[" + ",".join(f'{{"id":{number},"name":"row {number}"}}' for number in range(1_500)) + "]"


class Crowd:
    """Calls that wait together, and go on at once."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._go_on = anyio.Event()
        self.are_here = anyio.Event()

    async def join(self) -> None:
        self._left -= 1
        if not self._left:
            self.are_here.set()
        await self._go_on.wait()

    def let_go(self) -> None:
        self._go_on.set()


async def longest_step(
    crowd: Crowd, count: int, send: Callable[[], Coroutine[None, None, object]]
) -> float:
    """Return the longest step of the event loop, once all calls go on."""

    sending = [asyncio.create_task(send()) for _ in range(count)]
    await crowd.are_here.wait()
    async with measured_steps() as steps:
        crowd.let_go()
        for each in sending:
            await each
    return max(steps)


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_answers_of_the_app(era: Era) -> None:
    """Three hundred of 52 KB held the event loop for half a second, and 8 ms over REST."""
    app, crowd = FastAPI(), Crowd(100)

    @app.get("/rows")
    async def rows() -> Response:
        await crowd.join()
        return Response(ROWS, media_type="application/json")

    mount_mcp(app)
    headers, body = request_of(era, "tools/call", {"name": "rows", "arguments": {}})
    async with started(app) as served:
        assert await longest_step(crowd, 100, partial(sent_by, served, headers, body)) < HELD


@pytest.mark.in_process
async def test_structures_in_sessions() -> None:
    """FastMCP and the SDK copied each three times: twenty held the event loop for 85 ms."""
    app, crowd = FastAPI(), Crowd(20)
    rows_of_two = "[" + ",".join('{"id":1,"name":"row"}' for _ in range(22_000)) + "]"

    @app.get("/rows")
    async def rows() -> Response:
        await crowd.join()
        return Response(rows_of_two, media_type="application/json")

    mount_mcp(app, sessions=True)
    headers, body = request_of("legacy", "tools/call", {"name": "rows", "arguments": {}})
    async with started(app) as served:
        sessions = [(await opened(served)).items() for _ in range(20)]

        async def send() -> None:
            own = [(name.lower().encode(), value.encode()) for name, value in sessions.pop()]
            await sent_by(served, [*headers, *own], body)

        assert await longest_step(crowd, 20, send) < HELD


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_results_of_an_own_tool(era: Era) -> None:
    """Nine hundred small ones held the event loop for half a second."""
    app, crowd = FastAPI(), Crowd(500)

    @mount_mcp(app).server.tool
    async def rows() -> list[dict[str, int]]:
        await crowd.join()
        return [{"id": number} for number in range(20)]

    headers, body = request_of(era, "tools/call", {"name": "rows", "arguments": {}})
    async with started(app) as served:
        assert await longest_step(crowd, 500, partial(sent_by, served, headers, body)) < HELD


class _Gate:
    """Middleware of an app, at which the requests to its endpoint wait for each other."""

    def __init__(self, app: ASGIApp, crowd: Crowd) -> None:
        self._app, self._crowd = app, crowd

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._crowd.join()
        await self._app(scope, receive, send)


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_requests_that_fastmcp_answers(era: Era) -> None:
    """A millisecond for each of four hundred, in one round of the event loop."""
    app, crowd = FastAPI(), Crowd(400)
    app.add_middleware(_Gate, crowd=crowd)

    @mount_mcp(app).server.prompt
    async def greet() -> str:
        return "Say hello."

    headers, body = request_of(era, "prompts/get", {"name": "greet"})
    async with started(app) as served:
        assert await longest_step(crowd, 400, partial(sent_by, served, headers, body)) < HELD


@pytest.mark.in_process
async def test_results_of_tasks() -> None:
    """Each was copied, written twice and sealed: 4 MB held the event loop for 100 ms."""
    app, crowd = FastAPI(), Crowd(10)
    names = f"[{','.join(100_000 * [chr(34) + 40 * 'x' + chr(34)])}]"

    @app.get("/rows", openapi_extra=MARK)
    async def rows() -> Response:
        await crowd.join()
        return Response(names, media_type="application/json")

    mount_mcp(app, tasks=Tasks(concurrency=20, max_bytes=16_000_000))
    async with started(app) as served:
        begun = [await start(served, "rows") for _ in range(10)]
        asked = [
            request_of("modern", "tasks/get", {"taskId": each, "_meta": META}) for each in begun
        ]

        async def fetch() -> None:
            # To read the answer would take the loop's time, too.
            headers, body = asked.pop()
            while b'"working"' in (await sent_by(served, headers, body))[1]["body"]:  # noqa: ASYNC110
                await anyio.sleep(0.02)  # As a client does.

        assert await longest_step(crowd, 10, fetch) < HELD
