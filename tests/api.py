"""An API that says on its socket exactly what a test tells it to."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream
from fastapi import FastAPI

from mcp_mount import Upstream, proxy_app

Turn = bytes | Sequence[bytes | anyio.Event] | None
"""What a connection is answered with, in parts that may wait for an event; None: nothing, ever."""

PARTS: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Parts", "version": "1"},
    "paths": {
        "/parts": {
            "post": {"operationId": "add_part", "responses": {}},
            "get": {"operationId": "list_parts", "responses": {}},
        },
        "/parts/latest": {"get": {"operationId": "get_latest", "responses": {}}},
        "/parts/{part}": {
            "get": {
                "operationId": "get_part",
                "parameters": [
                    {"name": "part", "in": "path", "required": True, "schema": {"type": "string"}}
                ],
                "responses": {},
            }
        },
    },
}


def ok(text: str = "here", **headers: str) -> bytes:
    """Return a whole response with a text."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    body = text.encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\n"
    return f"{head}{''.join(lines)}connection: close\r\n\r\n".encode() + body


def sent_to(location: str, status: int = 302) -> bytes:
    """Return a redirect."""
    head = f"HTTP/1.1 {status} X\r\nlocation: {location}\r\ncontent-length: 0\r\n"
    return f"{head}connection: close\r\n\r\n".encode()


class API:
    """The requests that came, as text, and what happens to their connections."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        self.url = ""
        self.requests: list[str] = []
        self.asked = anyio.Event()
        self.left = anyio.Event()

    @property
    def lines(self) -> list[str]:
        """The first line of each request, without the version."""
        return [request.partition(" HTTP/")[0] for request in self.requests]

    async def handle(self, stream: SocketStream) -> None:
        """Read one request, answer it in its turn, and hang up."""
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            turn = self._turns[min(len(self.requests), len(self._turns) - 1)]
            self.requests.append(data.decode("latin-1"))
            self.asked.set()
            for part in [turn] if isinstance(turn, bytes) else turn or ():
                if isinstance(part, bytes):
                    await stream.send(part)
                else:
                    await part.wait()
            if turn is None:
                await self._end_of(stream)

    async def _end_of(self, stream: SocketStream) -> None:
        try:
            while True:
                await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self.left.set()


@asynccontextmanager
async def api(*turns: Turn) -> AsyncIterator[API]:
    """Serve an API on loopback that answers its connections with these turns, one after another."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    said = API(turns or [ok()])
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    said.url = f"http://127.0.0.1:{port}"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, said.handle)
        yield said
        tasks.cancel_scope.cancel()


def before(url: str, **options: Any) -> FastAPI:
    """Return a proxy before the API of parts at a URL; options as for `Upstream`."""
    mounted = {key: options.pop(key) for key in ("limits", "include", "exclude") if key in options}
    return proxy_app(PARTS, Upstream(url, **options), **mounted)
