"""F1: what is ready at one moment for many calls is answered one after the other."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI, Query, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import Tasks, mount_mcp
from mcp_mount.page.negotiation import DETAILS_TYPE
from tests.access import static
from tests.foreign import HELD
from tests.lanes import exchange, request_of, scope_of, sent_by
from tests.longwork import MARK, META, start
from tests.sse import opened
from tests.starting import started
from tests.steps import measured_steps
from tests.support import ERAS, Era
from tests.test_session_unread import opened as session_opened

ROWS = "[" + ",".join(f'{{"id":{number},"name":"row {number}"}}' for number in range(1_500)) + "]"


class Crowd:
    """Calls that wait together, and go on at once."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._go_on = anyio.Event()
        self.are_here = anyio.Event()

    async def join(self) -> None:
        self._left -= 1
        if not self._left:
            self.are_here.set()
        await self._go_on.wait()

    def let_go(self) -> None:
        self._go_on.set()


async def longest_step(
    crowd: Crowd, count: int, send: Callable[[], Coroutine[None, None, object]]
) -> float:
    """Return the longest step of the event loop, once all calls go on."""

    sending = [asyncio.create_task(send()) for _ in range(count)]
    await crowd.are_here.wait()
    async with measured_steps() as steps:
        crowd.let_go()
        for each in sending:
            await each
        await anyio.lowlevel.checkpoint()
    return max(steps)


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_answers_of_the_app(era: Era) -> None:
    """Three hundred of 52 KB held the event loop for half a second, and 8 ms over REST."""
    app, crowd = FastAPI(), Crowd(100)

    @app.get("/rows")
    async def rows() -> Response:
        await crowd.join()
        return Response(ROWS, media_type="application/json")

    mount_mcp(app)
    headers, body = request_of(era, "tools/call", {"name": "rows", "arguments": {}})
    async with started(app) as served:
        assert await longest_step(crowd, 100, partial(sent_by, served, headers, body)) < HELD


@pytest.mark.in_process
async def test_structures_in_sessions() -> None:
    """FastMCP and the SDK copied each three times: twenty held the event loop for 85 ms."""
    app, crowd = FastAPI(), Crowd(20)
    rows_of_two = "[" + ",".join('{"id":1,"name":"row"}' for _ in range(22_000)) + "]"

    @app.get("/rows")
    async def rows() -> Response:
        await crowd.join()
        return Response(rows_of_two, media_type="application/json")

    mount_mcp(app, sessions=True)
    headers, body = request_of("legacy", "tools/call", {"name": "rows", "arguments": {}})
    async with started(app) as served:
        sessions = [(await session_opened(served)).items() for _ in range(20)]

        async def send() -> None:
            own = [(name.lower().encode(), value.encode()) for name, value in sessions.pop()]
            await sent_by(served, [*headers, *own], body)

        assert await longest_step(crowd, 20, send) < HELD


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_results_of_an_own_tool(era: Era) -> None:
    """Nine hundred small ones held the event loop for half a second."""
    app, crowd = FastAPI(), Crowd(500)

    @mount_mcp(app).server.tool
    async def rows() -> list[dict[str, int]]:
        await crowd.join()
        return [{"id": number} for number in range(20)]

    headers, body = request_of(era, "tools/call", {"name": "rows", "arguments": {}})
    async with started(app) as served:
        assert await longest_step(crowd, 500, partial(sent_by, served, headers, body)) < HELD


class _Gate:
    """Middleware of an app, at which the requests to its endpoint wait for each other."""

    def __init__(self, app: ASGIApp, crowd: Crowd) -> None:
        self._app, self._crowd = app, crowd

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._crowd.join()
        await self._app(scope, receive, send)


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_requests_that_fastmcp_answers(era: Era) -> None:
    """A millisecond for each of four hundred, in one round of the event loop."""
    app, crowd = FastAPI(), Crowd(400)
    app.add_middleware(_Gate, crowd=crowd)

    @mount_mcp(app).server.prompt
    async def greet() -> str:
        return "Say hello."

    headers, body = request_of(era, "prompts/get", {"name": "greet"})
    async with started(app) as served:
        assert await longest_step(crowd, 400, partial(sent_by, served, headers, body)) < HELD


