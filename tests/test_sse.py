"""The older HTTP+SSE transport, beside Streamable HTTP."""

import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from fastmcp import Context
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import MountError, mount_mcp
from tests.mock_api.streaming import streamed
from tests.sse import HANDSHAKE, Stream, client_at, initialized, opened, telling_app
from tests.starting import started
from tests.support import call, http, rpc, served, tools

POSTED = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
named_app = partial(telling_app, "x-name")


def test_a_client_of_the_older_transport_lists_and_calls() -> None:
    """X1, Proxy: FastMCP's own client, over a socket; both transports offer the same."""
    app = named_app()

    async def main(url: str) -> None:
        for path in ("/sse", "/sse/"):
            async with client_at(url, path, **{"x-name": "alice"}) as client:
                assert [tool.name for tool in await client.list_tools()] == ["name"]
                result = await client.call_tool("name")
                assert result.structured_content == {"result": "alice"}

    with served(app) as url:
        anyio.run(main, url)


async def test_both_transports_offer_the_same_tools() -> None:
    """X1: to the letter."""
    app = named_app()
    async with started(app) as running, initialized(running) as stream:
        await stream.ask("tools/list", {})
        listed = (await stream.message())["result"]["tools"]
        assert {tool["name"]: tool for tool in listed} == await tools(running, era="legacy")


def test_a_stream_reaches_the_client_while_the_route_produces_it() -> None:
    """S1: the route goes on only when the client has what it has sent so far."""
    app = FastAPI()
    received = threading.Event()

    @app.get("/words")
    async def words() -> StreamingResponse:
        async def produce() -> AsyncIterator[str]:
            for word in ("one ", "two ", "three"):
                yield word
                assert await anyio.to_thread.run_sync(received.wait, 5)
                received.clear()

        return StreamingResponse(produce(), media_type="text/plain")

    mount_mcp(app, sse_path="/sse")

    async def main(url: str) -> None:
        said: list[str | None] = []

        async def on_progress(_: float, __: float | None, message: str | None) -> None:
            said.append(message)
            received.set()

        async with client_at(url) as client:
            result = await client.call_tool("words", progress_handler=on_progress)
        assert said == ["one ", "two ", "three"]
        assert [block.text for block in result.content] == ["one two three"]

    with served(app) as url:
        anyio.run(main, url)


async def test_two_clients_at_once_get_their_own_answers() -> None:
    """C1: with the same ids, of which each client has its own."""
    app = FastAPI()
    here: list[str] = []
    both = anyio.Event()

    @app.get("/meet")
    async def meet(request: Request) -> StreamingResponse:
        async def produce() -> AsyncIterator[str]:
            here.append(request.headers["x-name"])
            if len(here) == 2:
                both.set()
            yield "hello "
            await both.wait()
            yield request.headers["x-name"]

        return StreamingResponse(produce(), media_type="text/plain")

    mount_mcp(app, sse_path="/sse")

    async def meeting(running: ASGIApp, name: str, answers: dict[str, list[Any]]) -> None:
        async with initialized(running, {"x-name": name}) as stream:
            await stream.call("meet", _meta={"progressToken": "p"})
            answers[name] = [await stream.message() for _ in range(3)]

    answers: dict[str, list[Any]] = {}
    async with started(app) as running:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(meeting, running, "alice", answers)
                group.start_soon(meeting, running, "bob", answers)
    for name in ("alice", "bob"):
        *progress, last = answers[name]
        assert [each["params"]["message"] for each in progress] == ["hello ", name]
        assert last["result"]["content"][0]["text"] == f"hello {name}"


ambient: ContextVar[str] = ContextVar("ambient", default="none")


async def test_a_call_has_the_context_of_its_own_post() -> None:
    """C1, C2: not that of the GET; and the app's middleware runs on both."""
    app = FastAPI()
    seen: list[tuple[str, str]] = []

    class Ambient:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                seen.append((scope["method"], scope["path"]))
                if scope["path"] != "/ambient":
                    headers = dict(scope["headers"])
                    ambient.set(headers.get(b"x-name", b"nobody").decode())
            await self.app(scope, receive, send)

    @app.get("/ambient")
    async def get_ambient(request: Request) -> str:
        return f"{ambient.get()} {request.headers['x-name']}"

    app.add_middleware(Ambient)
    mount_mcp(app, sse_path="/sse")
    async with started(app) as running, initialized(running, {"x-name": "opener"}) as stream:
        seen.clear()
        for name in ("first", "second"):
            assert await stream.called("get_ambient", {"x-name": name}) == f'"{name} {name}"'
        assert seen == [("POST", "/sse/messages/"), ("GET", "/ambient")] * 2
    assert ambient.get() == "none"


