"""Other MCP servers, as a gateway meets them: good ones, and one that says whatever it likes."""

import json
import logging
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.tools import ToolResult
from fastmcp.utilities.types import Image
from mcp.shared.message import SessionMessage
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Remote, gateway_app
from mcp_mount.remotes.bounds import Pace
from mcp_mount.remotes.stdio import read_messages
from tests.starting import started
from tests.support import MODERN, served


def parts_server() -> FastMCP[Any]:
    """Return a server with a tool of each kind, two resources and a prompt."""
    server: FastMCP[Any] = FastMCP("parts")

    @server.tool(annotations={"readOnlyHint": True}, title="Find parts")
    def find(word: str, limit: int = 2) -> dict[str, Any]:
        """Find parts by a word."""
        return {"found": [word] * limit}

    @server.tool
    def fail(reason: str) -> str:
        """Fail for a reason."""
        raise ToolError(f"It has failed: {reason}")

    @server.tool
    async def count(context: Context, to: int) -> str:
        """Count, with progress."""
        for number in range(1, to + 1):
            await context.report_progress(number, to, f"step {number}")
        return f"counted to {to}"

    @server.tool
    def picture() -> ToolResult:
        """Give a picture."""
        return ToolResult(content=[Image(data=b"\x89PNG", format="png").to_image_content()])

    @server.resource("data://parts/all")
    def everything() -> str:
        return "all parts"

    @server.resource("data://parts/{number}/text")
    def text(number: str) -> str:
        return f"part {number}"

    @server.prompt
    def order(part: str) -> str:
        """Order a part."""
        return f"Order {part}."

    return server


@contextmanager
def offered(server: FastMCP[Any], *, stateless: bool = True) -> Iterator[str]:
    """Serve a server on a free loopback port; yield the URL of its endpoint."""
    with served(server.http_app(path="/mcp", stateless_http=stateless)) as url:
        yield f"{url}/mcp"


def handshake_only(app: ASGIApp) -> ASGIApp:
    """Serve an app to the versions with a handshake alone."""

    async def older(scope: Scope, receive: Receive, send: Send) -> None:
        if dict(scope.get("headers", ())).get(b"mcp-protocol-version") == MODERN.encode():
            await Response("What?", 400)(scope, receive, send)
            return
        await app(scope, receive, send)

    return older


class Notes:
    """A server that keeps notes for each session, and how many sessions it has had."""

    def __init__(self) -> None:
        self.server: FastMCP[Any] = FastMCP("notes")
        self.notes: dict[str, list[str]] = {}
        self.server.tool(self.note)

    async def note(self, context: Context, text: str) -> list[str]:
        """Note something; return all notes of the session."""
        notes = self.notes.setdefault(context.session_id, [])
        notes.append(text)
        return notes

    @contextmanager
    def offered(self, *, at: int = 0) -> Iterator[str]:
        app = self.server.http_app(path="/mcp", stateless_http=False)
        # A client that keeps a session keeps a stream open, too.
        with served(handshake_only(app), at=at, timeout_graceful_shutdown=1) as url:
            yield f"{url}/mcp"


def program(name: str, code: str = "", **options: Any) -> Remote:
    """Return a program as a remote: the example, or what is written in `code`."""
    arguments = ["-c", code] if code else ["-m", "mcp_mount.example"]
    return Remote(name, command=sys.executable, args=arguments, **options)


