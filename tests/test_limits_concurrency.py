"""How many calls run at once, and that every place is given back."""

import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager

import anyio
import httpx2
import pytest
from anyio.abc import TaskGroup
from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from fastmcp import Client
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Limits, mount_mcp
from mcp_mount.limits import CallerSlots
from tests.mock_api.streaming import streamed
from tests.support import ERAS, MODERN, Era, Reply, call, connected, envelope, served

BUSY = "Too many calls are running. Try again in a few seconds."


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a call wait for its turn for a moment only."""
    monkeypatch.setattr("mcp_mount.limits._WAIT", 0.05)


class Gate:
    """An app whose tool ``held`` answers when it is let go, beside some that answer at once."""

    def __init__(self, limits: Limits, mark: dict[str, object] | None = None) -> None:
        self.app = FastAPI()
        self.entered = anyio.Event()
        self.let_go = anyio.Event()
        self.most = self.running = 0
        extra = {"x-mcp": {"limits": mark}} if mark else None

        @self.app.get("/held", openapi_extra=extra)
        async def held() -> str:
            self.running += 1
            self.most = max(self.most, self.running)
            self.entered.set()
            await self.let_go.wait()
            self.running -= 1
            return "done"

        @self.app.get("/quick")
        async def quick() -> str:
            return "quick"

        @self.app.get("/missing")
        async def missing() -> None:
            raise HTTPException(404)

        @self.app.get("/raising")
        async def raising() -> None:
            raise RuntimeError("Planned.")

        @self.app.get("/endless")
        async def endless() -> StreamingResponse:
            async def chunks() -> AsyncIterator[str]:
                while True:
                    yield "x" * 64
                    await anyio.lowlevel.checkpoint()

            return StreamingResponse(chunks(), media_type="text/plain")

        @self.app.get("/stuck", openapi_extra={"x-mcp": {"limits": {"timeout": 0.05}}})
        async def stuck() -> None:
            await anyio.sleep_forever()

        mount_mcp(self.app, limits=limits)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("era", ERAS)
async def test_a_call_over_the_limit_is_told_to_come_back(era: Era) -> None:
    """C6: an error that the model can act on; the route does not run."""
    gate = Gate(Limits(max_concurrency=1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: call(gate.app, "held", era=era))
        await gate.entered.wait()
        refused = await call(gate.app, "quick", era=era)
        gate.let_go.set()
    assert (refused.status, refused.is_error, refused.text_content) == (200, True, BUSY)
    assert (await call(gate.app, "quick", era=era)).text_content == '"quick"'


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_over_the_limit_waits_for_a_place_that_comes_free(era: Era) -> None:
    """C6: a burst is smoothed, not refused."""
    gate = Gate(Limits(max_concurrency=2))
    replies: list[Reply] = []

    async def one() -> None:
        replies.append(await call(gate.app, "held", era=era))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(one)
            await gate.entered.wait()
            await anyio.wait_all_tasks_blocked()
            assert gate.running == 2
            gate.let_go.set()
    assert [reply.text_content for reply in replies] == ['"done"'] * 5
    assert gate.most == 2


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("era", ERAS)
async def test_a_limit_of_one_tool_counts_apart(era: Era) -> None:
    """C6: it neither takes places from the others nor uses theirs."""
    gate = Gate(Limits(max_concurrency=1), mark={"max_concurrency": 2})
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(lambda: call(gate.app, "held", era=era))
        while gate.running < 2:
            await anyio.lowlevel.checkpoint()
        assert (await call(gate.app, "held", era=era)).text_content == BUSY
        assert (await call(gate.app, "quick", era=era)).text_content == '"quick"'
        gate.let_go.set()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("era", ERAS)
async def test_a_caller_who_takes_all_places_does_not_lock_others_out(era: Era) -> None:
    """C6: a few more are kept for whoever finds all taken; they come back, too."""
    gate = Gate(Limits(max_concurrency=100))

    async def ask(tool: str, key: str) -> str:
        return (await call(gate.app, tool, era=era, headers={"X-Api-Key": key})).text_content

    async def take_all(tasks: TaskGroup) -> None:
        for _ in range(102):
            tasks.start_soon(ask, "held", "greedy")
        # The caller has one of those that are kept as well, and no other.
        while gate.running < 101:
            await anyio.lowlevel.checkpoint()
        assert await ask("quick", "greedy") == BUSY
        for other in range(20):
            assert await ask("quick", f"other {other}") == '"quick"'
        for other in range(9):
            tasks.start_soon(ask, "held", f"another {other}")
        while gate.running < 110:
            await anyio.lowlevel.checkpoint()
        assert await ask("quick", "one more") == BUSY
        gate.let_go.set()

    with anyio.fail_after(20):
        for _ in range(2):
            gate.let_go = anyio.Event()
            async with anyio.create_task_group() as tasks:
                await take_all(tasks)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("era", ERAS)
async def test_a_made_up_key_beside_a_real_one_gets_no_more_places(era: Era) -> None:
    """C6, F2: each that is shown has its own share, as only the app knows which one it looks at."""
    gate = Gate(Limits(max_concurrency=100))

    async def ask(tool: str, key: str, name: str = "greedy") -> str:
        shown = {"X-Api-Key": key, "Authorization": f"Bearer {name}"}
        return (await call(gate.app, tool, era=era, headers=shown)).text_content

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(101):
                tasks.start_soon(ask, "held", f"made up {number}")
            while gate.running < 101:
                await anyio.lowlevel.checkpoint()
            assert await ask("quick", "made up") == BUSY
            assert await ask("quick", "other", "other") == '"quick"'
            gate.let_go.set()


@pytest.mark.usefixtures("impatient")
async def test_a_tool_with_places_of_its_own_keeps_some_for_others_too() -> None:
    """C6."""
    gate = Gate(Limits(), {"max_concurrency": 100})

    async def ask(key: str) -> str:
        return (await call(gate.app, "held", headers={"X-Api-Key": key})).text_content

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(101):
                tasks.start_soon(ask, "greedy")
            while gate.running < 101:
                await anyio.lowlevel.checkpoint()
            assert await ask("greedy") == BUSY
            tasks.start_soon(ask, "other")
            while gate.running < 102:
                await anyio.lowlevel.checkpoint()
            gate.let_go.set()


@pytest.mark.usefixtures("impatient")
async def test_few_places_are_for_whoever_comes_first() -> None:
    """C6: a small number protects what is behind the app, and is meant to the letter."""
    gate = Gate(Limits(max_concurrency=99))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(99):
                tasks.start_soon(call, gate.app, "held")
            while gate.running < 99:
                await anyio.lowlevel.checkpoint()
            other = await call(gate.app, "quick", headers={"X-Api-Key": "other"})
            assert other.text_content == BUSY
            gate.let_go.set()


Failing = Callable[[FastAPI, Era], Awaitable[object]]


async def _refused(app: FastAPI, era: Era) -> None:
    await call(app, "quick", {"unknown": 1}, era=era)


async def _failed(app: FastAPI, era: Era) -> None:
    await call(app, "missing", era=era)
    await call(app, "raising", era=era)


async def _late(app: FastAPI, era: Era) -> None:
    await call(app, "stuck", era=era)


async def _cut(app: FastAPI, era: Era) -> None:
    assert "max_bytes" in (await call(app, "endless", era=era)).text_content


async def _left(app: FastAPI, era: Era) -> None:
    own, body = envelope(era, "tools/call", {"name": "endless", "arguments": {}}, token="p")
    async with streamed(app, "POST", "/mcp", body, headers=own) as it:
        await it.chunk()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("fail", [_refused, _failed, _late, _cut, _left])
async def test_a_place_is_given_back_however_a_call_ends(fail: Failing, era: Era) -> None:
    """C6: after errors, limits, timeouts, streams and callers who left."""
    gate = Gate(Limits(max_concurrency=1, max_bytes=100_000, timeout=1))
    with anyio.fail_after(20):
        await fail(gate.app, era)
        assert (await call(gate.app, "quick", era=era)).text_content == '"quick"'


async def test_a_place_is_given_back_when_a_call_is_cancelled_while_it_waits_or_runs() -> None:
    """C6: nobody waits for the answer any more, so nobody has the place."""
    gate = Gate(Limits(max_concurrency=1))
    with anyio.fail_after(20):
        async with connected(gate.app, "modern") as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "held")
            await gate.entered.wait()
            tasks.start_soon(client.call_tool, "quick")
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert (await call(gate.app, "quick")).text_content == '"quick"'


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("era", ERAS)
async def test_calls_within_calls_end_where_they_would_wait_for_each_other(era: Era) -> None:
    """C6: the inner call is told that there is no place; nobody hangs."""
    app = FastAPI()
    mounted = mount_mcp(app, limits=Limits(max_concurrency=2))

    @app.get("/inner")
    async def inner() -> str:
        return "inner"

    @app.get("/outer")
    async def outer() -> str:
        async with Client(mounted.server) as client:
            result = await client.call_tool("inner", raise_on_error=False)
        return str(result.content[0].text)

    replies: list[str] = []

    async def one() -> None:
        replies.append((await call(app, "outer", era=era)).text_content)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            tasks.start_soon(one)
        assert any(BUSY in reply for reply in replies)
        assert "inner" in (await call(app, "outer", era=era)).text_content


@pytest.mark.faults
@pytest.mark.parametrize("era", ERAS)
async def test_a_thousand_calls_at_once_are_fine_by_default(era: Era) -> None:
    """C6: all of them run, and all are answered."""
    gate = Gate(Limits())
    replies: list[Reply] = []

    async def one() -> None:
        replies.append(await call(gate.app, "held", era=era))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(1_000):
                tasks.start_soon(one)
            while gate.running < 1_000:
                await anyio.lowlevel.checkpoint()
            gate.let_go.set()
    assert {reply.text_content for reply in replies} == {'"done"'}
    assert len(replies) == 1_000


@pytest.mark.parametrize("era", ERAS)
def test_each_request_may_have_an_event_loop_of_its_own(era: Era) -> None:
    """C6, M3: as under Starlette's `TestClient` without `with`."""
    client = TestClient(Gate(Limits(max_concurrency=1)).app)
    headers, body = envelope(era, "tools/call", {"name": "quick", "arguments": {}})
    for _ in range(3):
        reply = client.post("/mcp", headers=headers, json=body)
        assert "quick" in reply.text
        assert BUSY not in reply.text