async def test_a_tool_keeps_its_state_within_a_stream() -> None:
    """X1: whatever session the client claims to have."""
    app = FastAPI()
    mounted = mount_mcp(app, sse_path="/sse")

    @mounted.server.tool
    async def count(context: Context) -> int:
        number: int = (await context.get_state("number") or 0) + 1
        await context.set_state("number", number)
        return number

    claimed = {"mcp-session-id": "one"}
    async with (
        started(app) as running,
        initialized(running, claimed) as first,
        initialized(running, claimed) as second,
    ):
        assert [await each.called("count") for each in (first, first, second)] == ["1", "2", "1"]


async def endpoint_of(app: ASGIApp, path: str) -> str:
    """Return where a stream says to POST, and see that it works."""
    async with opened(app, path=path) as stream:
        await stream.ask("initialize", HANDSHAKE)
        assert (await stream.message())["result"]["protocolVersion"] == "2024-11-05"
        return stream.endpoint.partition("?")[0]


@pytest.mark.parametrize("slash", ["", "/"])
async def test_the_stream_names_its_endpoint_below_a_prefix(slash: str) -> None:
    """M5: as a sub-application, and where the server knows of a proxy's prefix."""
    sub, parent = named_app(), FastAPI()
    parent.mount("/api", sub)
    async with started(sub):
        assert await endpoint_of(sub, f"/sse{slash}") == "/sse/messages/"
        assert await endpoint_of(parent, f"/api/sse{slash}") == "/api/sse/messages/"
        behind = prefixed(sub, "/api")
        assert await endpoint_of(behind, f"/api/sse{slash}") == "/api/sse/messages/"


@pytest.mark.parametrize("strips", [True, False])
async def test_both_ways_of_writing_a_prefix_are_understood(*, strips: bool) -> None:
    """M5: servers write ``root_path`` before the path, or leave it out."""
    app = named_app()
    async with started(app):
        behind = prefixed(app, "/api", strips=strips)
        assert await endpoint_of(behind, "/api/sse") == "/api/sse/messages/"


def prefixed(app: ASGIApp, root_path: str, *, strips: bool = False) -> ASGIApp:
    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "root_path": root_path}
        if strips:
            scope["path"] = scope["path"].removeprefix(root_path)
        await app(scope, receive, send)

    return server


async def test_messages_may_be_posted_without_the_slash() -> None:
    """M1: no redirect, which many clients do not follow with a POST."""
    async with started(named_app()) as running, initialized(running) as stream:
        endpoint = stream.endpoint.replace("/messages/", "/messages")
        reply = await stream.post({**POSTED, "id": 9}, endpoint=endpoint)
        assert reply.status_code == 202
        assert (await stream.message())["id"] == 9


async def test_each_path_has_one_method() -> None:
    """M1: others are refused there, and the rest of the app stays as it is."""
    app = named_app()
    async with started(app) as running, http(running) as client:
        for path, method, others in (
            ("/sse", "GET", ("POST", "DELETE", "HEAD", "PUT")),
            ("/sse/messages/", "POST", ("GET", "DELETE", "PUT")),
        ):
            for other in others:
                refused = await client.request(other, path)
                assert (refused.status_code, refused.headers["allow"]) == (405, method)
        assert (await client.get("/sse/other")).json() == {"detail": "Not Found"}
    assert app.openapi()["paths"].keys() == {"/name"}


async def test_without_the_option_there_is_no_such_transport() -> None:
    """M1."""
    app = FastAPI()
    mount_mcp(app)
    async with started(app) as running, http(running) as client:
        assert (await client.get("/sse")).status_code == 404
        assert (await client.post("/sse/messages/", json=POSTED)).status_code == 404


