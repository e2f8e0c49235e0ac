"""Promise: a client of the endpoint works wherever a request is served, and says what it cannot."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastmcp.server.dependencies import get_http_request
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import Mounted, MountError, mount_mcp
from tests.support import ERAS, Era, call, http


def build(**options: Any) -> tuple[FastAPI, Mounted]:
    app = FastAPI()
    mounted = mount_mcp(app, **options)

    @app.get("/who")
    async def who(request: Request) -> dict[str, Any]:
        return {"headers": dict(request.headers), "url": str(request.url)}

    return app, mounted


async def ask_who(mounted: Mounted, request: HTTPConnection, **options: Any) -> Any:
    async with mounted.client(request, **options) as client:
        return (await client.call_tool_mcp("who", {})).structured_content


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "Content-Length", "content-type", "Transfer-Encoding", "Connection", "TE"),
        *("Accept", "Accept-Encoding", "Mcp-Protocol-Version", "MCP-Session-Id", "Expect"),
    ],
)
async def test_headers_that_describe_the_request_itself_cannot_be_given(name: str) -> None:
    """Agent: rather an error than a request that says what is not so."""
    assert f"The header '{name}' cannot be given" in await refusal({name: "1"})


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "b\r\nX-C: d"}, {"X-A": "b\0"}, {"X A": "b"}, {"": "b"}, {"X-A": "日本"}],
    ids=ascii,
)
async def test_what_is_no_header_cannot_be_given(headers: dict[str, str]) -> None:
    """Agent: a value from elsewhere adds no header of its own, and is not repeated."""
    told = await refusal(headers)
    assert f"{next(iter(headers))!r} is no header" in told
    assert "X-C" not in told


async def refusal(headers: dict[str, str]) -> str:
    """Return what a route is told that makes a client with these headers."""
    app, mounted = build()

    @app.get("/use")
    async def use(request: Request) -> str:
        try:
            mounted.client(request, headers=headers)
        except MountError as error:
            return str(error)
        return "a client"

    async with http(app) as client:
        told: str = (await client.get("/use")).json()
    return told


async def test_other_headers_take_the_place_of_the_callers() -> None:
    """Agent: also those that an HTTP client would write by itself."""
    app, mounted = build()
    own = {"User-Agent": "agent/1", "authorization": "Bearer own", "X-Name": "Jörg"}

    @app.get("/use")
    async def use(request: Request) -> Any:
        return await ask_who(mounted, request, headers=own)

    async with http(app) as client:
        given = {"user-agent": "curl", "authorization": "Bearer theirs"}
        seen = (await client.get("/use", headers=given)).json()["headers"]
    assert {name: seen[name.lower()] for name in own} == own


@pytest.mark.parametrize("forwards", [False, True])
async def test_a_client_keeps_no_cookies(*, forwards: bool) -> None:
    """Agent, C1: what the app sets in one answer takes nothing of the caller's from the next."""
    app, mounted = build(forward_cookies=forwards)
    seen: list[tuple[str, bytes | None]] = []

    class Renewing:
        def __init__(self, inner: ASGIApp) -> None:
            self.inner = inner

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def send_renewed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    renewed = (b"set-cookie", b"session=renewed; Path=/")
                    message = {**message, "headers": [*message["headers"], renewed]}
                await send(message)

            seen.append((scope["path"], dict(scope["headers"]).get(b"cookie")))
            await self.inner(scope, receive, send_renewed)

    app.add_middleware(Renewing)

    @app.get("/use")
    async def use(request: Request) -> None:
        async with mounted.client(request) as client:
            await client.call_tool_mcp("who", {})
            await client.call_tool_mcp("who", {})

    async with http(app) as client:
        await client.get("/use", headers={"cookie": "login=alice; session=old"})
    inner = {cookie for path, cookie in seen if path != "/use"}
    assert inner == ({b"login=alice; session=old"} if forwards else {None})


