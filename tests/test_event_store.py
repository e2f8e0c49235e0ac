"""A client of a session whose connection broke comes back, and gets what it missed."""

import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastmcp.server.event_store import EventStore as FastMCPEventStore
from mcp.server.streamable_http import EventCallback, EventId, EventStore, StreamId
from mcp_types import JSONRPCMessage
from starlette.types import ASGIApp

from mcp_mount import Mounted, MountError, mount_mcp
from tests.access import bearer
from tests.mock_api.streaming import Response, streamed
from tests.starting import started
from tests.stores import PASSWORD, needs_redis, running
from tests.support import call, connected, envelope, http, read_messages, rpc

PRIMED = "2025-11-25"
KEY = "a-key-of-the-tests-that-is-long-enough"
GONE = "The answer came while the connection was broken, and is not kept any more."
Store = str | EventStore

# What py-key-value calls of Redis' client is deprecated there.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


class Slow:
    """An app with a call that waits, one that streams between waits, and one as large as asked."""

    def __init__(self, store: Store | None = "memory://", **options: Any) -> None:
        self.app = FastAPI()
        self.begun = anyio.Event()
        self.go_on = anyio.Event()

        @self.app.get("/wait")
        async def wait() -> str:
            self.begun.set()
            await self.go_on.wait()
            return "waited"

        @self.app.get("/stream", response_class=StreamingResponse)
        async def stream() -> StreamingResponse:
            return StreamingResponse(self.pieces(), media_type="text/plain")

        @self.app.get("/big", response_class=PlainTextResponse)
        async def big(size: int, *, waits: bool = False) -> str:
            if waits:
                self.begun.set()
                await self.go_on.wait()
            return "x" * size

        given: dict[str, Any] = {"sessions": True, "event_store": store, **options}
        self.mounted: Mounted = mount_mcp(self.app, **given)

    async def pieces(self) -> AsyncIterator[str]:
        yield "one"
        self.begun.set()
        await self.go_on.wait()
        yield "two"


async def opened(app: ASGIApp, version: str = PRIMED, **headers: str) -> dict[str, str]:
    """Open a session; return the headers of its requests."""
    client = {"name": "client", "version": "1"}
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
    named = {"mcp-protocol-version": version, **headers}
    reply = await rpc(app, "legacy", "initialize", params, headers=named)
    assert reply.status == 200
    return {**named, "mcp-session-id": reply.headers["mcp-session-id"]}


@asynccontextmanager
async def calling(
    app: ASGIApp, session: Mapping[str, str], tool: str, arguments: Mapping[str, Any] | None = None
) -> AsyncIterator[Response]:
    """Call a tool; the connection is cut at the end of the block."""
    own, body = envelope(
        "legacy", "tools/call", {"name": tool, "arguments": arguments or {}}, token="p"
    )
    async with streamed(app, "POST", "/mcp", body, headers={**own, **session}) as it:
        yield it


def event_of(chunk: bytes | None) -> dict[str, str]:
    """Return the fields of an event."""
    lines = (chunk or b"").decode().strip().splitlines()
    parts = (line.partition(":") for line in lines)
    return {name: value.removeprefix(" ") for name, _, value in parts}


async def primed(it: Response) -> str:
    """Return the id with which a stream begins, before it says anything."""
    event = event_of(await it.chunk())
    assert event["data"] == ""
    return event["id"]


@asynccontextmanager
async def resuming(
    app: ASGIApp, session: Mapping[str, str], last_event_id: str
) -> AsyncIterator[Response]:
    """Come back to a stream."""
    headers = {**session, "accept": "text/event-stream", "last-event-id": last_event_id}
    async with streamed(app, "GET", "/mcp", headers=headers) as it:
        yield it


async def answer(it: Response) -> tuple[list[str], dict[str, Any]]:
    """Read a stream up to its answer; return what came before as progress, and the answer."""
    progress: list[str] = []
    while True:
        chunk = await it.chunk()
        assert chunk is not None, "the stream has ended"
        for message in read_messages("text/event-stream", chunk.decode()):
            if "method" not in message:
                return progress, message
            progress.append(message["params"]["message"])


def text_of(message: Mapping[str, Any]) -> str:
    text: str = message["result"]["content"][0]["text"]
    return text


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(tmp_path) as url:
        yield url


@pytest.fixture(
    params=["memory", "FastMCP's", pytest.param("redis", marks=needs_redis)],
)
def store(request: pytest.FixtureRequest) -> Store:
    """Every kind of store."""
    if request.param == "redis":
        found: str = request.getfixturevalue("url")
        return found
    return "memory://" if request.param == "memory" else FastMCPEventStore()


async def test_who_comes_back_during_a_call_gets_its_answer(store: Store) -> None:
    """X1: as soon as it is there."""
    slow = Slow(store, state_key=KEY)
    async with started(slow.app) as app:
        session = await opened(app)
        async with calling(app, session, "wait") as it:
            last = await primed(it)
            await slow.begun.wait()
        async with resuming(app, session, last) as again:
            assert again.status == 200
            await primed(again)
            slow.go_on.set()
            progress, message = await answer(again)
    assert (progress, text_of(message)) == ([], '"waited"')


async def test_who_comes_back_after_a_call_gets_its_answer(store: Store) -> None:
    """X1, S1: with the progress that it missed, and nothing that it has had."""
    slow = Slow(store, state_key=KEY)
    async with started(slow.app) as app:
        session = await opened(app)
        async with calling(app, session, "stream") as it:
            first = await primed(it)
            last = event_of(await it.chunk())["id"]
            await slow.begun.wait()
        slow.go_on.set()
        await anyio.wait_all_tasks_blocked()
        async with resuming(app, session, last) as again:
            progress, message = await answer(again)
            assert (progress, text_of(message)) == (["two"], "onetwo")
        async with resuming(app, session, first) as again:
            progress, message = await answer(again)
            assert (progress, text_of(message)) == (["one", "two"], "onetwo")
