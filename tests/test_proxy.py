"""An API elsewhere, offered by an app that has nothing else."""

import gc
import re
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from fastmcp import Context, FastMCP
from starlette.types import ASGIApp

from mcp_mount import Limits, MountError, Upstream, proxy_app
from tests.api import PARTS, api, before, ok
from tests.lanes import Visit
from tests.others import free_port
from tests.starting import started
from tests.support import ERAS, Era, call, connected, http, rpc, served, tools

eras = pytest.mark.parametrize("era", ERAS)


@eras
async def test_it_offers_the_operations_of_the_document(era: Era) -> None:
    """Proxy: the same tools and names as in the API's own process, and nothing of its own."""
    async with api() as parts:
        app = before(parts.url)
        listed = await tools(app, era=era)
        assert {*listed} == {"add_part", "list_parts", "get_latest", "get_part"}
        assert (await call(app, "get_part", {"part": "a"}, era=era)).text_content == "here"
        async with http(app) as client:
            assert (await client.get("/docs")).status_code == 404
            assert (await client.get("/openapi.json")).status_code == 404


async def test_headers_are_read_however_they_are_written() -> None:
    """Proxy, R1: names have no case (RFC 9110 §5.1), and early hints are no answer."""
    body = b'{"a": 1}'
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nCONTENT-TYPE: Application/JSON\r\nContent-Length: 8\r\n\r\n"
    async with api(early + head + body) as parts:
        reply = await call(before(parts.url), "list_parts")
    assert reply.result["structuredContent"] == {"a": 1}


async def test_the_server_is_named_after_the_api() -> None:
    """Proxy, M2: a client sees what it is connected to."""
    info = {"title": "Parts", "version": "7", "description": "All parts."}
    app = proxy_app({**PARTS, "info": info}, "http://localhost:9")
    discovered = (await rpc(app, "modern", "server/discover")).result
    assert discovered["instructions"] == "All parts."
    assert discovered["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "Parts"


async def test_what_a_document_says_of_its_api_is_bounded() -> None:
    """Proxy: each answer repeats it; a title of 10 MB made each answer one of 20 MB."""
    long = "word \u202e\x1b[31m" * 100_000
    info = {"title": long, "version": long, "description": long}
    app = proxy_app({**PARTS, "info": info}, "http://localhost:9")
    said = (await rpc(app, "modern", "server/discover")).result
    server = said["_meta"]["io.modelcontextprotocol/serverInfo"]
    assert server["name"] == server["version"]
    for text, most in ((server["name"], 100), (said["instructions"], 2_000)):
        assert re.fullmatch("(word )+…", text)
        assert most - 10 < len(text) <= most


@pytest.mark.parametrize("info", [{}, None, {"title": ["Parts"], "version": {}}])
async def test_an_api_that_is_not_named_has_a_name(info: object) -> None:
    """Proxy: a document that says something else than a name says none."""
    said = await rpc(
        proxy_app({**PARTS, "info": info}, "http://localhost:9"), "modern", "server/discover"
    )
    assert said.result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "API"


def test_what_is_no_information_is_refused_in_a_sentence() -> None:
    """Proxy: rather than with a traceback."""
    with pytest.raises(MountError, match="'info' is a text, where an object is expected"):
        proxy_app({**PARTS, "info": "Parts"}, "http://localhost:9")


def words(steps: list[threading.Event]) -> FastAPI:
    """Return an API whose stream goes on to a word when its reader has seen the one before."""
    app = FastAPI()

    @app.get("/words", operation_id="words")
    async def stream() -> StreamingResponse:
        def go() -> Iterator[str]:
            for number in range(3):
                assert not number or steps[number - 1].wait(10), "the reader saw nothing"
                yield f"word{number} "

        return StreamingResponse(go(), media_type="text/plain")

    return app


@eras
@pytest.mark.parametrize("lifespan", [True, False])
async def test_a_stream_arrives_while_it_is_produced(era: Era, lifespan: bool) -> None:  # noqa: FBT001
    """Proxy, S1: chunk by chunk, from the API to the client."""
    steps = [threading.Event() for _ in range(3)]
    seen: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message)
        steps[int(progress) - 1].set()

    parts = words(steps)
    with served(parts) as url:
        app = proxy_app(parts.openapi(), url)

        async def stream(running: ASGIApp) -> Any:
            async with connected(running, era) as client:
                return await client.call_tool("words", {}, progress_handler=hear)

        with anyio.fail_after(30):
            if lifespan:
                async with started(app) as running:
                    result = await stream(running)
            else:
                result = await stream(app)
    assert seen == ["word0 ", "word1 ", "word2 "]
    assert result.content[0].text == "word0 word1 word2 "


async def test_the_api_is_left_when_the_client_goes() -> None:
    """Proxy, C7: cancellation reaches the API, as its connection's end."""
    async with api(None) as parts:
        visit = Visit("modern", "list_parts")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.run, before(parts.url))
            with anyio.fail_after(30):
                await parts.asked.wait()
                visit.gone.set()
                await parts.left.wait()


