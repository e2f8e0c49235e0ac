"""A stream of the older HTTP+SSE transport that nobody reads takes so much, and no more."""

import gc
import json
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import PlainTextResponse

from mcp_mount import mount_mcp
from mcp_mount.endpoints import streams
from tests.sse import Stream, initialized
from tests.starting import started, turns_taken

KIB = 1024


def large_app(**options: Any) -> FastAPI:
    """Return an app with a large answer and a small one, and HTTP with SSE if nothing is said."""
    app = FastAPI()

    @app.get("/large")
    async def large() -> PlainTextResponse:
        return PlainTextResponse("x" * 100 * KIB)

    @app.get("/small")
    async def small() -> str:
        return "small"

    mount_mcp(app, **options or {"sse_path": "/sse"})
    return app


async def status_of_a_call(stream: Stream, tool: str = "large") -> int:
    body = {"jsonrpc": "2.0", "id": next(stream.ids), "method": "tools/call"}
    reply = await stream.post({**body, "params": {"name": tool, "arguments": {}}})
    return reply.status_code


async def call_until_closed(stream: Stream, most: int, tool: str = "large") -> int:
    """Call without reading, until there is no such stream; return how many calls that took."""
    for count in range(most):
        if await status_of_a_call(stream, tool) == 404:
            return count
        await anyio.wait_all_tasks_blocked()
    raise AssertionError("the stream is still there")


async def read_to_the_end(stream: Stream) -> int:
    """Return how many bytes there are to be read."""
    size = 0
    while (chunk := await stream.response.chunk()) is not None:
        size += len(chunk)
    return size


