"""Speaks MCP to an app under test as a client does: by hand, through FastMCP, or over a socket."""

import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2
import uvicorn
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.utilities.asgi_transport import StreamingASGITransport
from starlette.types import ASGIApp

Era = Literal["modern", "legacy"]
ERAS: tuple[Era, ...] = ("modern", "legacy")
MODERN = "2026-07-28"
LEGACY = "2025-06-18"
BASE_URL = "http://localhost:8000"


@dataclass(frozen=True)
class Reply:
    """What one POST was answered with: the HTTP side, and every JSON-RPC message."""

    status: int
    headers: Mapping[str, str]
    text: str
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def answer(self) -> dict[str, Any]:
        """The last message: a result or an error."""
        return self.messages[-1]

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.answer["result"]
        return result

    @property
    def text_content(self) -> str:
        """The text of all text blocks of a tool result, a line break between them."""
        blocks = self.result["content"]
        return "\n".join(block["text"] for block in blocks if block["type"] == "text")

    @property
    def is_error(self) -> bool:
        return bool(self.result.get("isError"))

    @property
    def progress(self) -> list[str]:
        return [
            message["params"]["message"]
            for message in self.messages
            if message.get("method") == "notifications/progress"
        ]


def envelope(
    era: Era, method: str, params: Mapping[str, Any] | None = None, *, token: str | None = None
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the headers and the body of one request of an era."""
    body = dict(params or {})
    meta: dict[str, Any] = dict(body.get("_meta", {}))
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN if era == "modern" else LEGACY,
    }
    if era == "modern":
        headers["mcp-method"] = method
        if "name" in body:
            headers["mcp-name"] = str(body["name"])
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            **meta,
        }
    if token is not None:
        meta["progressToken"] = token
    if meta:
        body["_meta"] = meta
    return headers, {"jsonrpc": "2.0", "id": 1, "method": method, "params": body}


def read_messages(content_type: str, text: str) -> list[dict[str, Any]]:
    """Return the JSON-RPC messages of a body, whether it is JSON or an event stream."""
    if content_type.startswith("text/event-stream"):
        data = [line[5:] for line in text.split("\n") if line.startswith("data:")]
        return [json.loads(item) for item in data if item.strip()]
    if content_type.startswith("application/json"):
        return [json.loads(text)]
    return []


@asynccontextmanager
async def http(app: ASGIApp, base_url: str = BASE_URL) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield an HTTP client of an app whose lifespan is not run; responses stream."""
    transport = StreamingASGITransport(app, cancel_on_close=False)
    async with httpx2.AsyncClient(transport=transport, base_url=base_url) as client:
        yield client


async def rpc(
    app: ASGIApp,
    era: Era,
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    path: str = "/mcp",
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    base_url: str = BASE_URL,
) -> Reply:
    """Send one request by hand, and wait for the whole answer."""
    own, body = envelope(era, method, params, token=token)
    async with http(app, base_url) as client:
        response = await client.post(path, headers={**own, **(headers or {})}, json=body)
    content_type = response.headers.get("content-type", "")
    messages = read_messages(content_type, response.text)
    return Reply(response.status_code, response.headers, response.text, messages)


async def call(
    app: ASGIApp,
    tool: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    era: Era = "modern",
    **options: Any,
) -> Reply:
    """Call a tool by hand."""
    params = {"name": tool, "arguments": dict(arguments or {})}
    if "meta" in options:
        params["_meta"] = options.pop("meta")
    return await rpc(app, era, "tools/call", params, **options)


async def tools(app: ASGIApp, *, era: Era = "modern", **options: Any) -> dict[str, dict[str, Any]]:
    """List the tools by name, as the client receives them."""
    reply = await rpc(app, era, "tools/list", **options)
    return {tool["name"]: tool for tool in reply.result["tools"]}


@asynccontextmanager
async def connected(
    app: ASGIApp, era: Era, url: str = f"{BASE_URL}/mcp", **options: Any
) -> AsyncIterator[Client[Any]]:
    """Yield FastMCP's client, connected to an app whose lifespan is not run."""

    def factory(*args: Any, **more: Any) -> httpx2.AsyncClient:
        more["transport"] = StreamingASGITransport(app, cancel_on_close=False)
        return httpx2.AsyncClient(*args, **more)

    transport = StreamableHttpTransport(url, httpx_client_factory=factory)
    client: Client[Any] = Client(transport, mode=MODERN if era == "modern" else "legacy", **options)
    async with client:
        yield client


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def served(app: ASGIApp, *, at: int = 0, **options: Any) -> Iterator[str]:
    """Serve an app with uvicorn on a free loopback port; yield its URL, ``http://127.0.0.1:49152``.

    `at` is a port that was free before.
    """
    config = uvicorn.Config(app, port=0, log_level="warning", ws="none", **options)
    server = _Server(config)
    with socket.create_server(("127.0.0.1", at)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            assert server.listening.wait(20), "uvicorn did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()
