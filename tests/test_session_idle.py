"""A session in which nothing happens keeps next to nothing of what happened last."""

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Annotated, Any

import anyio
import httpx2
import pytest
from fastapi import Body, FastAPI
from starlette.types import Message, Receive, Scope, Send

from mcp_mount import mount_mcp
from mcp_mount.endpoints.idle import IdleSessions
from tests.access import bearer, static
from tests.raw import send_raw
from tests.sse import initialized
from tests.starting import started
from tests.support import LEGACY, call, envelope, served
from tests.test_session_unread import opened

MB = 1_000_000
SESSIONS = 4
CLIENT = {"name": "client", "version": "1"}
HANDSHAKE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}


def large_app(**options: Any) -> FastAPI:
    app = FastAPI()
    app.state.may_answer, app.state.has_answered = anyio.Event(), anyio.Event()

    @app.get("/give")
    async def give() -> str:
        return "x" * MB

    @app.post("/take")
    async def take(text: Annotated[str, Body(embed=True)]) -> int:
        return len(text)

    @app.get("/wait")
    async def wait() -> str:
        await app.state.may_answer.wait()
        app.state.has_answered.set()
        return "x" * MB

    mount_mcp(app, sessions=True, **options)
    return app


@contextmanager
def memory_kept() -> Iterator[Callable[[], int]]:
    """Yield what returns how many bytes are there that were not before."""

    def size() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    gc.collect()
    tracemalloc.start()
    try:
        yield size
    finally:
        tracemalloc.stop()


def called(tool: str, **arguments: object) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}


MESSAGES = {
    "answer": called("give"),
    "request": called("take", text="y" * MB),
    "notification": {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": 1, "progress": 1, "message": "y" * MB},
    },
    "response": {"jsonrpc": "2.0", "id": "unknown", "result": {"text": "y" * MB}},
    "error": {**called("none"), "params": {"name": "y" * 60_000, "arguments": {"a": "y" * MB}}},
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [*((kind, {}) for kind in MESSAGES), ("request", {"auth": static(alice=[])})],
    ids=[*MESSAGES, "request with a token"],
)
def test_sessions_keep_no_large_message(kind: str, options: dict[str, Any]) -> None:
    """F2: each kept twelve megabytes of a text of four, until its next message came."""
    headers, _ = envelope("legacy", "ping")
    with served(large_app(**options)) as url, httpx2.Client(base_url=url, timeout=30) as client:

        def post(body: Any, session: str | None = None) -> httpx2.Response:
            sent = {**headers, **bearer("alice")}
            if session is not None:
                sent["mcp-session-id"] = session
            return client.post("/mcp", json=body, headers=sent)

        def used() -> str:
            start = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HANDSHAKE}
            reply = post(start)
            # One that comes after a large request on the same connection, too.
            assert reply.json()["result"]["protocolVersion"] == LEGACY
            session = reply.headers["mcp-session-id"]
            post({"jsonrpc": "2.0", "method": "notifications/initialized"}, session)
            assert (
                post(MESSAGES[kind], session).status_code
                == (202 if "o" in kind[-4:] and "id" not in MESSAGES[kind] else 200)
                or kind == "response"
            )
            return session

        used()
        with memory_kept() as kept:
            sessions = [used() for _ in range(SESSIONS)]
            # What is no request is taken after it is answered.
            assert any(client.get("/openapi.json").is_success and kept() < MB for _ in range(50))
        for session in sessions:
            text = post(called("give"), session).json()["result"]["content"][0]["text"]
            assert len(text) == MB + 2


async def test_what_comes_after_its_client_has_gone_is_not_kept() -> None:
    """F2: nobody can come back for it."""
    app = large_app()
    headers, _ = envelope("legacy", "ping")
    async with started(app):
        session = await opened(app)
        body = json.dumps(called("wait")).encode()
        with memory_kept() as kept:
            await send_raw(app, [body], {**headers, **session}, leaves=True)
            app.state.may_answer.set()
            await app.state.has_answered.wait()
            await anyio.wait_all_tasks_blocked()
            assert kept() < MB // 2
        reply = await call(app, "take", {"text": "abc"}, era="legacy", headers=session)
        assert reply.result["content"][0]["text"] == "3"


async def test_a_session_is_pinged_once_at_a_time() -> None:
    """F1: however many requests of it are left; and once more for those that came meanwhile."""
    pings, go = list[bytes](), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"")
        if b'"ping"' in body:
            pings.append(body)
            await go.wait()

    idle = IdleSessions(app)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(_: Message) -> None:
        """Drop what is written."""

    scope = {"type": "http", "method": "POST", "headers": [(b"mcp-session-id", b"a")]}
    for _ in range(20):
        # An answer that nobody gets may have been a large one.
        await idle(scope, receive, send)
        await anyio.wait_all_tasks_blocked()
    assert len(pings) == 1
    go.set()
    await anyio.wait_all_tasks_blocked()
    assert len(pings) == 2


async def test_an_open_stream_of_http_with_sse_keeps_no_large_answer() -> None:
    """F2: that which went last stayed until the next."""
    async with started(large_app(sse_path="/sse")) as app, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(initialized(app)) for _ in range(SESSIONS)]
        with memory_kept() as size:
            for stream in streams:
                await stream.call("give")
                text = b""
                while not text.endswith(b"\r\n\r\n"):
                    text += await stream.response.chunk() or b""
                assert len(text) > MB
                del text
            assert size() < SESSIONS * MB / 4
