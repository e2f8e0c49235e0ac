"""When the caller goes, the route is told first, then cancelled, and what it opened is closed."""

import gc
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import anyio
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from fastmcp.server.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import Limits, mount_mcp
from tests.leaving import build_streams, calling
from tests.support import ERAS, Era, call, envelope


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


KINDS = ["text", "lines", "events", "silent", "thread"]


@pytest.mark.parametrize("version", ["2.3", "2.4"])
@pytest.mark.parametrize("tool", KINDS)
async def test_closing_the_response_closes_generators_and_dependencies(
    tool: str, version: str
) -> None:
    """C7: modern: `finally` of the generator runs, and so does that of its dependencies."""
    log: list[str] = []
    app = build_streams(log)
    mount_mcp(app)
    async with calling(app, "modern", tool, version=version):
        assert log == []
    # The loop closes a generator that nobody holds any more, in a task of its own. Of one that a
    # thread was in the midst of, a cycle may be left.
    if tool == "thread":
        gc.collect()
    await anyio.wait_all_tasks_blocked()
    assert sorted(log) == ["dependency closed", "generator closed"]


@pytest.mark.parametrize("tool", KINDS)
async def test_generators_are_closed_under_base_http_middleware(tool: str) -> None:
    """C7: modern: as above; this middleware cancels its route itself, which leaves a cycle."""
    log: list[str] = []
    app = build_streams(log)
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    mount_mcp(app)
    async with calling(app, "modern", tool):
        assert log == []
    gc.collect()
    await anyio.wait_all_tasks_blocked()
    assert sorted(log) == ["dependency closed", "generator closed"]


async def test_a_route_is_told_before_it_is_cancelled() -> None:
    """C7: `request.is_disconnected()` is true, and the route may still tidy up as it likes."""
    log: list[str] = []
    app = FastAPI()

    @app.get("/polite")
    async def polite(request: Request) -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            yield "x"
            while not await request.is_disconnected():  # noqa: ASYNC110 - as routes do
                await anyio.sleep(0.01)
            log.append("told")
            await anyio.sleep(0.01)
            log.append("tidied")

        return StreamingResponse(chunks(), media_type="text/plain")

    mount_mcp(app)
    async with calling(app, "modern", "polite"):
        assert log == []
    assert log == ["told", "tidied"]


async def test_a_route_that_waits_for_the_disconnect_gets_it() -> None:
    """C7: `receive` gives `http.disconnect`, as often as it is asked."""
    received: list[Message] = []
    app = FastAPI()

    @app.get("/waits")
    async def waits(request: Request) -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            yield "x"
            received.extend([await request.receive(), await request.receive()])

        await request.body()
        return StreamingResponse(chunks(), media_type="text/plain")

    mount_mcp(app)
    async with calling(app, "modern", "waits"):
        assert received == []
    assert received == [{"type": "http.disconnect"}] * 2


async def test_a_route_that_does_not_listen_is_cancelled() -> None:
    """C7: a short grace after it was told, the route's task is cancelled."""
    log: list[str] = []
    app = FastAPI()

    @app.get("/deaf")
    async def deaf(request: Request) -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            yield "x"
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                # Told first: it could have known.
                log.append(f"cancelled, gone: {request.scope['gone'].is_set()}")
                raise

        return StreamingResponse(chunks(), media_type="text/plain")

    class WatchDisconnect:
        """Tells, in the scope, that `receive` has given `http.disconnect`."""

        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["gone"] = anyio.Event()

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                scope["gone"].set()

            if "mcp_mount.tool" not in scope:
                await self.app(scope, receive, send)
                return
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                await self.app(scope, receive, send)

    app.add_middleware(WatchDisconnect)
    mount_mcp(app)
    async with calling(app, "modern", "deaf"):
        assert log == []
    assert log == ["cancelled, gone: True"]


async def test_a_route_that_waits_for_its_reader_is_told_and_not_just_cancelled() -> None:
    """C7: who waits in `send` for a reader that goes gets an error there, as from a server."""
    log: list[str] = []
    app = FastAPI()

    class Sends(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            try:
                while True:
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
            except OSError:
                log.append("told")

    @app.get("/fast")
    async def fast() -> Sends:
        return Sends()

    mount_mcp(app)
    async with calling(app, "modern", "fast"):
        # Nobody reads any more, so the route is, or will soon be, waiting in `send`.
        await anyio.wait_all_tasks_blocked()
        assert log == []
    assert log == ["told"]


async def test_whoever_cancels_the_request_lets_the_route_be_told() -> None:
    """C7: middleware that ends a request after its time ends the route as gently as a client."""
    log: list[str] = []
    app = FastAPI()
    began = anyio.Event()

    @app.get("/polite")
    async def polite(request: Request) -> str:
        began.set()
        while not await request.is_disconnected():  # noqa: ASYNC110 - as routes do
            await anyio.sleep(0.01)
        log.append("told")
        await anyio.sleep(0.01)
        log.append("tidied")
        return "unread"

    mount_mcp(app).server.add_middleware(Middleware())
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, app, "polite")
            await began.wait()
            tasks.cancel_scope.cancel()
    assert log == ["told", "tidied"]


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("era", ERAS)
async def test_middleware_that_waits_for_a_response_gets_one_when_the_client_has_gone(
    era: Era, *, lane: bool
) -> None:
    """C7: otherwise it raises an exception, and the log has a traceback for each such client."""
    statuses: list[int] = []
    running = anyio.Event()
    app = FastAPI()

    @app.middleware("http")
    async def note(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        if request.url.path == "/mcp":
            statuses.append(response.status_code)
        return response

    @app.get("/slow")
    async def slow() -> None:
        running.set()
        await anyio.sleep_forever()

    # A client of the handshake versions may go without its call being over, which then runs on.
    server = mount_mcp(app, limits=Limits(timeout=0.2)).server
    if not lane:
        server.add_middleware(Middleware())
    headers, body = envelope(era, "tools/call", {"name": "slow", "arguments": {}})
    parts = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await running.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise OSError("The client is gone.")

    scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": raw, "query_string": b""}
    with anyio.fail_after(30), suppress(OSError):
        await app(
            {**scope, "root_path": "", "scheme": "http", "asgi": {"version": "3.0"}}, receive, send
        )
    assert statuses == [499]
