"""What an attack on the call engine found: places, deadlines, starts, and odd requests."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Annotated, Any

import anyio
import pytest
from fastapi import BackgroundTasks, Body, Depends, FastAPI, Request, Security
from fastapi.responses import StreamingResponse
from fastapi.security import OAuth2PasswordBearer
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import Limits, RateLimit, mount_mcp
from mcp_mount.fastpath import responder
from tests.counting import CountsNothing
from tests.lanes import Visit, called, exchange, listed, request_of, scope_of
from tests.raw import send_raw
from tests.support import ERAS, MODERN, Era, envelope, http
from tests.ways import WAYS, Way, either_way, force

LINK = OAuth2PasswordBearer("token", scopes={"admin": "everything"}, auto_error=False)


class Crowd:
    """Counts who is in at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.now -= 1


@either_way
@pytest.mark.parametrize("era", ERAS)
async def test_an_app_in_a_mount_whose_path_has_a_parameter_can_be_called(
    way: Way, era: Era
) -> None:
    """M5, C9: what the parent's routing found in its own path is there, and no other operation."""
    app = FastAPI()

    @app.get("/items/{item}")
    async def get_item(item: str, request: Request) -> str:
        return f"{item} of {request.path_params['tenant']}"

    force(mount_mcp(app), way)
    parent = Starlette(routes=[Mount("/t/{tenant}", app)])
    async with http(parent) as client:
        assert (await client.get("/t/acme/items/1")).text == '"1 of acme"'
    where = {"path": "/t/acme/mcp", "raw_path": b"/t/acme/mcp"}
    assert (await called(parent, era, "get_item", {"item": "1"}, **where)).text == '"1 of acme"'


# --- Places ---------------------------------------------------------------------------------------


@either_way
@pytest.mark.parametrize("tool", ["thread", "shielded"])
async def test_a_client_that_leaves_does_not_free_the_place_of_a_route_that_goes_on(
    way: Way, tool: str
) -> None:
    """F2, `max_concurrency`: a route that goes on still takes up a thread."""
    app, inside, open_ = FastAPI(), Crowd(), threading.Event()
    opened = anyio.Event()

    @app.get("/thread")
    def thread() -> str:
        with inside:
            open_.wait(10)
        return "late"

    @app.get("/shielded")
    async def shielded() -> str:
        with inside, anyio.CancelScope(shield=True):
            await opened.wait()
        return "late"

    force(mount_mcp(app, limits=Limits(max_concurrency=1)), way)
    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                visit = Visit("modern", tool)
                tasks.start_soon(visit.run, app)
                await anyio.sleep(0.15)
                visit.gone.set()
                await anyio.sleep(0.1)
            open_.set()
            opened.set()
    finally:
        open_.set()
    assert inside.most == 1


@either_way
async def test_a_cancelled_handshake_call_keeps_its_place_while_its_route_runs_on(way: Way) -> None:
    """F2, C7: it runs until its deadline, so it is counted until then."""
    app, inside = FastAPI(), Crowd()

    @app.get("/wait")
    async def wait(request: Request) -> str:
        with inside:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        return "late"

    force(mount_mcp(app, limits=Limits(max_concurrency=1, timeout=1)), way)
    calls = []
    for _ in range(3):
        calls.append(asyncio.create_task(called(app, "legacy", "wait")))
        await anyio.sleep(0.1)
        calls[-1].cancel()
        await anyio.sleep(0.05)
    await asyncio.gather(*calls, return_exceptions=True)
    assert inside.most == 1


@either_way
async def test_a_redirect_does_not_free_the_place_of_a_route_that_goes_on(way: Way) -> None:
    """F2: only the last hop's call is looked at when the place is given back."""
    app, inside, open_ = FastAPI(), Crowd(), threading.Event()

    @app.get("/ok")
    async def ok() -> str:
        return "ok"

    @app.get("/hang")
    def hang() -> StreamingResponse:
        def parts() -> Iterator[bytes]:
            with inside:
                yield b"x"
                open_.wait(10)

        return StreamingResponse(parts(), 307, {"location": "/ok"})

    force(mount_mcp(app, limits=Limits(max_concurrency=1, timeout=0.2)), way)
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(called, app, "modern", "hang")
            await anyio.sleep(0.4)
        open_.set()
    assert inside.most == 1


@either_way
async def test_a_background_task_holds_no_place_after_a_late_answer(way: Way) -> None:
    """C8, F2: a place is the route's; what runs after its last message has never held one."""
    app, release = FastAPI(), anyio.Event()
    pauses = iter([0.4, 0])

    @app.get("/late")
    async def late(tasks: BackgroundTasks) -> str:
        tasks.add_task(release.wait)
        with anyio.CancelScope(shield=True):
            await anyio.sleep(next(pauses))
        return "late"

    force(mount_mcp(app, limits=Limits(max_concurrency=1, timeout=0.1)), way)
    visit = Visit("modern", "late")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Visit("modern", "late").run, app)
        await anyio.sleep(0.6)
        tasks.start_soon(visit.run, app)
        await visit.complete.wait()
        release.set()
    assert b"Too many calls" not in visit.body


