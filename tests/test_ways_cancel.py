"""What cancels a request cancels its call, and what fails on the way out is not the route's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any

import anyio
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import mount_mcp
from tests.lanes import called, request_of, scope_of
from tests.support import ERAS, Era
from tests.ways import Way, either_way, force

pytestmark = [either_way, pytest.mark.parametrize("era", ERAS)]


class Expiring:
    """Middleware with a time limit, as asyncio has it, that ends when a test says so."""

    def __init__(self, app: ASGIApp, expiry: "Expiry") -> None:
        self.app = app
        self.expiry = expiry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self.expiry.paths:
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(None) as self.expiry.timeout:
                await self.app(scope, receive, send)
        except TimeoutError:
            await JSONResponse({"detail": "Too slow"}, 504)(scope, receive, send)


class Expiry:
    """The time limit of the requests to some paths."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths
        self.timeout: asyncio.Timeout | None = None

    def expire(self) -> None:
        assert self.timeout is not None
        self.timeout.reschedule(asyncio.get_running_loop().time())


def expiring_app(way: Way, expiry: Expiry, log: list[str]) -> FastAPI:
    """Return an app with the tool ``wait``, whose request expires as soon as it has begun."""
    app = FastAPI()

    @app.get("/wait")
    async def wait() -> str:
        expiry.expire()
        try:
            await anyio.sleep_forever()
        finally:
            log.append("ended")
        return "never"

    force(mount_mcp(app), way)
    return app


@pytest.mark.parametrize("is_outside", [True, False])
async def test_a_time_limit_around_the_mcp_request_ends_it(
    way: Way, era: Era, *, is_outside: bool
) -> None:
    """C8: with what the middleware answers, as over REST, be it the app's or around the app."""
    log: list[str] = []
    expiry = Expiry("/mcp")
    app = expiring_app(way, expiry, log)
    served: ASGIApp = app
    if is_outside:
        served = Expiring(app, expiry)
    else:
        app.add_middleware(Expiring, expiry=expiry)
    answer = await called(served, era, "wait")
    assert (answer.status, answer.messages, log) == (504, [{"detail": "Too slow"}], ["ended"])


async def test_a_time_limit_of_the_apps_own_ends_the_call_inside(way: Way, era: Era) -> None:
    """C2, C8: the tool's result is what the middleware answers over REST."""
    log: list[str] = []
    expiry = Expiry("/wait")
    app = expiring_app(way, expiry, log)
    app.add_middleware(Expiring, expiry=expiry)
    answer = await called(app, era, "wait")
    assert (answer.status, answer.result["isError"], log) == (200, True, ["ended"])
    assert "504" in answer.text
    assert "Too slow" in answer.text


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_whoever_cancels_the_request_is_told_that_it_was_cancelled(
    way: Way, era: Era, *, is_streamed: bool
) -> None:
    """C8: `CancelledError` comes out of the request's task, and the route has ended by then."""
    app = FastAPI()
    began = anyio.Event()
    log: list[str] = []

    async def parts() -> AsyncIterator[str]:
        try:
            yield "one"
            began.set()
            await anyio.sleep_forever()
        finally:
            log.append("ended")

    @app.get("/wait")
    async def wait() -> StreamingResponse:
        if is_streamed:
            return StreamingResponse(parts(), media_type="text/plain")
        async for _ in parts():
            pass
        raise AssertionError

    force(mount_mcp(app), way)
    # The client stays; it is the server, or what serves the app, that cancels.
    task = asyncio.create_task(called(app, era, "wait"))
    with anyio.fail_after(30):
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert task.cancelled()
    assert log == ["ended"]


async def test_a_cancellation_while_a_call_waits_for_its_place_comes_out(
    way: Way, era: Era
) -> None:
    """C8: nothing of the call runs after it."""
    app, log = FastAPI(), []
    release, began = anyio.Event(), anyio.Event()

    @app.get("/held", openapi_extra={"x-mcp": {"limits": {"max_concurrency": 1}}})
    async def held() -> str:
        log.append("held")
        began.set()
        await release.wait()
        return "done"

    force(mount_mcp(app), way)
    first = asyncio.create_task(called(app, era, "held"))
    with anyio.fail_after(30):
        await began.wait()
        second = asyncio.create_task(called(app, era, "held"))
        await anyio.wait_all_tasks_blocked()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        release.set()
        assert "done" in (await first).text
    assert log == ["held"]


class Journal:
    """What the parts of an app were given to handle, for its own requests."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.background = anyio.Event()


class Noting:
    """Middleware that notes what it is left with."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self.app = app
        self.journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            if scope["path"] != "/mcp":
                self.journal.entries.append(f"middleware: {error!r}")
            raise


def journalling_app(journal: Journal, way: Way) -> FastAPI:
    """Return an app that notes every exception which it sees, and whether its task has run."""
    app = FastAPI()
    app.add_middleware(Noting, journal=journal)

    for kind in (OSError, Exception):

        @app.exception_handler(kind)
        async def handler(request: Request, error: Exception) -> JSONResponse:
            if request.url.path != "/mcp":
                journal.entries.append(f"handler: {error!r}")
            return JSONResponse({"detail": "handled"}, 500)

    async def resource() -> AsyncIterator[None]:
        try:
            yield
        except Exception as error:
            journal.entries.append(f"dependency: {error!r}")
            raise

    @app.get("/whole")
    async def whole(tasks: BackgroundTasks, _: Annotated[None, Depends(resource)]) -> str:
        tasks.add_task(journal.background.set)
        return "whole"

    @app.get("/stream")
    async def stream(tasks: BackgroundTasks, _: Annotated[None, Depends(resource)]) -> Any:
        tasks.add_task(journal.background.set)

        async def parts() -> AsyncIterator[str]:
            try:
                yield "one"
                yield "two"
            except Exception as error:
                journal.entries.append(f"generator: {error!r}")
                raise

        return StreamingResponse(parts(), media_type="text/plain", background=tasks)

    force(mount_mcp(app), way)
    return app


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
@pytest.mark.parametrize("tool", ["whole", "stream"])
async def test_what_the_servers_send_raises_is_not_raised_in_the_route(
    way: Way, era: Era, tool: str, kind: type[Exception]
) -> None:
    """C8: its handlers would answer for what is not its own, and its background task not run."""
    journal = Journal()
    app = journalling_app(journal, way)
    headers, body = request_of(era, "tools/call", {"name": tool, "arguments": {}})
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not waiting:
            # The server does not know yet that the connection is broken.
            await anyio.sleep_forever()
        return waiting.pop()

    async def send(message: Message) -> None:
        raise kind("the connection is broken")

    with anyio.fail_after(30):
        # The server may be told of what it has raised itself.
        with suppress(kind, BaseExceptionGroup):
            await app(scope_of(headers), receive, send)
    assert journal.entries == []
    assert journal.background.is_set()