def test_two_servers_in_two_threads_may_share_an_app() -> None:
    """C6: places are counted in each loop; a call that waits is woken in its own."""
    app = FastAPI()
    waiting = threading.Barrier(2, timeout=20)

    @app.get("/both")
    async def both() -> str:
        await anyio.to_thread.run_sync(waiting.wait)
        return "both"

    mount_mcp(app, limits=Limits(max_concurrency=1))
    headers, body = envelope("modern", "tools/call", {"name": "both", "arguments": {}})

    def ask(url: str) -> str:
        reply = httpx2.post(f"{url}/mcp", headers=headers, json=body, timeout=30)
        return str(json.loads(reply.text)["result"]["content"][0]["text"])

    with served(app) as one, served(app) as other, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, [one, other, one, other])) == {'"both"'}
    assert headers["mcp-protocol-version"] == MODERN


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("limiter", [anyio.Semaphore, anyio.CapacityLimiter])
async def test_middleware_that_passes_on_the_endpoint_bounds_calls_as_it_does_requests(
    era: Era, limiter: Callable[[int], AbstractAsyncContextManager[object]]
) -> None:
    """C2: a call is two requests; the one to its route is what takes the place."""

    class OneAtATime:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app
            self.place = limiter(1)

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/mcp":
                await self.app(scope, receive, send)
                return
            async with self.place:
                await self.app(scope, receive, send)

    app = FastAPI()
    running, most = 0, 0

    @app.get("/one")
    async def one() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1

    mount_mcp(app)
    app.add_middleware(OneAtATime)
    replies: list[Reply] = []

    async def make() -> None:
        replies.append(await call(app, "one", era=era))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(make)
    assert [reply.is_error for reply in replies] == [False] * 5
    assert most == 1


async def test_a_caller_who_is_named_twice_takes_one_slot() -> None:
    """C8: else a call would wait for itself."""
    slots = CallerSlots(1, 0.05)
    async with slots.held(["a", "a"]):
        pass