@dataclass
class Raw:
    """A server of one era that answers each method with what stands in `answers`, and remembers.

    A callable among the answers gets the request's parameters, and may be asynchronous. `called` is
    set when a tool is called, `left` when a client has gone before it had its answer.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    modern: bool = True
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        request = Request(scope, receive)
        body = json.loads(await request.body() or b"{}")
        self.headers.append(dict(request.headers))
        self.requests.append(body)
        if body.get("method") == "tools/call":
            self.called.set()
        is_answered = False
        async with anyio.create_task_group() as tasks:

            async def answer() -> None:
                nonlocal is_answered
                response = await self._response(request, body)
                is_answered = True
                await response(scope, receive, send)
                tasks.cancel_scope.cancel()

            tasks.start_soon(answer)
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()
            if not is_answered:
                self.left.set()

    async def _response(self, request: Request, body: dict[str, Any]) -> Response:
        method = body.get("method", "")
        if request.method != "POST":
            return Response(status_code=405)
        if "id" not in body:
            return Response(status_code=202)
        answer = self.answers.get(method, self._usual(method))
        if callable(answer) and not isinstance(answer, Response):
            answer = answer(body.get("params") or {})
            if hasattr(answer, "__await__"):
                answer = await answer
        if isinstance(answer, Response):
            return answer
        if answer is None:
            error = {"code": -32601, "message": "Method not found"}
            return JSONResponse({"jsonrpc": "2.0", "id": body["id"], "error": error})
        kind = "error" if "code" in answer else "result"
        if kind == "result" and self.modern:
            answer = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **answer}
        return JSONResponse({"jsonrpc": "2.0", "id": body["id"], kind: answer})

    def _usual(self, method: str) -> dict[str, Any] | None:
        capabilities: dict[str, Any] = {"tools": {}, "resources": {}, "prompts": {}}
        information = {"name": "raw", "version": "1"}
        if self.modern and method == "server/discover":
            return {"supportedVersions": [MODERN], "capabilities": capabilities}
        if not self.modern and method == "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": capabilities,
                "serverInfo": information,
            }
        return None

    @property
    def methods(self) -> list[str]:
        return [each["method"] for each in self.requests if "method" in each]


def tool(name: str = "tool", **more: Any) -> dict[str, Any]:
    """Return a tool as a raw server lists it."""
    return {"name": name, "inputSchema": {"type": "object"}, **more}


def text(said: str, **more: Any) -> dict[str, Any]:
    """Return the result of a call, as a raw server gives it."""
    return {"content": [{"type": "text", "text": said}], **more}


@contextmanager
def raw(
    tools: list[dict[str, Any]], *, modern: bool = True, port: int = 0, **answers: Any
) -> Iterator[tuple[Raw, str]]:
    """Serve a raw server; yield it and its URL. `call=` answers ``tools/call``, and so on."""
    named = {"call": "tools/call", "list": "tools/list", "discover": "server/discover"}
    server = Raw({"tools/list": {"tools": tools}}, modern=modern)
    server.answers |= {named.get(key, key): value for key, value in answers.items()}
    with served(server, at=port) as url:
        yield server, f"{url}/mcp"


class Heard(logging.Handler):
    """Waits for lines of the log on the other servers. A class because it is a handler."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._changed = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def line(self, part: str, *, times: int = 1) -> str:
        """Wait until a line with `part` has been written so many times, and return it."""
        with anyio.fail_after(40):
            while len(found := [each for each in self.lines if part in each]) < times:
                await self._changed.wait()
        return found[-1]


@contextmanager
def heard() -> Iterator[Heard]:
    """Listen to the log of the other servers; written in the test's own event loop."""
    handler, logger = Heard(), logging.getLogger("mcp_mount.remotes")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def free_port() -> int:
    """Return a port of loopback at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def silent_port() -> Iterator[int]:
    """Yield a port at which somebody listens, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@asynccontextmanager
async def gateway(*remotes: Remote, **options: Any) -> AsyncIterator[ASGIApp]:
    """Start a gateway, and wait until all of its servers are up."""
    with heard() as log:
        async with started(gateway_app(remotes, **options)) as app:
            for remote in remotes:
                await log.line(f"{remote.name!r} is up")
            yield app


class Chunks:
    """The output of a program, and what came of it."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> "Chunks":
        return self

    async def __anext__(self) -> bytes:
        for each in self._chunks:
            return each
        raise StopAsyncIteration

    async def messages(self, pace: Pace) -> list[Any]:
        sending, receiving = anyio.create_memory_object_stream[SessionMessage | Exception](1_000)
        await read_messages(self, sending, 30_000_000, anyio.Event(), pace)  # type: ignore[arg-type]
        with receiving:
            return [each.message async for each in receiving if isinstance(each, SessionMessage)]
