"""Calls whose connection is cut, and clients that come back for their answers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from mcp.server.streamable_http import EventStore
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import Mounted, mount_mcp
from tests.mock_api.streaming import Response, streamed
from tests.support import envelope, read_messages, rpc

PRIMED = "2025-11-25"
KEY = "a-key-of-the-tests-that-is-long-enough"
Store = str | EventStore


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
    chunk = await it.chunk()
    while chunk is not None and chunk.startswith(b":"):
        chunk = await it.chunk()
    event = event_of(chunk)
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


def error_of(message: Mapping[str, Any]) -> str:
    text: str = message["error"]["message"]
    return text


class Cut:
    """An app whose connection breaks in the first call, when its stream has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.is_cut = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "POST" or self.is_cut.is_set():
            await self._app(scope, receive, send)
            return
        is_call = False

        async def receive_until_cut() -> Message:
            nonlocal is_call
            if is_call:
                await self.is_cut.wait()
                return {"type": "http.disconnect"}
            message = await receive()
            is_call = b'"tools/call"' in message.get("body", b"")
            return message

        async def send_until_cut(message: Message) -> None:
            if not (is_call and self.is_cut.is_set()):
                await send(message)
            if is_call and message.get("body"):
                self.is_cut.set()

        await self._app(scope, receive_until_cut, send_until_cut)
        if is_call:
            await send({"type": "http.response.body", "body": b""})
