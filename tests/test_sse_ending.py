"""What ends with a stream of the older HTTP+SSE transport, and with a call made over it."""

import asyncio
import gc
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio.streams.memory import MemoryObjectSendStream
from fastapi import BackgroundTasks, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

from mcp_mount import Limits, mount_mcp
from tests.access import bearer
from tests.leaving import build_streams
from tests.mock_api.streaming import streamed
from tests.sse import HANDSHAKE, Stream, initialized, opened
from tests.starting import started

pytestmark = pytest.mark.faults

MANY = 200
KINDS = ("text", "lines", "events", "silent", "thread")
ENDED = ["dependency closed", "generator closed"]


async def begun(stream: Stream, tool: str) -> int:
    """Call a tool that streams, and wait for its first progress; return the id of the call."""
    id_ = await stream.call(tool, _meta={"progressToken": "p"})
    assert (await stream.message())["method"] == "notifications/progress"
    return id_


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_call_ends_its_route_and_not_the_stream(kind: str) -> None:
    """C7: generators run their `finally`, and the next call is served."""
    log: list[str] = []
    app = build_streams(log)

    @app.get("/next")
    async def following() -> str:
        return "next"

    mount_mcp(app, sse_path="/sse")
    async with started(app) as running, initialized(running) as stream:
        cancelled = await begun(stream, kind)
        params = {"requestId": cancelled}
        body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        assert (await stream.post(body)).status_code == 202
        id_ = await stream.call("following")
        # Whatever was on its way before the cancellation.
        while (message := await stream.message()).get("id") != id_:
            assert message.get("id") != cancelled
        assert message["result"]["content"][0]["text"] == '"next"'
        with anyio.fail_after(30):
            while "generator closed" not in log:
                await anyio.lowlevel.checkpoint()


async def pass_on(request: Request, call_next: Callable[..., Awaitable[Response]]) -> Response:
    response: Response = await call_next(request)
    return response


@pytest.mark.parametrize("version", ["2.3", "2.4"])
@pytest.mark.parametrize("kind", KINDS)
async def test_the_calls_of_a_client_that_goes_end(kind: str, version: str) -> None:
    """C7: generators run their `finally`, and so do their dependencies."""
    log: list[str] = []
    app = build_streams(log)
    mount_mcp(app, sse_path="/sse")
    async with started(app) as running:
        async with initialized(running, spec_version=version) as stream:
            await begun(stream, kind)
            assert log == []
        # The loop closes a generator that nobody holds any more, in a task of its own.
        await anyio.wait_all_tasks_blocked()
        assert sorted(log) == ENDED


@pytest.mark.parametrize("kind", KINDS)
async def test_the_calls_of_a_client_that_goes_end_under_base_http_middleware(kind: str) -> None:
    """C7: as above; this middleware cancels its route itself, which leaves a cycle."""
    log: list[str] = []
    app = build_streams(log)
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    mount_mcp(app, sse_path="/sse")
    async with started(app) as running:
        async with initialized(running) as stream:
            await begun(stream, kind)
            assert log == []
        gc.collect()
        await anyio.wait_all_tasks_blocked()
        assert sorted(log) == ENDED
        async with initialized(running) as stream:
            assert stream.endpoint


async def test_a_route_is_told_that_its_client_has_gone() -> None:
    """C7: before anything is cancelled."""
    told: list[bool] = []
    app = FastAPI()

    @app.get("/wait")
    async def wait(request: Request) -> StreamingResponse:
        async def produce() -> AsyncIterator[str]:
            yield "x"
            while not await request.is_disconnected():
                await anyio.lowlevel.checkpoint()
            told.append(True)

        return StreamingResponse(produce(), media_type="text/plain")

    mount_mcp(app, sse_path="/sse")
    async with started(app) as running:
        async with initialized(running) as stream:
            await begun(stream, "wait")
        assert told == [True]


async def test_the_result_does_not_wait_for_background_tasks() -> None:
    """C8: which go on when the client has gone, as over REST."""
    app, log = FastAPI(), list[str]()
    release, done = anyio.Event(), anyio.Event()

    @app.get("/work")
    async def work(background: BackgroundTasks) -> str:
        async def after() -> None:
            await release.wait()
            log.append("done")
            done.set()

        background.add_task(after)
        return "answer"

    mount_mcp(app, sse_path="/sse")
    async with started(app) as running:
        async with initialized(running) as stream:
            assert await stream.called("work") == '"answer"'
            assert log == []
            release.set()
        with anyio.fail_after(30):
            await done.wait()
    assert log == ["done"]