LISTS = b"[" + b"[]," * 20_000 + b"[]]"
NUMBERS = b"[" + b"1234567," * 190_000 + b"1]"


def waiting_app(crowd: Crowd, **options: Any) -> FastAPI:
    """Return an app with one tool, ``quick``, whose requests wait for a crowd."""
    app = FastAPI()
    app.add_middleware(_Gate, crowd=crowd)

    @app.get("/quick")
    async def quick() -> int:
        return 7

    mount_mcp(app, **options)
    return app


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_what_is_no_message(era: Era) -> None:
    """A hundred of 64 KB held the event loop for 2.7 seconds: each error had a copy of all."""
    crowd = Crowd(20)
    headers, _ = request_of(era, "tools/call", {"name": "quick", "arguments": {}})
    async with started(waiting_app(crowd)) as served:
        send = partial(sent_by, served, headers, b'{"a":%s}' % LISTS)
        assert await longest_step(crowd, 20, send) < HELD


@pytest.mark.in_process
async def test_one_large_body_that_is_no_message() -> None:
    """1.5 MB of numbers took 110 ms."""
    app = FastAPI()
    mount_mcp(app)
    headers, _ = request_of("modern", "tools/call", {"name": "quick", "arguments": {}})
    body = b'{"method":"tools/call","params":{"name":"quick","arguments":{"a":%s}}}' % NUMBERS
    async with started(app) as served, measured_steps() as steps:
        answer = await exchange(served, headers, body)
        await anyio.lowlevel.checkpoint()
    assert answer.status == 400
    assert max(steps) < HELD


@pytest.mark.in_process
async def test_one_large_body_on_a_stream_that_is_no_message() -> None:
    """Over HTTP with SSE as well."""
    app = FastAPI()
    mount_mcp(app, sse_path="/sse")
    body = b'{"method":"tools/call","params":{"name":"quick","arguments":{"a":%s}}}' % NUMBERS
    async with started(app) as served, opened(served) as stream, measured_steps() as steps:
        answer = await stream.post(body)
        await anyio.lowlevel.checkpoint()
    assert answer.status_code == 400
    assert max(steps) < HELD


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("more", [b"", b',"x":1'], ids=["usual", "unusual"])
async def test_requests_that_take_milliseconds_to_read(era: Era, more: bytes) -> None:
    """A hundred of 64 KB of lists held the event loop for 0.15 to 0.6 seconds."""
    crowd = Crowd(60)
    headers, body = request_of(era, "tools/call", {"name": "quick", "arguments": {"a": "@"}})
    body = body.replace(b'"@"', LISTS)[:-1] + more + b"}"
    async with started(waiting_app(crowd)) as served:
        assert await longest_step(crowd, 60, partial(sent_by, served, headers, body)) < HELD


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_wrong_tokens(era: Era) -> None:
    """Nine hundred held the event loop for 0.7 to 1.5 seconds."""
    crowd = Crowd(400)
    headers, body = request_of(era, "tools/list")
    headers = [*headers, (b"authorization", b"Bearer wrong")]
    async with started(waiting_app(crowd, auth=static(alice=[]))) as served:
        assert await longest_step(crowd, 400, partial(sent_by, served, headers, body)) < HELD


