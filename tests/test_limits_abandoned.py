"""Handshake calls whose clients have left: they go on, unless somebody who waits needs the slot."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Scope

from mcp_mount import Limits, mount_mcp
from tests.starting import started
from tests.support import LEGACY, call, envelope, rpc
from tests.ways import Way, either_way, force

BUSY = "Too many calls are running. Try again in a few seconds."


class Slow:
    """An app whose tool ``slow`` never ends by itself, beside one that does at once."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.begun = self.ended = 0
        self.changed = anyio.Event()

        @self.app.get("/slow")
        async def slow() -> None:
            await self.run()

        @self.app.get("/quick")
        async def quick() -> str:
            return "quick"

    async def run(self) -> None:
        """Do what ``slow`` does."""
        self.begun += 1
        self._tell()
        try:
            await anyio.sleep_forever()
        finally:
            self.ended += 1
            self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Client:
    """One that sends a call, and leaves when it is told to."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self.leave = anyio.Event()
        self.has_left = anyio.Event()
        self._app = app
        self._headers = headers
        own, self._body = envelope("legacy", "tools/call", {"name": "slow", "arguments": {}})
        self._headers = {**own, **headers}

    async def call(self) -> None:
        waiting = [json.dumps(self._body).encode()]

        async def receive() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(), "more_body": False}
            await self.leave.wait()
            self.has_left.set()
            return {"type": "http.disconnect"}

        async def send(_: Message) -> None:
            """Drop what is written, as servers do when the client has gone."""

        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/mcp",
            "raw_path": b"/mcp",
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in self._headers.items()],
            "client": ("127.0.0.1", 40_000),
            "server": ("localhost", 8000),
        }
        await self._app(scope, receive, send)


async def leave_behind(
    app: ASGIApp, slow: Slow, count: int, tasks: TaskGroup, headers: dict[str, str]
) -> None:
    """Begin calls, and leave each of them."""
    clients = [Client(app, headers) for _ in range(count)]
    for client in clients:
        tasks.start_soon(client.call)
    while slow.begun < count:
        await slow.changed.wait()
    for client in clients:
        client.leave.set()
    for client in clients:
        await client.has_left.wait()
    await anyio.wait_all_tasks_blocked()


@asynccontextmanager
async def running(
    way: Way, *, sessions: bool, limits: Limits
) -> AsyncIterator[tuple[Slow, ASGIApp, dict[str, str], TaskGroup]]:
    slow = Slow()
    force(mount_mcp(slow.app, limits=limits, sessions=sessions), way)
    with anyio.fail_after(20):
        async with started(slow.app) as app, anyio.create_task_group() as tasks:
            yield slow, app, await session_of(app) if sessions else {}, tasks
            tasks.cancel_scope.cancel()


async def session_of(app: ASGIApp) -> dict[str, str]:
    client = {"name": "client", "version": "1"}
    params: dict[str, Any] = {
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": client,
    }
    reply = await rpc(app, "legacy", "initialize", params)
    return {"mcp-session-id": reply.headers["mcp-session-id"]}


# The SDK leaves a stream open when the client of a session's call goes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("sessions", [False, True])
@either_way
async def test_calls_whose_clients_have_left_give_way(
    way: Way, caplog: pytest.LogCaptureFixture, *, sessions: bool
) -> None:
    """F2: nobody is locked out by whoever sends calls and leaves them."""
    caplog.set_level(logging.INFO, "mcp_mount.calls")
    limits = Limits(max_concurrency=3)
    async with running(way, sessions=sessions, limits=limits) as (slow, app, session, tasks):
        await leave_behind(app, slow, 3, tasks, session)
        assert slow.ended == 0, "nobody else needs their slots"
        assert (await call(app, "quick")).text_content == '"quick"'
        assert slow.ended == 3
    outcomes = [each.call["outcome"] for each in caplog.records if hasattr(each, "call")]
    assert outcomes.count("ok") == 1
    assert "failed" not in outcomes


@either_way
async def test_who_waits_for_a_slot_and_leaves_gets_none(way: Way) -> None:
    """F2: others wait behind it for an answer."""
    async with running(way, sessions=False, limits=Limits(max_concurrency=1)) as it:
        slow, app, _, tasks = it
        holder, waiter = Client(app, {}), Client(app, {})
        tasks.start_soon(holder.call)
        while slow.begun < 1:
            await slow.changed.wait()
        ended = anyio.Event()

        async def wait() -> None:
            await waiter.call()
            ended.set()

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        waiter.leave.set()
        with anyio.fail_after(0.9):
            await ended.wait()
        assert slow.begun == 1


@pytest.mark.parametrize("sessions", [False, True])
@either_way
async def test_a_client_that_waits_is_not_sent_away(way: Way, *, sessions: bool) -> None:
    """C6: only calls that were left give way."""
    limits = Limits(max_concurrency=1)
    async with running(way, sessions=sessions, limits=limits) as (slow, app, session, tasks):
        tasks.start_soon(Client(app, session).call)
        while slow.begun < 1:
            await slow.changed.wait()
        assert (await call(app, "quick")).text_content == BUSY
        assert slow.ended == 0
