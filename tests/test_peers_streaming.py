"""What other packages hold back, or leave running, of a response that takes its time."""

import threading
import tracemalloc
from collections.abc import AsyncIterator
from functools import partial

import anyio
import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from mcp_types import TextContent
from starlette.types import Message, Receive

from mcp_mount import Limits, mount_mcp
from tests.lanes import request_of, scope_of
from tests.support import ERAS, Era, call, connected, envelope, http, served


@pytest.mark.parametrize("era", ERAS)
async def test_progress_arrives_while_the_route_still_runs(era: Era) -> None:
    """S1, S2: everything was held back until the end, and nothing was progress."""
    app = FastAPI()
    arrived = anyio.Event()
    pieces: list[str | None] = []

    @app.get("/story")
    async def story() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            yield "Once upon "
            await arrived.wait()
            yield "a time."

        return StreamingResponse(parts(), media_type="text/plain")

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        pieces.append(message)
        arrived.set()

    mount_mcp(app)
    with anyio.fail_after(30):
        async with connected(app, era) as client:
            result = await client.call_tool("story", progress_handler=on_progress)
    assert pieces[0] == "Once upon "
    assert result.content == [TextContent(type="text", text="Once upon a time.")]


@pytest.mark.parametrize("era", ERAS)
async def test_an_endless_stream_is_answered_with_what_had_arrived(era: Era) -> None:
    """S4, C6: it was never answered."""
    app = FastAPI()

    @app.get("/ticks")
    async def ticks() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            while True:
                yield '{"tick": 1}\n'
                await anyio.lowlevel.checkpoint()

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    mount_mcp(app, limits=Limits(max_items=3))
    with anyio.fail_after(30):
        reply = await call(app, "ticks", era=era)
    assert not reply.is_error
    assert reply.result["structuredContent"]["result"] == [{"tick": 1}] * 3
    assert "Ended at the limit of 3 items" in reply.text_content


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("media_type", ["text/plain", "application/json", "video/mp4"])
async def test_a_large_body_costs_no_more_than_its_limit(era: Era, media_type: str) -> None:
    """S3, C6: a body of 100 MB cost 400 MB."""
    app = FastAPI()
    megabyte = b"x" * 1_000_000
    sent = 0

    @app.get("/dump")
    async def dump() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(100):
                sent += 1
                # A copy of its own, as of a file that is read.
                yield bytes(bytearray(megabyte))

        return StreamingResponse(parts(), media_type=media_type)

    mount_mcp(app, limits=Limits(max_bytes=1_000_000))
    tracemalloc.start()
    try:
        reply = await call(app, "dump", era=era)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "Ended at the limit of 1000000 bytes" in reply.text_content
    assert sent < 5
    assert peak < 25_000_000


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("size", [400, 100_000])
async def test_a_streamed_text_is_kept_once(era: Era, size: int) -> None:
    """S3: its parts and the whole were there at the same time; and a small part is not alone."""
    app = FastAPI()
    total = 8_000_000

    @app.get("/dump")
    async def dump() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(total // size):
                # A copy of its own, as of a file that is read.
                yield bytes(bytearray(b"x" * size))

        return StreamingResponse(parts(), media_type="text/plain")

    mount_mcp(app, limits=Limits(max_bytes=total))
    received = 0

    async def take(message: Message) -> None:
        nonlocal received
        received += len(message.get("body", b""))

    headers, body = request_of(era, "tools/call", {"name": "dump", "arguments": {}})
    message: Message = {"type": "http.request", "body": body, "more_body": False}
    await call(app, "dump", era=era)
    tracemalloc.start()
    try:
        await app(scope_of(headers), given_once(message), take)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert received > total
    assert peak < 1.4 * total


def given_once(message: Message) -> Receive:
    """Give one message, and after it the client stays."""
    waiting = [message]

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop()

    return receive


@pytest.mark.parametrize("era", ERAS)
async def test_a_generator_ends_soon_after_its_client_has_gone(era: Era) -> None:
    """C7: it ran on. Without a session, the older protocol ends it at the deadline."""
    app = FastAPI()
    ended = anyio.Event()

    @app.get("/ticks")
    async def ticks() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            try:
                while True:
                    yield "tick\n"
                    await anyio.sleep(0.001)
            finally:
                ended.set()

        return StreamingResponse(lines(), media_type="text/plain")

    mount_mcp(app, limits=Limits(timeout=0.5 if era == "legacy" else 60))
    headers, body = envelope(era, "tools/call", {"name": "ticks", "arguments": {}}, token="t")
    with anyio.fail_after(30):
        async with http(app) as client:
            async with client.stream("POST", "/mcp", headers=headers, json=body) as response:
                await anext(response.aiter_lines())
                assert not ended.is_set()
            await ended.wait()


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["ask", "wait"])
async def test_a_disconnect_reaches_the_route_whatever_it_does(era: Era, tool: str) -> None:
    """C7: it cancelled or not, depending on settings; `is_disconnected()` never became true."""
    app = FastAPI()
    begun, told = threading.Event(), threading.Event()

    @app.get("/ask")
    async def ask(request: Request) -> None:
        begun.set()
        while not await request.is_disconnected():  # noqa: ASYNC110 - how routes do it
            await anyio.sleep(0.001)
        told.set()

    @app.get("/wait")
    async def wait() -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            told.set()

    mount_mcp(app, limits=Limits(timeout=0.5 if era == "legacy" else 60))
    headers, body = envelope(era, "tools/call", {"name": tool, "arguments": {}})
    with served(app) as url:
        async with httpx2.AsyncClient() as client, anyio.create_task_group() as tasks:
            post = partial(client.post, f"{url}/mcp", headers=headers, json=body, timeout=None)
            tasks.start_soon(post)
            assert await anyio.to_thread.run_sync(begun.wait, 5)
            assert not told.is_set()
            tasks.cancel_scope.cancel()
        assert await anyio.to_thread.run_sync(told.wait, 5)