class Store(CountsNothing):
    """A store that is slow to answer, and counts who waits for it."""

    STORAGE_SCHEME = ["attacked"]  # noqa: RUF012 - the library's declaration
    inside = Crowd()
    answers = threading.Event()

    def acquire_sliding_window_entry(self, *_: Any, **__: Any) -> bool:
        with self.inside:
            self.answers.wait(10)
        return True


async def test_clients_that_leave_do_not_add_connections_to_the_store() -> None:
    """F2, `_MOST_CONNECTIONS`: 32 at the most, also when nobody waits for the answers."""
    Store.inside, Store.answers = Crowd(), threading.Event()
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    mount_mcp(app, rate_limit=RateLimit("1000/minute", storage="attacked://"))
    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                visits = [Visit("modern", "ping") for _ in range(32)]
                for visit in visits:
                    tasks.start_soon(visit.run, app)
                await anyio.sleep(0.5)
                for visit in visits:
                    visit.gone.set()
                await anyio.sleep(0.2)
            Store.answers.set()
    finally:
        Store.answers.set()
    assert Store.inside.most <= 32


# --- Deadlines and failures -----------------------------------------------------------------------


@either_way
async def test_no_redirect_is_followed_after_the_deadline(way: Way) -> None:
    """C6: the call has ended by then, so that nothing more is done in its name."""
    app, log = FastAPI(), list[str]()

    @app.post("/pay")
    async def pay() -> str:
        log.append("paid")
        return "paid"

    @app.post("/hang")
    async def hang() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"x"
            await anyio.sleep_forever()

        return StreamingResponse(parts(), 307, {"location": "/pay"})

    force(mount_mcp(app, limits=Limits(timeout=0.1)), way)
    answer = await called(app, "modern", "hang")
    assert (log, answer.result["isError"]) == ([], True)


async def test_a_route_goes_no_further_after_the_servers_send_has_failed() -> None:  # noqa: C901 - one scene
    """C7: it is told, and cancelled after its grace; the request stays until then."""
    app, log = FastAPI(), list[str]()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            while True:
                yield "x"
                await anyio.sleep(0.01)

        return StreamingResponse(parts(), media_type="text/plain")

    class Deaf:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self.app(scope, receive, send)
            except Exception:
                if scope["path"] != "/stream":
                    raise
                try:
                    await anyio.sleep_forever()
                finally:
                    log.append("ended")

    app.add_middleware(Deaf)
    mount_mcp(app)
    headers, body = request_of("modern", "tools/call", {"name": "stream"}, token="t")
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop()

    async def send(message: Message) -> None:
        if b"progress" in message.get("body", b""):
            raise RuntimeError("middleware")

    with suppress(RuntimeError):
        await app(scope_of(headers), receive, send)
    await anyio.sleep(1.2)
    assert log == ["ended"]


class SlowToStart:
    """Middleware that does something before a response starts, such as keeping a session."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["path"] == "/mcp":
                await anyio.sleep(self.seconds)
            await send(message)

        await self.app(scope, receive, answer)


async def sent_to(app: ASGIApp, tool: str, token: str | None = None) -> list[str]:
    """Return the kinds of messages of an answer, in their order."""
    headers, body = request_of("modern", "tools/call", {"name": tool}, token=token)
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    kinds: list[str] = []

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop()

    async def send(message: Message) -> None:
        kinds.append(message["type"])

    with anyio.fail_after(30):
        await app(scope_of(headers), receive, send)
    return kinds


async def test_an_answer_waits_for_the_start_that_a_ping_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C2, ASGI "Response Start": a body before it breaks the connection."""
    monkeypatch.setattr(responder, "_PING", 0.1)
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> str:
        await anyio.sleep(0.2)
        return "slow"

    app.add_middleware(SlowToStart, seconds=0.2)
    mount_mcp(app)
    assert (await sent_to(app, "slow"))[0] == "http.response.start"


async def test_a_deadline_while_a_stream_starts_does_not_take_its_start_away() -> None:
    """C6: the result has a start, also when the deadline came while that was being sent."""
    app = FastAPI()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            while True:
                yield "x"
                await anyio.sleep(0.01)

        return StreamingResponse(parts(), media_type="text/plain")

    app.add_middleware(SlowToStart, seconds=0.3)
    mount_mcp(app, limits=Limits(timeout=0.1))
    assert (await sent_to(app, "stream", token="t"))[0] == "http.response.start"


# --- Odd messages ---------------------------------------------------------------------------------