async def test_results_that_nobody_reads_close_the_stream(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F2: whatever waited is given up; other streams go on."""
    monkeypatch.setattr("mcp_mount.endpoints.outbox._MOST_OF_A_STREAM", 1000 * KIB)
    async with started(large_app()) as app, initialized(app) as other:
        async with initialized(app) as stream:
            calls = await call_until_closed(stream, 50)
            # Those that wait, and those on their way to the client.
            assert 1000 // 132 <= calls <= 1000 // 132 + 5
            assert await read_to_the_end(stream) <= 300 * KIB
        assert await other.called("small") == '"small"'
    assert [each.getMessage() for each in caplog.records if each.name == "mcp_mount"] == [
        "A stream of HTTP with SSE was closed: its client does not read it"
    ]


async def test_many_small_results_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: each has a task that waits with it."""
    monkeypatch.setattr("mcp_mount.endpoints.outbox._MOST_OF_A_STREAM", 1000 * KIB)
    async with started(large_app()) as app, initialized(app) as stream:
        assert await call_until_closed(stream, 50, "small") <= 40


async def test_requests_whose_answers_nobody_reads_count_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F2: four megabytes are kept for an answer of forty bytes, which took gigabytes."""
    monkeypatch.setattr("mcp_mount.endpoints.outbox._MOST_OF_A_STREAM", 1000 * KIB)
    params = {"_meta": {"long": "x" * 100 * KIB}}
    async with started(large_app()) as app, initialized(app) as stream:
        taken: list[int] = []
        for _ in range(20):
            number = next(stream.ids)
            body = {"jsonrpc": "2.0", "id": number, "method": "ping", "params": params}
            if (await stream.post(body)).status_code == 202:
                taken.append(number)
            await anyio.wait_all_tasks_blocked()
        # Those that wait, and those on their way to the client.
        assert 1000 // 232 <= len(taken) <= 1000 // 232 + 5
        assert [(await stream.message())["id"] for _ in taken] == taken
        await anyio.wait_all_tasks_blocked()
        assert (await stream.post({**body, "id": 0})).status_code == 202
        assert (await stream.message())["id"] == 0


async def test_many_values_count_as_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: a byte or two of a request may be a hundred when it is parsed."""
    monkeypatch.setattr("mcp_mount.endpoints.outbox._MOST_OF_A_STREAM", 1000 * KIB)
    params = {"name": "small", "arguments": {"a": [[]] * 10_000}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    async with started(large_app()) as app, initialized(app) as stream:
        statuses = []
        for number in range(9):
            statuses.append((await stream.post({**body, "id": number})).status_code)
            await anyio.wait_all_tasks_blocked()
        assert 429 in statuses


async def test_one_large_message_is_not_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads gets it, where the app's limits are higher than what may wait."""
    monkeypatch.setattr("mcp_mount.endpoints.outbox._MOST_OF_A_STREAM", 100 * KIB)
    body = {"jsonrpc": "2.0", "id": 0, "method": "ping", "params": {"_meta": {"a": "x" * 60 * KIB}}}
    async with started(large_app()) as app, initialized(app) as stream:
        await stream.call("large")
        text = b""
        while b"}\r\n\r\n" not in text:
            chunk = await stream.response.chunk()
            assert chunk is not None, "the stream was closed"
            text += chunk
        assert text.count(b"x" * 100 * KIB) == 1
        assert (await stream.post(body)).status_code == 202
        assert (await stream.message())["id"] == 0


async def test_many_streams_share_what_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: the one on which most waits is closed."""
    monkeypatch.setattr("mcp_mount.endpoints.outbox._MOST", 1500 * KIB)
    async with started(large_app()) as app, initialized(app) as modest:
        assert await status_of_a_call(modest) == 202
        async with initialized(app) as greedy:
            assert await call_until_closed(greedy, 50) <= 15
        # The one result that waited for it is still there.
        size = 0
        while size < 100 * KIB:
            size += len(await modest.response.chunk() or b"")


async def test_a_client_that_stops_reading_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: even when little waits."""
    monkeypatch.setattr("mcp_mount.endpoints.outbox._PATIENCE", 0.1)
    async with started(large_app()) as app, initialized(app) as stream:
        assert await status_of_a_call(stream) == 202
        with anyio.fail_after(30):
            while await status_of_a_call(stream) != 404:
                await anyio.lowlevel.checkpoint()


async def test_a_large_result_reaches_who_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """S2: in pieces, whole, and however many there are one after the other."""
    monkeypatch.setattr("mcp_mount.endpoints.outbox._MOST_OF_A_STREAM", 300 * KIB)

    async def read_one(stream: Stream) -> bytes:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            chunk = await stream.response.chunk()
            assert chunk is not None, "the stream was closed"
            text += chunk
        return text

    async with started(large_app()) as app, initialized(app) as stream:
        for _ in range(10):
            await stream.call("large")
            assert (await read_one(stream)).count(b"x") >= 100 * KIB


async def test_what_a_call_began_is_forgotten_when_it_has_ended() -> None:
    """F2: a stream on which there are many calls does not grow with them."""
    app = FastAPI()

    @app.get("/noted")
    async def noted(tasks: BackgroundTasks) -> str:
        tasks.add_task(anyio.lowlevel.checkpoint)
        return "noted"

    mount_mcp(app, sse_path="/sse")
    async with started(app) as running, initialized(running) as stream:
        for _ in range(30):
            assert await stream.called("noted") == '"noted"'
            await anyio.wait_all_tasks_blocked()
        [open_stream] = [each for each in gc.get_objects() if isinstance(each, streams.Stream)]
        assert len(open_stream.tasks) <= 2


async def test_large_arguments_are_read_in_turns() -> None:
    """F1: they are checked, read again and handed on; in one step that took 130 ms."""
    many = {str(number): 1 for number in range(60_000)}
    params = {"name": "small", "arguments": many}
    content = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    async with (
        started(large_app()) as app,
        initialized(app) as stream,
        turns_taken() as turns,
    ):
        assert (await stream.post(content.encode())).status_code == 202
        await stream.message()
    assert max(turns) < sum(turns) / 2
