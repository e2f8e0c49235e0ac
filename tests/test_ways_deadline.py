"""Every call ends at its deadline, whatever it waits for, and whichever way it goes."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.types import Message

from mcp_mount import Limits, RateLimit, mount_mcp
from tests.counting import CountsNothing
from tests.lanes import Visit, called
from tests.support import ERAS, Era, read_messages
from tests.ways import Way, either_way, force

pytestmark = [either_way, pytest.mark.parametrize("era", ERAS)]

SHORT = 0.1
"""Seconds that the calls here may take."""


async def listen(request: Request) -> None:
    """Wait, as a route does that ends at once when its client goes."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Delayed:
    """An app whose tool ``wait`` waits for its place, and then for its client to go."""

    def __init__(self, way: Way, **options: Any) -> None:
        self.app = FastAPI()
        self.release = anyio.Event()
        self.began = anyio.Event()
        self.log: list[str] = []

        @self.app.get("/hold", openapi_extra={"x-mcp": {"limits": {"timeout": 60}}})
        async def hold() -> str:
            await self.release.wait()
            return "held"

        @self.app.get("/wait")
        async def wait(request: Request) -> str:
            self.began.set()
            self.log.append("began")
            try:
                await listen(request)
            finally:
                self.log.append("ended")
            return "late"

        # It has a place of its own, and ends at its deadline: what began before it is late then.
        own = {"x-mcp": {"limits": {"max_concurrency": 1}}}

        @self.app.get("/clock", openapi_extra=own)
        async def clock(request: Request) -> str:
            await listen(request)
            return "late"

        limits = Limits(timeout=SHORT, max_concurrency=1)
        force(mount_mcp(self.app, limits=limits, **options), way)

    @asynccontextmanager
    async def kept_waiting(self, visit: Visit) -> AsyncIterator[TaskGroup]:
        """Have a call wait for its place until its deadline has passed, then give it the place."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Visit("modern", "hold").run, self.app)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(visit.run, self.app)
            await anyio.wait_all_tasks_blocked()
            assert "seconds" in (await called(self.app, "modern", "clock")).text
            self.release.set()
            yield tasks


async def test_a_call_that_waited_for_its_place_past_its_deadline_has_one_still(
    way: Way, era: Era
) -> None:
    """C6: it may be told at its deadline, or be given its time once it runs; it ends."""
    delayed, visit = Delayed(way), Visit(era, "wait")
    with anyio.fail_after(30):
        async with delayed.kept_waiting(visit):
            await visit.complete.wait()
    (message,) = read_messages(visit.content_type, visit.body.decode())
    assert message["result"]["isError"], message
    assert delayed.log in ([], ["began", "ended"])


async def test_a_client_that_leaves_ends_a_call_that_waited_past_its_deadline(
    way: Way, era: Era
) -> None:
    """C7: modern, when it goes; in the handshake versions at the deadline at the latest."""
    delayed, visit = Delayed(way), Visit(era, "wait")
    with anyio.fail_after(30):
        async with delayed.kept_waiting(visit):
            async with anyio.create_task_group() as either:

                async def wait_for(event: anyio.Event) -> None:
                    await event.wait()
                    either.cancel_scope.cancel()

                either.start_soon(wait_for, delayed.began)
                either.start_soon(wait_for, visit.complete)
            visit.gone.set()
    assert delayed.log in ([], ["began", "ended"])


class SlowStorage(CountsNothing):
    """A store that lets every call in, once it is told to answer."""

    STORAGE_SCHEME = ["slow"]  # noqa: RUF012 - the library's declaration
    asked: threading.Event
    answers: threading.Event

    def acquire_sliding_window_entry(self, *_: Any, **__: Any) -> bool:
        self.asked.set()
        self.answers.wait(10)
        return True


@pytest.fixture
def answers() -> Iterator[threading.Event]:
    """Let the slow store answer."""
    SlowStorage.asked, SlowStorage.answers = threading.Event(), threading.Event()
    yield SlowStorage.answers
    SlowStorage.answers.set()


async def test_a_slow_store_does_not_take_a_calls_deadline_from_it(
    way: Way, era: Era, answers: threading.Event
) -> None:
    """C6: as long as a call waits to be counted, and after that."""
    app, log = FastAPI(), []

    @app.get("/wait")
    async def wait(request: Request) -> str:
        try:
            await listen(request)
        finally:
            log.append("ended")
        return "late"

    limit = RateLimit("1000/minute", storage="slow://")
    force(mount_mcp(app, limits=Limits(timeout=SHORT), rate_limit=limit), way)
    clock = FastAPI()
    clock.add_api_route("/clock", listen)
    mount_mcp(clock, limits=Limits(timeout=SHORT))
    visit = Visit(era, "wait")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.run, app)
            await anyio.to_thread.run_sync(SlowStorage.asked.wait)
            assert "seconds" in (await called(clock, "modern", "listen")).text
            answers.set()
            await visit.complete.wait()
    (message,) = read_messages(visit.content_type, visit.body.decode())
    assert message["result"]["isError"], message
    assert log in ([], ["ended"])


class StalledReader(Visit):
    """A client that reads no further than the n-th part of the body."""

    def __init__(self, era: Era, tool: str, part: int) -> None:
        super().__init__(era, tool, token="t")
        self._parts = part
        self.stalled = anyio.Event()

    async def _send(self, message: Message) -> None:
        await super()._send(message)
        if message["type"] == "http.response.body":
            self._parts -= 1
            if self._parts == 0:
                self.stalled.set()
                await anyio.sleep_forever()


STREAMS = {
    "lines": ("application/jsonl", ['{"n":1}\n{"n":2}']),
    "parts": ("application/jsonl", ['{"n":1}\n', '{"n":2}\n', '{"n":3}']),
    "events": ("text/event-stream", ["data: 1\n\n", "data: 2\n\n", "data: 3"]),
    "text": ("text/plain", ["one ", "two ", "three"]),
}


@pytest.mark.parametrize("part", [1, 2])
@pytest.mark.parametrize("kind", STREAMS)
async def test_a_reader_that_stalls_does_not_keep_its_place_after_the_deadline(
    way: Way, era: Era, kind: str, part: int
) -> None:
    """C6, F2: others get it, wherever in the stream the client reads no further."""
    app = FastAPI()
    media_type, chunks = STREAMS[kind]

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            for chunk in chunks:
                yield chunk

        return StreamingResponse(body(), media_type=media_type)

    @app.get("/other")
    async def other() -> str:
        return "served"

    force(mount_mcp(app, limits=Limits(timeout=SHORT, max_concurrency=1)), way)
    reader = StalledReader(era, "stream", part)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(reader.run, app)
            await reader.stalled.wait()
            answer = await called(app, era, "other")
            tasks.cancel_scope.cancel()
    assert "served" in answer.text
