"""A stream that nobody reads holds up the answers of its session, up to so many bytes of them."""

import logging
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.access import bearer, static
from tests.mock_api.streaming import Response, streamed
from tests.starting import started
from tests.support import LEGACY, envelope, http, rpc
from tests.test_sse_unread import large_app

KIB = 1024
CLIENT = {"name": "client", "version": "1"}
HANDSHAKE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
ALICE = bearer("alice")


def session_app(**options: Any) -> FastAPI:
    app = large_app(sessions=True, **options)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> Any:
            for _ in range(50):
                yield "piece\n"
                await anyio.lowlevel.checkpoint()

        return StreamingResponse(pieces(), media_type="text/plain")

    return app


async def opened(app: Any) -> dict[str, str]:
    reply = await rpc(app, "legacy", "initialize", HANDSHAKE, headers=ALICE)
    headers = {**ALICE, "mcp-session-id": reply.headers["mcp-session-id"]}
    await rpc(app, "legacy", "notifications/initialized", headers=headers)
    return headers


class Callers:
    """Clients of one session that wait for their answers."""

    def __init__(self, app: Any, session: Mapping[str, str]) -> None:
        self.app = app
        self.session = session
        self.headers: dict[str, str] = {}
        self.answered = 0

    async def call(self, id_: int, tool: str = "large", meta: Any = None) -> None:
        params = {"name": tool, "arguments": {}} | ({"_meta": meta} if meta is not None else {})
        headers, body = envelope("legacy", "tools/call", params)
        async with http(self.app) as client:
            sent = {**headers, **self.session, **self.headers}
            reply = await client.post("/mcp", json={**body, "id": id_}, headers=sent)
        assert reply.status_code == 200
        self.answered += 1


async def read_to_the_end(response: Response) -> int:
    size = 0
    while (chunk := await response.chunk()) is not None:
        size += len(chunk)
    return size


def unread(app: Any, session: Mapping[str, str]) -> Any:
    params = {"name": "stream", "arguments": {}}
    headers, body = envelope("legacy", "tools/call", params, token="t")
    return streamed(app, "POST", "/mcp", {**body, "id": 1}, headers={**headers, **session})


@pytest.mark.parametrize("options", [{}, {"auth": static(alice=[])}], ids=["open", "auth"])
@pytest.mark.parametrize("kind", ["results", "requests", "headers", "progress"])
async def test_a_stream_that_holds_too_much_up_is_closed(
    monkeypatch: pytest.MonkeyPatch, kind: str, options: dict[str, Any]
) -> None:
    """F2: whatever was called was kept, and nothing in the session was answered again."""
    most = (1000 if kind == "headers" else 1500) * KIB
    monkeypatch.setattr("mcp_mount.endpoints.outbox._MOST_OF_A_STREAM", most)
    tool = {"results": "large", "progress": "stream"}.get(kind, "small")
    meta = {"a": "x" * 60 * KIB} if kind in {"requests", "progress"} else None
    if kind == "progress":
        # What a call says before its answer waits as well, and the call with it.
        meta = {**(meta or {}), "progressToken": "p"}
    async with started(session_app(**options)) as app:
        callers = Callers(app, await opened(app))
        other = Callers(app, await opened(app))
        if kind == "headers":
            callers.headers = {f"x-{each}": "x" * 6 * KIB for each in range(10)}
        with anyio.fail_after(10):
            async with unread(app, callers.session) as stream, anyio.create_task_group() as tasks:
                await anyio.wait_all_tasks_blocked()
                for number in range(5):
                    tasks.start_soon(callers.call, 100 + number, tool, meta)
                await anyio.wait_all_tasks_blocked()
                # So much may wait for who reads slowly.
                assert callers.answered == 0
                await other.call(1)
                for number in range(10):
                    tasks.start_soon(callers.call, 200 + number, tool, meta)
                await anyio.wait_all_tasks_blocked()
                assert callers.answered == 15
                assert await read_to_the_end(stream) < 10 * KIB
            await callers.call(300)


async def test_who_reads_slowly_gets_everything(caplog: pytest.LogCaptureFixture) -> None:
    """The answers that waited are answered when the stream is read."""
    caplog.set_level(logging.WARNING)
    async with started(session_app()) as app:
        callers = Callers(app, await opened(app))
        async with unread(app, callers.session) as stream, anyio.create_task_group() as tasks:
            await anyio.wait_all_tasks_blocked()
            for number in range(5):
                tasks.start_soon(callers.call, 100 + number)
            await anyio.wait_all_tasks_blocked()
            assert callers.answered == 0
            text = b""
            while (chunk := await stream.chunk()) is not None:
                text += chunk
            assert text.count(b"notifications/progress") == 50
            assert b'"result"' in text
        assert callers.answered == 5
    assert caplog.records == []
