"""Calls an app as a server does, and reads its response chunk by chunk."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Scope


class Response:
    """A response that is still being produced; the app waits until each chunk is taken."""

    def __init__(self, status: int, headers: dict[str, str], rest: AsyncIterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        self._rest = rest

    async def chunk(self) -> bytes | None:
        """Return the next chunk, or None at the end."""
        with anyio.fail_after(30):
            return await anext(self._rest, None)

    async def event(self) -> dict[str, str]:
        """Return the fields of the next Server-Sent Event."""
        chunk = await self.chunk()
        assert chunk is not None, "the stream has ended"
        lines = chunk.decode().rstrip("\n").split("\n")
        return {name: value for name, _, value in (line.partition(": ") for line in lines)}


@asynccontextmanager
async def streamed(
    app: ASGIApp,
    method: str,
    target: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    spec_version: str = "2.3",
) -> AsyncIterator[Response]:
    """Send a request; leaving the block is the client's leaving, which the app must notice."""
    sent, received = anyio.create_memory_object_stream[Message](0)
    gone = anyio.Event()
    request = [{"type": "http.request", "body": b"" if body is None else json.dumps(body).encode()}]

    async def receive() -> Message:
        if request:
            return request.pop()
        # A set event would be a checkpoint, at which Starlette's look for a disconnect gives up.
        if not gone.is_set():
            await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        try:
            await sent.send(message)
        except anyio.BrokenResourceError:
            # What a server does with a message to nobody: drop it, and since 2.4 say so.
            if spec_version >= "2.4":
                raise OSError("the client has gone") from None

    async def run() -> None:
        try:
            await app(_scope(method, target, headers or {}, spec_version), receive, send)
        except* ClientDisconnect:
            assert gone.is_set()
        finally:
            await sent.aclose()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks, received:
            tasks.start_soon(run)
            start = await received.receive()
            fields = {name.decode(): value.decode() for name, value in start["headers"]}
            yield Response(start["status"], fields, _chunks(received))
            gone.set()


async def _chunks(received: MemoryObjectReceiveStream[Message]) -> AsyncIterator[bytes]:
    async for message in received:
        if message.get("body"):
            yield message["body"]


def _scope(method: str, target: str, headers: Mapping[str, str], spec_version: str) -> Scope:
    path, _, query = target.partition("?")
    named = {"content-type": "application/json", **headers}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("kb", 80),
    }
    return scope