async def test_a_stream_may_end_while_a_message_to_it_is_answered() -> None:
    """C7: nobody is left to be told, and nothing is raised."""
    app = build_streams([])
    mount_mcp(app, sse_path="/sse")
    streams: list[Stream] = []
    here, leave, gone = anyio.Event(), anyio.Event(), anyio.Event()

    async def stay() -> None:
        async with initialized(running) as stream:
            streams.append(stream)
            here.set()
            await leave.wait()
        gone.set()

    async with started(app) as running, anyio.create_task_group() as client:
        client.start_soon(stay)
        await here.wait()
        body = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        async with streamed(running, "POST", streams[0].endpoint, body) as reply:
            assert reply.status == 202
            leave.set()
            await gone.wait()
            assert await reply.chunk() == b"Accepted"


async def test_a_call_still_has_its_deadline() -> None:
    """C6."""
    app = FastAPI()

    @app.get("/never")
    async def never() -> str:
        await anyio.sleep_forever()
        raise AssertionError

    mount_mcp(app, sse_path="/sse", limits=Limits(timeout=0.05))
    async with started(app) as running, initialized(running) as stream:
        assert "0.05" in await stream.called("never")


async def test_nothing_is_left_of_clients_that_vanish() -> None:
    """X1: neither tasks nor streams; some go before they have said anything, some within a call."""
    log: list[str] = []
    app = build_streams(log)
    mount_mcp(app, sse_path="/sse")

    async def vanish(number: int) -> None:
        way = (opened, initialized, initialized)[number % 3]
        async with way(running) as stream:
            if number % 3 == 2:
                await begun(stream, "events")

    async with started(app) as running:
        await vanish(2)
        before = await leftovers()
        for start in range(0, MANY, 20):
            async with anyio.create_task_group() as group:
                for number in range(start, start + 20):
                    group.start_soon(vanish, number)
        tasks, streams = await leftovers()
        assert tasks == before[0]
        # What the last few have left goes with those who come next.
        assert streams - before[1] < MANY / 10
    calls = 1 + sum(number % 3 == 2 for number in range(MANY))
    assert sorted(log) == sorted(ENDED * calls)


async def leftovers() -> tuple[int, int]:
    """Count the tasks, and the ends of streams between tasks."""
    # A generator that is collected ends in a task of its own, and leaves what it held.
    for _ in range(2):
        gc.collect()
        await anyio.wait_all_tasks_blocked()
    gc.collect()
    streams = [each for each in gc.get_objects() if isinstance(each, MemoryObjectSendStream)]
    return len(asyncio.all_tasks()), len(streams)


async def test_the_end_of_the_app_ends_its_streams() -> None:
    """M2: the answer to the GET is complete, and the route of a running call is told."""
    log: list[str] = []
    app = build_streams(log)
    mount_mcp(app, sse_path="/sse")
    running: Any = None
    up, down = anyio.Event(), anyio.Event()

    async def live() -> None:
        nonlocal running
        async with started(app) as running:
            up.set()
            await down.wait()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as life:
            life.start_soon(live)
            await up.wait()
            async with opened(running) as idle, initialized(running) as stream:
                await begun(stream, "lines")
                down.set()
                assert await idle.response.chunk() is None
                while await stream.response.chunk() is not None:
                    pass
    await anyio.wait_all_tasks_blocked()
    assert sorted(log) == ENDED


SCRIPT = """
import uvicorn
from mcp_mount import mount_mcp
from tests.access import static
from tests.leaving import build_streams

app = build_streams([])
mount_mcp(app, sse_path="/sse", auth={auth})
uvicorn.run(app, fd={fd}, log_level="info", timeout_graceful_shutdown=2)
"""


@pytest.mark.parametrize("auth", ["None", "static(alice=[])"])
def test_a_server_that_stops_does_not_wait_for_its_streams(auth: str) -> None:
    """M2: uvicorn ends within its time for open requests, and has no errors to log."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT.format(auth=auth, fd=fd))],
            cwd=Path(__file__).parent.parent,
            pass_fds=[fd],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        headers = bearer("alice")
        with (
            httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=20) as http,
            http.stream("GET", "/sse") as idle,
            http.stream("GET", "/sse") as stream,
        ):
            lines = stream.iter_lines()
            endpoint = next(line[6:] for line in lines if line.startswith("data: /"))
            shaking = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HANDSHAKE}
            params = {"name": "lines", "arguments": {}, "_meta": {"progressToken": "p"}}
            calling = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
            for body in (shaking, calling):
                assert http.post(endpoint, json=body).status_code == 202
            assert any("notifications/progress" in line for line in lines)
            process.send_signal(signal.SIGTERM)
            # Both answers are whole: nothing is raised for a body that breaks off.
            assert [*lines]
            assert "endpoint" in idle.read().decode()
        said = process.communicate(timeout=20)[0]
    finally:
        process.kill()
        process.wait()
    assert "Application shutdown complete" in said
    for wrong in ("Traceback", "ERROR", "exceeded", "Exception"):
        assert wrong not in said, said
