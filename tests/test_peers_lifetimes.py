"""What other packages mix up or leave behind between callers, sessions and processes."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from itertools import cycle, pairwise
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Limits, mount_mcp
from tests.support import ERAS, LEGACY, MODERN, Era, call, connected, envelope, http, rpc, served

pytestmark = pytest.mark.faults

# Objects of a client; one that is kept, with its session, holds many more.
FEW = 20

request_id: ContextVar[str] = ContextVar("request_id", default="none")


class RequestId:
    """Puts the request's id into a context variable, as tracing and logging packages do."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/mcp":
            request_id.set(dict(scope["headers"]).get(b"x-request-id", b"none").decode())
        await self.app(scope, receive, send)


@pytest.mark.parametrize("era", ERAS)
async def test_state_of_the_request_and_of_the_lifespan_is_there_in_the_route(era: Era) -> None:
    """C2, M2: both were missing inside."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"database": "open"}

    app = FastAPI(lifespan=lifespan)

    @app.middleware("http")
    async def identify(request: Request, call_next: Any) -> Any:
        if request.url.path == "/mcp":
            request.state.user = "alice"
        return await call_next(request)

    @app.get("/state")
    async def state(request: Request) -> list[str]:
        return [request.state.database, request.state.user]

    mount_mcp(app)
    with served(app) as url:
        transport = StreamableHttpTransport(f"{url}/mcp")
        async with Client(transport, mode=MODERN if era == "modern" else "legacy") as client:
            result = await client.call_tool("state")
    assert result.structured_content == {"result": ["open", "alice"]}


@pytest.mark.parametrize("era", ERAS)
async def test_nothing_is_handed_over_by_hand_and_nothing_is_dropped(era: Era) -> None:
    """M2, M3, C8: without its lifespan each request was a 500; combining apps lost parts."""
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        seen.append("started")
        yield
        seen.append("stopped")

    app = FastAPI(lifespan=lifespan)

    @app.middleware("http")
    async def record(request: Request, call_next: Any) -> Any:
        seen.append(request.url.path)
        return await call_next(request)

    @app.exception_handler(KeyError)
    async def missing(request: Request, error: KeyError) -> JSONResponse:
        return JSONResponse({"missing": error.args[0]}, 404)

    @app.get("/item")
    async def item() -> None:
        raise KeyError("seven")

    mount_mcp(app)
    asked = ["/mcp", "/item"]
    answer = '404 Not Found\n{"missing":"seven"}'
    assert (await call(app, "item", era=era)).text_content == answer
    assert seen == asked
    seen.clear()
    async with run_asgi_lifespan(app):
        assert (await call(app, "item", era=era)).text_content == answer
    assert seen == ["started", *asked, "stopped"]


async def open_session(app: ASGIApp, **headers: str) -> dict[str, str]:
    """Open with the older protocol's handshake; return the header of the session, if any."""
    client = {"name": "test", "version": "1"}
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client}
    reply = await rpc(app, "legacy", "initialize", params, headers=headers)
    assert reply.result["protocolVersion"] == LEGACY
    return {name: reply.headers[name] for name in ("mcp-session-id",) if name in reply.headers}


@pytest.mark.parametrize(("era", "sessions"), [*((era, False) for era in ERAS), ("legacy", True)])
async def test_each_call_runs_in_the_context_of_its_own_request(
    *, era: Era, sessions: bool
) -> None:
    """C1: context variables stayed those of `initialize`, and one caller's showed in another's."""
    app = FastAPI()
    waiting: set[str] = set()
    both = anyio.Event()
    found: dict[str, str] = {}

    @app.get("/whoami")
    async def whoami(name: str) -> str:
        before = request_id.get()
        waiting.add(name)
        if len(waiting) == 2:
            both.set()
        await both.wait()
        return f"{before} {request_id.get()}"

    mount_mcp(app, sessions=sessions)
    app.add_middleware(RequestId)

    async def ask(name: str, headers: dict[str, str]) -> None:
        headers = {**headers, "x-request-id": f"{name}-call"}
        reply = await call(app, "whoami", {"name": name}, era=era, headers=headers)
        found[name] = reply.result["structuredContent"]["result"]

    with anyio.fail_after(30):
        async with run_asgi_lifespan(app), anyio.create_task_group() as tasks:
            for name in ("alice", "bob"):
                opened = {}
                if era == "legacy":
                    opened = await open_session(app, **{"x-request-id": f"{name}-open"})
                    assert bool(opened) == sessions
                tasks.start_soon(ask, name, opened)
    assert found == {name: f"{name}-call {name}-call" for name in ("alice", "bob")}


