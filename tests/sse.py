"""A client of the older HTTP+SSE transport: FastMCP's own over a socket, and one by hand."""

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from fastapi import FastAPI, Request
from fastmcp import Client
from fastmcp.client.transports import SSETransport
from starlette.types import ASGIApp

from mcp_mount import mount_mcp
from tests.mock_api.streaming import Response, streamed
from tests.support import http

VERSION = "2024-11-05"
CLIENT = {"name": "client", "version": "1"}
HANDSHAKE = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": CLIENT}
JSON = {"content-type": "application/json"}


def telling_app(header: str, **options: Any) -> FastAPI:
    """Return an app whose one tool, ``name``, tells who calls, as a header has it."""
    app = FastAPI()

    @app.get("/name")
    async def name(request: Request) -> str:
        return request.headers.get(header, "nobody")

    mount_mcp(app, sse_path="/sse", **options)
    return app


def client_at(url: str, path: str = "/sse", **headers: str) -> Client[SSETransport]:
    """Return FastMCP's client of the transport."""
    return Client(SSETransport(f"{url}{path}", headers=headers))


@dataclass
class Stream:
    """An open stream, read event by event."""

    app: ASGIApp
    response: Response
    headers: Mapping[str, str]
    endpoint: str = ""
    ids: Any = field(default_factory=lambda: itertools.count(1))

    async def event(self) -> tuple[str, str]:
        """Return the name and the data of the next event."""
        chunk = await self.response.chunk()
        assert chunk is not None, "the stream has ended"
        fields = dict(line.partition(": ")[::2] for line in chunk.decode().splitlines() if line)
        return fields["event"], fields["data"]

    async def message(self) -> dict[str, Any]:
        """Return the next message."""
        name, data = await self.event()
        assert name == "message"
        message: dict[str, Any] = json.loads(data)
        return message

    async def post(
        self, body: object, headers: Mapping[str, str] | None = None, *, endpoint: str | None = None
    ) -> httpx2.Response:
        """Send a message, as whoever opened the stream unless there are other headers."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**JSON, **(self.headers if headers is None else headers)}
        async with http(self.app) as client:
            return await client.post(endpoint or self.endpoint, content=content, headers=sent)

    async def ask(
        self, method: str, params: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> int:
        """Send a request; return its id."""
        id_: int = next(self.ids)
        body = {"jsonrpc": "2.0", "id": id_, "method": method, "params": dict(params)}
        reply = await self.post(body, headers)
        assert (reply.status_code, reply.text) == (202, "Accepted")
        return id_

    async def call(self, tool: str, headers: Mapping[str, str] | None = None, **more: Any) -> int:
        """Send a call of a tool; return its id."""
        params = {"name": tool, "arguments": {}, **more}
        return await self.ask("tools/call", params, headers)

    async def called(self, tool: str, headers: Mapping[str, str] | None = None) -> str:
        """Call a tool, and return the text of its result."""
        id_ = await self.call(tool, headers)
        message = await self.message()
        assert message["id"] == id_
        text: str = message["result"]["content"][0]["text"]
        return text


@asynccontextmanager
async def opened(
    app: ASGIApp, headers: Mapping[str, str] | None = None, *, path: str = "/sse", **options: Any
) -> AsyncIterator[Stream]:
    """Open a stream, and read where to POST; leaving the block is the client's leaving."""
    async with streamed(app, "GET", path, headers=headers, **options) as response:
        assert response.status == 200
        stream = Stream(app, response, headers or {})
        name, stream.endpoint = await stream.event()
        assert name == "endpoint"
        yield stream


@asynccontextmanager
async def initialized(
    app: ASGIApp, headers: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[Stream]:
    """Open a stream, and shake hands."""
    async with opened(app, headers, **options) as stream:
        id_ = await stream.ask("initialize", HANDSHAKE)
        message = await stream.message()
        assert (message["id"], message["result"]["protocolVersion"]) == (id_, VERSION)
        await stream.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield stream