class _Visitor:
    """Who opens a stream, reads where to POST, and goes."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._has_sent = self._is_here = False

    async def visit(self, app: ASGIApp) -> None:
        await app(scope_of([], method="GET", path="/sse"), self._receive, self._send)

    async def _receive(self) -> Message:
        if not self._has_sent:
            self._has_sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if not self._is_here:
            self._is_here = True
            await self._crowd.join()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None: ...


@pytest.mark.in_process
async def test_streams_that_open_and_end() -> None:
    """Nine hundred held the event loop for 0.4 seconds, and for 0.25 when their clients went."""
    app, crowd = FastAPI(), Crowd(500)
    mount_mcp(app, sse_path="/sse")
    async with started(app) as served, measured_steps() as steps:
        visits = [asyncio.create_task(_Visitor(crowd).visit(served)) for _ in range(500)]
        await crowd.are_here.wait()
        crowd.let_go()
        for each in visits:
            await each
        await anyio.lowlevel.checkpoint()
    assert max(steps) < HELD


SEARCHES = [
    ("tools/call", {"name": "search_tools", "arguments": {"query": "many words of a thing " * 40}}),
    ("tools/call", {"name": "describe_tool", "arguments": {"name": "thnig_5"}}),
    ("tools/list", {}),
]


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("method", "params"), SEARCHES)
async def test_searches(method: str, params: dict[str, object], era: Era) -> None:
    """Five hundred among five hundred tools held the event loop for a second."""
    app, crowd = FastAPI(), Crowd(200)
    for number in range(500):

        async def thing() -> None:
            """Give a thing that has many words."""

        app.get(f"/things/{number}", operation_id=f"thing_{number}")(thing)
    around = _Gate(app, crowd)
    mount_mcp(app, surface="search")
    headers, body = request_of(era, method, params)
    async with started(app):
        # What is made once is made now.
        await sent_by(app, headers, body)
        assert await longest_step(crowd, 200, partial(sent_by, around, headers, body)) < HELD


async def longest_step_of_tasks(names: str) -> float:
    """Return the longest step of the event loop in which ten tasks end at one moment."""
    app, crowd = FastAPI(), Crowd(10)

    @app.get("/rows", openapi_extra=MARK)
    async def rows() -> Response:
        await crowd.join()
        return Response(names, media_type="application/json")

    mount_mcp(app, tasks=Tasks(concurrency=20, max_bytes=16_000_000))
    async with started(app) as served:
        begun = [await start(served, "rows") for _ in range(10)]
        asked = [
            request_of("modern", "tasks/get", {"taskId": each, "_meta": META}) for each in begun
        ]

        async def fetch() -> None:
            # To read the answer would take the loop's time, too.
            headers, body = asked.pop()
            while b'"working"' in (await sent_by(served, headers, body))[1]["body"]:  # noqa: ASYNC110
                await anyio.sleep(0.02)  # As a client does.

        return await longest_step(crowd, 10, fetch)


@pytest.mark.in_process
async def test_results_of_tasks() -> None:
    """Each was copied, written twice and sealed: 4 MB held the event loop for 100 ms."""
    names = f"[{','.join(100_000 * [chr(34) + 40 * 'x' + chr(34)])}]"
    # One of them takes 20 ms, and on a busy machine twice or thrice that.
    tries = 3
    while (step := await longest_step_of_tasks(names)) >= HELD and tries:
        tries -= 1
    assert step < HELD


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("kind", ["operation", "own"])
async def test_addresses_with_many_fields(kind: str, era: Era) -> None:
    """A hundred held the event loop for 0.2 s, again and again."""
    app, crowd = FastAPI(), Crowd(60)

    @app.get("/parts", openapi_extra={"x-mcp": {"resource": "data://parts"}})
    async def parts(tag: Annotated[list[str], Query()] = []) -> int:  # noqa: B006 - never changed
        return len(tag)

    around = _Gate(app, crowd)

    @mount_mcp(app).server.resource("own://parts{?tag}")
    async def own(tag: str = "") -> str:
        return tag

    uri = f"{'data' if kind == 'operation' else 'own'}://parts?{'&'.join(['tag=%41%41'] * 990)}"
    headers, body = request_of(era, "resources/read", {"uri": uri})
    headers = [*headers, (b"mcp-name", uri.encode())] if era == "modern" else headers
    async with started(app):
        send = partial(sent_by, around, headers, body)
        assert await longest_step(crowd, 60, send) < HELD


@pytest.mark.in_process
async def test_details_for_the_page() -> None:
    """Twenty of 2,500 tools held the event loop for half a second."""
    app = FastAPI()
    for number in range(300):

        async def thing() -> None:
            """Give a thing."""

        app.get(f"/things/{number}", operation_id=f"thing_{number}")(thing)
    crowd = Crowd(30)
    around = _Gate(app, crowd)
    mount_mcp(app)
    headers = [(b"host", b"localhost"), (b"accept", DETAILS_TYPE.encode())]
    async with started(app):
        send = partial(sent_by, around, headers, b"", method="GET")
        assert await longest_step(crowd, 30, send) < HELD