CLIENT = b'"io.modelcontextprotocol/clientInfo":{"name":"x","version":"1","more":%s}'
CAPABLE = b'"io.modelcontextprotocol/clientCapabilities":{"experimental":{"x":{"a":%s}}}'


@either_way
@pytest.mark.parametrize("place", [CLIENT, CAPABLE])
@pytest.mark.parametrize("value", [b'"\xff"', b"1e999", b"9" * 5000])
async def test_what_a_client_says_of_itself_is_never_a_failure_of_the_server(
    way: Way, place: bytes, value: bytes
) -> None:
    """X2, R3: the SDK's answer, and no traceback, for what is no text or no number."""
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    force(mount_mcp(app), way)
    headers, _ = request_of("modern", "tools/call", {"name": "ping"})
    meta = b'"io.modelcontextprotocol/protocolVersion":"%s",' % MODERN.encode()
    if place is CLIENT:
        meta += b'"io.modelcontextprotocol/clientCapabilities":{},'
    params = b'{"name":"ping","arguments":{},"_meta":{%s}}' % (meta + place % value)
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%s}' % params
    assert (await exchange(app, headers, body)).status < 500


@pytest.mark.parametrize("depth", [250, 600])
async def test_deep_arguments_of_a_handshake_request_are_answered_the_same_either_way(
    depth: int,
) -> None:
    """X2: one is a parse error, the other a result or a failure of the route."""
    answers = []
    for way in WAYS:
        app = FastAPI()

        @app.post("/any")
        async def anything(value: Annotated[Any, Body(embed=True)] = None) -> Any:
            return value

        force(mount_mcp(app), way)
        headers, body = request_of(
            "legacy", "tools/call", {"name": "anything", "arguments": {"value": 7}}
        )
        deep = body.replace(b"7}", b"[" * depth + b"]" * depth + b"}")
        answer = await exchange(app, headers, deep)
        answers.append((answer.status, "result" in answer.messages[0]))
    assert answers[0] == answers[1]


# --- Who may what ---------------------------------------------------------------------------------


@either_way
@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_of_ones_own_is_shown_whatever_the_operation_of_its_name_asks_for(
    way: Way, era: Era
) -> None:
    """X2, docs/security.md: "Tools of your own are shown to every caller"."""
    app = FastAPI()

    @app.get("/admin")
    async def admin(_: Annotated[str | None, Security(LINK, scopes=["admin"])]) -> str:
        return "operation"

    mounted = mount_mcp(app, scopes_of=lambda _: [])

    @mounted.server.tool(name="admin")
    async def own() -> str:
        return "own"

    force(mounted, way)
    answer = await called(app, era, "admin")
    assert (await listed(app, era), answer.status) == (["admin"], 200)


@pytest.mark.parametrize("takes", ["request", "parameter"])
async def test_a_dependency_that_reads_the_body_is_given_no_more_than_the_limit(takes: str) -> None:
    """F2, `max_request_bytes`: 413, and the rest of it is not read."""
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    async def by_request(request: Request) -> None:
        await request.body()

    async def by_parameter(payload: Annotated[dict[str, Any], Body()]) -> None:
        del payload

    guard = by_request if takes == "request" else by_parameter
    limits = Limits(max_request_bytes=2_000)
    mount_mcp(app, limits=limits, dependencies=[Depends(guard)])
    headers, _ = envelope("modern", "tools/call", {"name": "ping", "arguments": {}})
    chunks = [b'{"x":"', *[b"x" * 1_000] * 50, b'"}']
    reply = await send_raw(app, chunks, headers)
    assert (reply.status, reply.received < 10) == (413, True)


@either_way
async def test_middleware_that_changes_the_method_leads_to_no_excluded_operation(way: Way) -> None:
    """What `exclude=` leaves out cannot be called: a changed path is checked, a method is not."""
    app = FastAPI()

    @app.get("/items/{item}")
    async def get_item(item: str, act: str = "") -> str:
        return f"got {item} {act}"

    @app.delete("/items/{item}")
    async def delete_item(item: str) -> str:
        return f"deleted {item}"

    class Override:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["query_string"] == b"act=DELETE":
                scope = {**scope, "method": "DELETE"}
            await self.app(scope, receive, send)

    app.add_middleware(Override)
    force(mount_mcp(app, exclude=["DELETE *"]), way)
    answer = await called(app, "modern", "get_item", {"item": "1", "act": "DELETE"})
    assert "deleted" not in json.dumps(answer.messages)


async def test_a_list_for_a_client_that_has_gone_is_no_failure() -> None:
    """X2: as a call for such a client, and as the generic way answers a list."""
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    mount_mcp(app)
    headers, body = request_of("modern", "tools/list")
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise OSError("the client has gone")

    await app(scope_of(headers), receive, send)