async def test_a_websocket_has_tools_too() -> None:
    """Agent: as its caller, in requests over HTTP."""
    app, mounted = build()

    @app.websocket("/talk")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(await ask_who(mounted, socket))
        await socket.close()

    def ask() -> Any:
        headers = {"x-caller": "alice"}
        with TestClient(app).websocket_connect("wss://kb.example/talk", headers=headers) as socket:
            return socket.receive_json()

    seen = await anyio.to_thread.run_sync(ask)
    assert seen["url"] == "https://kb.example/who"
    assert seen["headers"]["x-caller"] == "alice"
    assert not [name for name in seen["headers"] if name.startswith("sec-websocket")]


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_of_your_own_can_use_the_others(era: Era) -> None:
    """Agent: FastMCP tells it the request that it is called by."""
    app, mounted = build()

    @mounted.server.tool
    async def own() -> str:
        seen = await ask_who(mounted, get_http_request())
        name: str = seen["headers"]["x-caller"]
        return name

    reply = await call(app, "own", era=era, headers={"x-caller": "alice"})
    assert reply.text_content == "alice"


@pytest.mark.parametrize("how", ["over REST", *ERAS])
async def test_a_background_task_still_acts_for_the_caller(how: Era | str) -> None:
    """Agent, C1, C8: after the response; over MCP too."""
    app, mounted = build()
    seen: list[str] = []
    done = anyio.Event()

    @app.post("/use", openapi_extra={"x-mcp": {"name": "use"}})
    async def use(request: Request, tasks: BackgroundTasks) -> str:
        async def later() -> None:
            seen.append((await ask_who(mounted, request))["headers"]["x-caller"])
            done.set()

        tasks.add_task(later)
        return "ok"

    headers = {"x-caller": "alice"}
    with anyio.fail_after(30):
        for era in ERAS:
            if how == era:
                await call(app, "use", era=era, headers=headers)
        if how == "over REST":
            async with http(app) as client:
                await client.post("/use", headers=headers)
        await done.wait()
    assert seen == ["alice"]


async def test_two_clients_in_one_route_are_apart() -> None:
    """Agent, C1: each has headers of its own, and many calls at once are told apart."""
    app, mounted = build()

    @app.get("/use")
    async def use(request: Request) -> list[str]:
        async with (
            mounted.client(request, headers={"x-mark": "a"}) as one,
            mounted.client(request, headers={"x-mark": "b"}) as other,
        ):
            marks = [""] * 20

            async def ask(number: int) -> None:
                result: Any = await (one, other)[number % 2].call_tool_mcp("who", {})
                marks[number] = result.structured_content["headers"]["x-mark"]

            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(ask, number)
        return marks

    async with http(app) as client:
        assert (await client.get("/use")).json() == ["a", "b"] * 10


async def test_a_dependency_can_lend_a_client_to_a_stream() -> None:
    """Agent: as long as the response lasts, behind middleware that runs apps in other tasks."""
    app, mounted = build()

    async def lent(request: Request) -> AsyncIterator[Any]:
        async with mounted.client(request) as client:
            yield client

    @app.get("/use")
    async def use(client: Annotated[Any, Depends(lent)]) -> StreamingResponse:
        async def stream() -> AsyncIterator[str]:
            for _ in range(2):
                seen = (await client.call_tool_mcp("who", {})).structured_content
                yield seen["headers"]["x-caller"] + " "

        return StreamingResponse(stream())

    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    with anyio.fail_after(30):
        async with http(app) as client:
            reply = await client.get("/use", headers={"x-caller": "alice"})
    assert reply.text == "alice alice "


async def test_a_client_that_is_kept_for_later_acts_for_its_caller_still() -> None:
    """Agent, C1: whoever made the request, and nobody who came after."""
    app, mounted = build()
    kept: list[Any] = []

    @app.get("/use")
    async def use(request: Request) -> None:
        kept.append(mounted.client(request))

    async with http(app) as client:
        for name in ("alice", "bob"):
            await client.get("/use", headers={"x-caller": name})
    seen = []
    for each in kept:
        async with each as client:
            result: Any = await client.call_tool_mcp("who", {})
            seen.append(result.structured_content["headers"]["x-caller"])
    assert seen == ["alice", "bob"]
