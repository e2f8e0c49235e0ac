"""Before 2026-07-28 a lost connection is no cancellation: a call runs on, though not for ever."""

from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.lowlevel import checkpoint
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import Limits, mount_mcp
from tests.leaving import build_streams, calling
from tests.support import LEGACY, envelope, http, rpc


def leaving_is_seen(app: ASGIApp, left: anyio.Event) -> ASGIApp:
    """Set `left` when the server has told the endpoint that its client is gone."""

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        async def watch() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                left.set()
            return message

        await app(scope, watch if scope["type"] == "http" else receive, send)

    return server


@pytest.mark.parametrize("version", ["2.3", "2.4"])
@pytest.mark.parametrize("sessions", [False, True])
async def test_a_lost_connection_of_the_handshake_versions_is_no_cancellation(
    version: str, *, sessions: bool
) -> None:
    """C7: legacy: the route runs on to its end, is not told, and may still send."""
    log: list[str] = []
    left = anyio.Event()
    app = FastAPI()

    @app.get("/long")
    async def long(request: Request, background: BackgroundTasks) -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            try:
                yield "x"
                await left.wait()
                for _ in range(40):
                    yield "y"
                    await checkpoint()
                log.append(f"ran on, told: {await request.is_disconnected()}")
            finally:
                log.append("generator closed")

        async def after() -> None:
            log.append("background")

        background.add_task(after)
        return StreamingResponse(chunks(), media_type="text/plain", background=background)

    mount_mcp(app, sessions=sessions)
    async with run_asgi_lifespan(app):
        headers = await session_of(app) if sessions else {}
        async with calling(
            leaving_is_seen(app, left), "legacy", "long", None, version=version, **headers
        ):
            assert log == []
        # The session's own task may be a step behind its request.
        await anyio.wait_all_tasks_blocked()
    assert log == ["ran on, told: False", "generator closed", "background"]


async def session_of(app: ASGIApp) -> dict[str, str]:
    """Open a session; return the header that names it."""
    client = {"name": "test", "version": "1"}
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client}
    reply = await rpc(app, "legacy", "initialize", params)
    return {"mcp-session-id": reply.headers["mcp-session-id"]}


async def test_a_call_that_was_left_ends_at_its_deadline() -> None:
    """C7: legacy: what a client has left does not run for longer than the limit."""
    log: list[str] = []
    app = build_streams(log)
    mount_mcp(app, limits=Limits(timeout=0.2))
    async with calling(app, "legacy", "text"):
        assert log == []
    assert sorted(log) == ["dependency closed", "generator closed"]


@pytest.mark.parametrize("tool", ["text", "lines", "events", "silent"])
async def test_a_session_cancels_by_notification(tool: str) -> None:
    """C7: legacy with sessions: `notifications/cancelled` ends the route as a disconnect does."""
    log: list[str] = []
    app = build_streams(log)
    mount_mcp(app, sessions=True)
    async with run_asgi_lifespan(app):
        session = await session_of(app)
        async with calling(app, "legacy", tool, None, **session) as response:
            assert log == []
            await notify_cancelled(app, session)
            while chunk := await response.chunk():
                last = chunk
    assert b"Request cancelled" in last
    assert sorted(log) == ["dependency closed", "generator closed"]


async def notify_cancelled(app: ASGIApp, session: dict[str, str]) -> None:
    headers, body = envelope("legacy", "notifications/cancelled", {"requestId": 1})
    del body["id"]
    async with http(app) as client:
        reply = await client.post("/mcp", headers={**headers, **session}, json=body)
    assert reply.status_code == 202