async def test_a_session_is_nobodys_but_its_openers() -> None:
    """C1, X1: a session opened with one token could be used with another, as its opener."""
    app = FastAPI()

    @app.get("/me")
    async def me(request: Request) -> str:
        return request.headers.get("authorization", "nobody")

    mount_mcp(app, sessions=True)
    async with run_asgi_lifespan(app):
        session = await open_session(app, authorization="Bearer alice")
        alice = {"authorization": "Bearer alice"}
        reply = await call(app, "me", era="legacy", headers={**session, **alice})
        assert reply.text_content == '"Bearer alice"'
        for other in ({"authorization": "Bearer bob"}, {}):
            reply = await call(app, "me", era="legacy", headers={**session, **other})
            assert reply.status == 404


def alternating(*apps: ASGIApp) -> ASGIApp:
    """Return an app that hands each request to the next of several, as a balancer does."""
    turns = cycle(apps)

    async def balanced(scope: Scope, receive: Receive, send: Send) -> None:
        await next(turns)(scope, receive, send)

    return balanced


@pytest.mark.parametrize("era", ERAS)
async def test_any_worker_answers_any_request(era: Era) -> None:
    """X1: with four workers, two thirds of the calls were 404, as their session was elsewhere."""

    def worker(number: int) -> FastAPI:
        app = FastAPI()

        @app.get("/worker")
        async def which() -> int:
            return number

        mount_mcp(app)
        return app

    workers = [worker(number) for number in range(4)]
    async with AsyncExitStack() as stack:
        for app in workers:
            await stack.enter_async_context(run_asgi_lifespan(app))
        client = await stack.enter_async_context(connected(alternating(*workers), era))
        answers = [await client.call_tool("which") for _ in range(16)]
    numbers = [(answer.structured_content or {})["result"] for answer in answers]
    assert set(numbers) == {0, 1, 2, 3}


def ticking_app() -> tuple[FastAPI, list[str]]:
    """Return an app whose one route streams without end, and what its generators told."""
    app = FastAPI()
    told: list[str] = []

    @app.get("/ticks")
    async def ticks() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            try:
                yield "tick"
                await anyio.sleep_forever()
            finally:
                told.append("ended")

        return StreamingResponse(lines(), media_type="text/plain")

    mount_mcp(app, limits=Limits(timeout=0.5))
    return app, told


async def abandon_call(app: ASGIApp, era: Era) -> None:
    """Call, read the first progress, and go."""
    headers, body = envelope(era, "tools/call", {"name": "ticks", "arguments": {}}, token="t")
    async with (
        http(app) as client,
        client.stream("POST", "/mcp", headers=headers, json=body) as response,
    ):
        lines = response.aiter_lines()
        while "tick" not in await anext(lines):
            pass


async def fifty(visit: Callable[..., Coroutine[Any, Any, object]], *arguments: object) -> None:
    """Let fifty clients come at once and go."""
    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(visit, *arguments)


async def all_ended(standing: set[asyncio.Task[Any]]) -> None:
    """Wait until no tasks but the standing ones are left, and collect what they held."""
    with anyio.fail_after(30):
        while rest := asyncio.all_tasks() - standing:
            await asyncio.wait(rest)
    gc.collect()


async def left_behind(visit: Callable[..., Coroutine[Any, Any, object]], *arguments: object) -> int:
    """Return how many objects each of fifty clients leaves, once all their tasks have ended.

    The least of three rounds: caches and what waits to be collected come and go, a leak only grows.
    """
    # The first one starts what serves all that follow.
    await visit(*arguments)
    standing = asyncio.all_tasks()
    counts = []
    for _ in range(4):
        await fifty(visit, *arguments)
        await all_ended(standing)
        counts.append(len(gc.get_objects()))
    return min(after - before for before, after in pairwise(counts)) // 50


async def test_clients_that_open_and_go_leave_nothing() -> None:
    """X1: fifty of them left fifty sessions and 228 tasks, and 39 KB of memory each."""
    app, _ = ticking_app()
    async with run_asgi_lifespan(app):
        assert await open_session(app) == {}
        assert await left_behind(open_session, app) < FEW


@pytest.mark.parametrize("era", ERAS)
async def test_clients_that_call_and_go_leave_nothing(era: Era) -> None:
    """X1, C7: their calls end, with the tasks and the memory that they took."""
    app, told = ticking_app()
    async with run_asgi_lifespan(app):
        assert await left_behind(abandon_call, app, era) < FEW
    assert told == ["ended"] * 201