@eras
async def test_the_api_is_left_at_the_deadline(era: Era) -> None:
    """Proxy, C6: and the answer does not wait for that."""
    async with api(None) as parts:
        app = before(parts.url, limits=Limits(timeout=0.2))
        with anyio.fail_after(30):
            assert (await call(app, "list_parts", era=era)).is_error
            await parts.left.wait()


@eras
async def test_a_stream_is_left_when_its_reader_has_enough(era: Era) -> None:
    """Proxy, S4: the limit on bytes ends the response at its source."""
    begun = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
    more = b"100\r\n" + b"x" * 256 + b"\r\n"
    never = anyio.Event()
    async with api([begun + more * 16, never]) as parts:
        app = before(parts.url, limits=Limits(max_bytes=1000))
        with anyio.fail_after(30):
            reply = await call(app, "list_parts", era=era)
    assert len(reply.text_content) < 1200
    assert "x" * 1000 in reply.text_content


async def test_calls_share_connections_while_the_app_runs() -> None:
    """Proxy: one pool, kept as long as the lifespan; without one, nothing is left behind."""
    parts = FastAPI()
    ports = set()

    @parts.get("/parts", operation_id="list_parts")
    async def parts_of(request: Request) -> str:
        assert request.client is not None
        ports.add(request.client.port)
        return "here"

    with served(parts) as url:
        app = proxy_app(parts.openapi(), url)
        async with started(app) as running:
            for _ in range(10):
                await call(running, "list_parts")
            assert len(ports) == 1
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(call, running, "list_parts")
        ports.clear()
        for _ in range(3):
            await call(app, "list_parts")
        assert len(ports) == 3
        # A socket that is left open is a warning here, and so an error.
        gc.collect()


async def test_one_call_does_not_end_the_connections_of_another() -> None:
    """Proxy: where no lifespan keeps them, whoever comes last turns out the light."""
    go = anyio.Event()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 8\r\n\r\nhalf"
    async with api([head, go, b"half"], ok()) as parts:
        app = before(parts.url)
        replies: list[str] = []

        async def slow() -> None:
            replies.append((await call(app, "list_parts")).text_content)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(slow)
                await parts.asked.wait()
                replies.append((await call(app, "get_latest")).text_content)
                go.set()
    assert replies == ["here", "halfhalf"]


async def test_health_tells_whether_the_api_answers() -> None:
    """Proxy: 200 or 503; whatever the API says is an answer, and it is not asked too often."""
    async with api(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n") as parts:
        async with started(before(parts.url, headers={"x-key": "1"})) as app, http(app) as client:
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(client.get, "/health")
            answer = await client.get("/health")
            assert (answer.status_code, answer.json()) == (200, {"status": "ok", "upstream": "up"})
        assert parts.lines == ["GET /"]
        assert "x-key: 1" in parts.requests[0]
    async with http(before(f"http://127.0.0.1:{free_port()}")) as client:
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()) == (503, {"status": "down", "upstream": "down"})


@eras
async def test_a_tool_of_ones_own_takes_the_place_of_an_operation(era: Era) -> None:
    """Proxy: `server.tool` of the same name wins, and streams as it likes."""
    async with api() as parts:
        app = before(parts.url)
        before_that = await tools(app, era=era)

        server: FastMCP[Any] = app.state.mcp.server

        @server.tool(name="list_parts")
        async def mine(ctx: Context) -> str:
            """List the parts, one by one."""
            for number in range(2):
                await ctx.report_progress(number + 1, message=f"part {number}")
            return "mine"

        listed = await tools(app, era=era)
        assert {*listed} == {*before_that}
        assert listed["list_parts"]["description"] == "List the parts, one by one."
        reply = await call(app, "list_parts", era=era, token="p")
        assert (reply.text_content, reply.progress) == ("mine", ["part 0", "part 1"])
        assert (await call(app, "get_latest", era=era)).text_content == "here"
    assert parts.lines == ["GET /parts/latest"]


async def test_it_stands_in_an_app_of_ones_own() -> None:
    """Proxy: as a sub-application, under any path, beside other routes."""
    async with api() as parts:
        app = FastAPI()
        app.mount("/old", before(parts.url))
        reply = await call(app, "get_latest", path="/old/mcp")
        assert reply.text_content == "here"


async def test_an_event_loop_has_connections_of_its_own() -> None:
    """Proxy: an app that serves in a thread is called from another loop as well."""
    parts = FastAPI()

    @parts.get("/parts", operation_id="list_parts")
    async def parts_of() -> AsyncIterator[str]:
        yield "here"

    with served(parts) as url:
        app = proxy_app(parts.openapi(), Upstream(url))
        with served(app):
            assert not (await call(app, "list_parts")).is_error