@pytest.mark.parametrize("taken", ["/sse", "/sse/", "/sse/messages", "/sse/messages/"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_path_of_the_apps_own_is_refused(taken: str, when: str) -> None:
    """M1: whichever of the two paths it takes, and whenever it comes."""
    app = FastAPI()
    said = f"The app has a route of its own at '{taken}': choose another sse_path=."
    if when == "before":
        app.add_api_route(taken, lambda: 1)
        with pytest.raises(MountError, match=said):
            mount_mcp(app, sse_path="/sse")
        assert not any(getattr(route, "path", "") == "/mcp" for route in app.routes)
        return
    mount_mcp(app, sse_path="/sse")
    app.add_api_route(taken, lambda: 1)
    with pytest.raises(MountError, match=said), TestClient(app):
        pass


@pytest.mark.parametrize(
    ("path", "sse_path"),
    [
        ("/mcp", "/mcp"),
        ("/mcp", "/mcp/sse"),
        ("/sse/mcp", "/sse"),
        ("/sse/messages", "/sse"),
    ],
)
def test_one_transport_is_not_inside_the_other(path: str, sse_path: str) -> None:
    """M1."""
    with pytest.raises(MountError, match="cannot be one path, or one inside the other"):
        mount_mcp(FastAPI(), path=path, sse_path=sse_path)


@pytest.mark.parametrize("sse_path", ["", "sse", "/sse/", "/", "/sse?x", "/{sse}"])
def test_a_path_that_cannot_be_one_is_refused(sse_path: str) -> None:
    """M1."""
    with pytest.raises(MountError, match="sse_path= must be a path written like '/sse'"):
        mount_mcp(FastAPI(), sse_path=sse_path)


def test_two_mounts_cannot_share_a_path() -> None:
    """M1."""
    app = FastAPI()
    mount_mcp(app, sse_path="/sse")
    with pytest.raises(MountError, match="endpoint at '/sse' already: choose another sse_path="):
        mount_mcp(app, path="/other", sse_path="/sse")


async def test_an_app_that_was_never_started_says_what_to_do() -> None:
    """M3: to both requests; Streamable HTTP goes on without."""
    app = named_app()
    async with http(app) as client:
        for refused in (
            await client.get("/sse"),
            await client.post("/sse/messages/?session_id=" + "0" * 32, json=POSTED),
        ):
            assert refused.status_code == 503
            said = refused.json()["error"]["message"]
            assert "needs the app's lifespan" in said
            assert "use Streamable HTTP at '/mcp'" in said
    assert (await call(app, "name")).text_content == '"nobody"'


async def test_an_app_can_be_started_again() -> None:
    """M2: and between its lives there are no streams."""
    app = named_app()
    for _ in range(2):
        async with started(app) as running, initialized(running) as stream:
            assert await stream.called("name") == '"nobody"'
        async with http(app) as client:
            assert (await client.get("/sse")).status_code == 503


async def test_another_event_loop_has_no_streams_of_this_one() -> None:
    """M3: it is told so, and Streamable HTTP serves it."""
    app = named_app()

    async def elsewhere() -> tuple[int, int]:
        async with http(app) as client:
            return (await client.get("/sse")).status_code, (
                await rpc(app, "modern", "tools/list")
            ).status

    async with started(app) as running, initialized(running) as stream:
        assert await anyio.to_thread.run_sync(anyio.run, elsewhere) == (503, 200)
        assert await stream.called("name") == '"nobody"'


async def test_what_is_no_message_is_refused_and_the_stream_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """X2: nothing of it is written to the log."""

    async def answered(stream: Stream, body: bytes) -> tuple[int, Any]:
        reply = await stream.post(body)
        return reply.status_code, reply.json()["error"]["code"]

    async with started(named_app()) as running, initialized(running) as stream:
        for body in (b"", b"{", b"[]", b"[" * 10_000, b'{"jsonrpc": "1.0"}', b"\xff"):
            assert await answered(stream, body) == (400, -32700)
        assert await stream.called("name") == '"nobody"'
    assert caplog.records == []


async def test_the_headers_of_a_stream_keep_it_from_being_buffered() -> None:
    """S1: by caches and proxies."""
    async with started(named_app()) as running, streamed(running, "GET", "/sse") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
