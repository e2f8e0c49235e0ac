"""Two apps that differ in nothing but the fast lane, and what each of them answers."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from fastmcp.server.middleware import Middleware
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import ASGIApp, Message, Scope

from mcp_mount import Mounted
from tests.support import Era, envelope, read_messages

HeaderPairs = Sequence[tuple[bytes, bytes]]

COMPARED = frozenset({"content-type", "allow", "www-authenticate", "cache-control", "location"})


@dataclass(frozen=True)
class Answer:
    """What one request was answered with."""

    status: int
    headers: dict[str, str]
    messages: list[dict[str, Any]]
    body: bytes

    @property
    def text(self) -> str:
        """The text of the result's first block."""
        text: str = self.messages[-1]["result"]["content"][0]["text"]
        return text

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.messages[-1]["result"]
        return result


async def sent_by(
    app: ASGIApp, headers: HeaderPairs, body: bytes, *, method: str = "POST", **more: Any
) -> list[Message]:
    """Send one request as a server does; return what the app has sent, as it is."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []
    complete = anyio.Event()

    async def receive() -> Message:
        if waiting:
            return waiting.pop()
        await complete.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            complete.set()

    with anyio.fail_after(30):
        await app(scope_of(headers, method=method, **more), receive, send)
    return sent


async def exchange(app: ASGIApp, headers: HeaderPairs, body: bytes, **more: Any) -> Answer:
    """Send one request as a server does, whatever its headers; `more` is for the scope."""
    start, *parts = await sent_by(app, headers, body, **more)
    assert [part.get("more_body", False) for part in parts][-1:] == [False]
    fields = {name.decode(): value.decode() for name, value in start["headers"]}
    text = b"".join(part.get("body", b"") for part in parts)
    # A notification is accepted with nothing.
    messages = read_messages(fields.get("content-type", ""), text.decode()) if text else []
    return Answer(start["status"], fields, messages, text)


def scope_of(
    headers: HeaderPairs, *, method: str = "POST", host: bytes = b"localhost", **more: Any
) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host), *headers],
        "client": ("127.0.0.1", 40_000),
        "server": ("localhost", 8000),
        **more,
    }


def request_of(
    era: Era, method: str, params: dict[str, Any] | None = None, *, token: str | None = None
) -> tuple[HeaderPairs, bytes]:
    """Return the headers and the body of an ordinary request."""
    headers, body = envelope(era, method, params, token=token)
    return [(name.encode(), value.encode()) for name, value in headers.items()], json.dumps(
        body
    ).encode()


async def called(
    app: ASGIApp, era: Era, tool: str, arguments: dict[str, Any] | None = None, **more: Any
) -> Answer:
    """Call a tool in the ordinary way."""
    headers, body = request_of(era, "tools/call", {"name": tool, "arguments": arguments or {}})
    return await exchange(app, headers, body, **more)


async def listed(app: ASGIApp, era: Era, **more: Any) -> list[str]:
    """Return the names of the listed tools."""
    answer = await exchange(app, *request_of(era, "tools/list"), **more)
    return [tool["name"] for tool in answer.result["tools"]]


@contextmanager
def handled_by_fastmcp() -> Iterator[list[str]]:
    """Collect the paths of the requests that reach the SDK; the others went through the lane."""
    seen: list[str] = []
    handle = StreamableHTTPSessionManager.handle_request

    async def counted(self: Any, scope: Scope, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await handle(self, scope, receive, send)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamableHTTPSessionManager, "handle_request", counted)
        yield seen


def closed(mounted: Mounted) -> None:
    """Close the lane with a middleware that does nothing."""
    mounted.server.add_middleware(Middleware())


def comparable(answer: Answer, *, handshake: bool) -> tuple[int, dict[str, str], str]:
    """Return what must be the same with the lane and without it.

    For the handshake versions FastMCP answers with an event stream, and the lane with JSON.
    """
    headers = {name: value for name, value in answer.headers.items() if name in COMPARED}
    if handshake and answer.status == 200:
        headers = {}
    # As text, so that 1, 1.0 and true are three things.
    return answer.status, headers, json.dumps(answer.messages, sort_keys=True)


class Visit:
    """One call of a tool by a client that may go, and then raises in the server's `send`."""

    def __init__(self, era: Era, tool: str, *, token: str | None = None) -> None:
        params = {"name": tool, "arguments": {}}
        self._headers, body = request_of(era, "tools/call", params, token=token)
        self._waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self.gone = anyio.Event()
        self.begun = anyio.Event()
        self.complete = anyio.Event()
        self.body = b""
        self.content_type = ""

    async def run(self, app: ASGIApp) -> None:
        """Call, until the request has ended on the server's side."""
        with suppress(OSError):
            await app(scope_of(self._headers), self._receive, self._send)

    async def _receive(self) -> Message:
        if self._waiting:
            return self._waiting.pop()
        # As uvicorn does it: whoever asks again is answered at once.
        if not self.gone.is_set():
            await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.gone.is_set():
            raise OSError("the client has gone")
        if message["type"] == "http.response.start":
            self.content_type = dict(message["headers"])[b"content-type"].decode()
            return
        self.body += message.get("body", b"")
        self.begun.set()
        if not message.get("more_body", False):
            self.complete.set()
