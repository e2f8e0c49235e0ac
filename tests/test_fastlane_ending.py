"""How a call of the fast lane ends: for its client, its route, and what both of them hold."""

import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from fastapi import BackgroundTasks, FastAPI, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from mcp_mount import Limits, RateLimit, mount_mcp
from tests.kinds import every_kind
from tests.lanes import Visit, called, closed, exchange, handled_by_fastmcp, request_of
from tests.support import ERAS, Era, call, read_messages

pytestmark = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes here do not listen."""
    monkeypatch.setattr("mcp_mount.backends.app_call.GRACE", 0.01)


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    records: list[Any] = [each for each in caplog.records if each.name == "mcp_mount.calls"]
    return [record.call["outcome"] for record in records]


def waiting_app(log: list[str], **limits: Any) -> tuple[FastAPI, anyio.Event]:
    """Return an app with the tool ``wait``, which never answers, and what it sets when it runs."""
    app = FastAPI()
    began = anyio.Event()

    @app.get("/wait")
    async def wait() -> str:
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            log.append("ended")
        return "never"

    mount_mcp(app, limits=Limits(**limits))
    return app, began


async def test_a_client_that_goes_ends_the_call_or_leaves_it_to_its_deadline(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """C7: modern, at once; in the handshake versions a lost connection is no cancellation."""
    caplog.set_level(logging.INFO)
    log: list[str] = []
    app, began = waiting_app(log, timeout=60 if era == "modern" else 0.1)
    visit = Visit(era, "wait")
    with anyio.fail_after(30), handled_by_fastmcp() as handled:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.run, app)
            await began.wait()
            visit.gone.set()
    assert (log, handled) == (["ended"], [])
    assert outcomes(caplog) == ["cancelled" if era == "modern" else "error"]


async def test_pings_to_nobody_do_not_keep_a_call_from_its_deadline(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C6: a server may raise when something is sent to a client that is gone."""
    monkeypatch.setattr("mcp_mount.fastpath.responder._PING", 0.01)
    log: list[str] = []
    app, began = waiting_app(log, timeout=0.2)
    visit = Visit(era, "wait")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.run, app)
            await began.wait()
            visit.gone.set()
    assert log == ["ended"]


async def test_a_client_may_go_while_its_call_waits_for_a_place(era: Era) -> None:
    """C7: others are served meanwhile, and the place is given to one who is there."""
    app = FastAPI()
    release = anyio.Event()

    @app.get("/held")
    async def held() -> str:
        await release.wait()
        return "done"

    mount_mcp(app, limits=Limits(max_concurrency=1))
    first, second = Visit(era, "held"), Visit(era, "held")
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run, app)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(second.run, app)
            # Until its call is watched.
            await anyio.sleep(0.1)
            second.gone.set()
            await anyio.sleep(0.05)
            release.set()
        assert (await called(app, era, "held")).text == '"done"'
    assert b"done" in first.body
    assert second.body == b""


@pytest.mark.parametrize("redirects", [True, False])
async def test_an_answer_does_not_wait_for_background_tasks(era: Era, *, redirects: bool) -> None:
    """C8: they run on after it, also when the client goes then."""
    app = FastAPI()
    release = anyio.Event()
    log: list[str] = []

    async def later() -> None:
        await release.wait()
        log.append("later")

    @app.get("/first")
    async def first(tasks: BackgroundTasks) -> Response:
        tasks.add_task(later)
        return RedirectResponse("/second", background=tasks) if redirects else Response("arrived")

    @app.get("/second")
    async def second(tasks: BackgroundTasks) -> str:
        tasks.add_task(later)
        return "arrived"

    mount_mcp(app, limits=Limits(timeout=0.5))
    visit = Visit(era, "first")
    with anyio.fail_after(30), handled_by_fastmcp() as handled:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.run, app)
            await visit.complete.wait()
            visit.gone.set()
            assert log == []
            await anyio.sleep(0.1)
            release.set()
    assert log == ["later"] * (2 if redirects else 1)
    assert handled == []
    assert read_messages(visit.content_type, visit.body.decode())[-1]["result"]["isError"] is False


async def test_a_redirect_whose_body_hangs_ends_at_the_deadline(era: Era) -> None:
    """C6: and so does what it leads to."""
    app = FastAPI()

    async def chunks() -> Any:
        yield b"x"
        await anyio.sleep_forever()

    @app.get("/first")
    async def first() -> Response:
        return StreamingResponse(chunks(), 307, {"location": "/second"})

    @app.get("/second")
    async def second() -> None:
        await anyio.sleep_forever()

    mount_mcp(app, limits=Limits(timeout=0.1))
    with anyio.fail_after(30):
        answer = await called(app, era, "first")
    assert "0.1 seconds" in answer.text


async def test_a_route_that_goes_on_after_its_limit_is_stopped(era: Era) -> None:
    """C6: it is told, and then cancelled, although its answer is written."""
    log: list[str] = []

    class Stubborn(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            try:
                await send({"type": "http.response.body", "body": b"x" * 50, "more_body": True})
            except OSError:
                log.append("told")
            try:
                await anyio.sleep_forever()
            finally:
                log.append("cancelled")

    app = FastAPI()

    @app.get("/stubborn")
    async def stubborn() -> Response:
        return Stubborn()

    mount_mcp(app, limits=Limits(max_bytes=9))
    with anyio.fail_after(30), handled_by_fastmcp() as handled:
        answer = await called(app, era, "stubborn")
    assert "9 bytes" in answer.result["content"][-1]["text"]
    assert (log, handled) == (["told", "cancelled"], [])


async def test_a_route_in_a_thread_does_not_hold_the_answer_back(era: Era) -> None:
    """C6, F2: the line is written with the answer; the thread keeps its place until it ends."""
    app = FastAPI()
    release = threading.Event()

    @app.get("/deaf")
    def deaf(wait: bool = True) -> str:  # noqa: FBT001, FBT002
        if wait:
            release.wait()
        return "late"

    mount_mcp(app, limits=Limits(timeout=0.1, max_concurrency=1))
    visit = Visit(era, "deaf")
    try:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(visit.run, app)
                await visit.complete.wait()
                assert not release.is_set()
                busy = await called(app, era, "deaf", {"wait": False})
                release.set()
    finally:
        release.set()
    assert b"0.1 seconds" in visit.body
    assert "Too many calls" in busy.text
    assert (await called(app, era, "deaf", {"wait": False})).text == '"late"'


async def test_silence_begins_a_stream_with_pings(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X2: as the SDK's does, and the result is one event of it, whatever its line breaks."""
    monkeypatch.setattr("mcp_mount.fastpath.responder._PING", 0.01)
    app = FastAPI()
    release = anyio.Event()

    @app.get("/slow", response_model=dict[str, str])
    async def slow() -> Response:
        await release.wait()
        return Response(b'{\r\n"a":\n"\xe2\x80\xa8"\r}', media_type="application/json")

    mount_mcp(app)
    visit = Visit(era, "slow")
    with anyio.fail_after(30), handled_by_fastmcp() as handled:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.run, app)
            await visit.begun.wait()
            assert visit.body.startswith(b": ping\r\n\r\n")
            release.set()
    assert (visit.content_type, handled) == ("text/event-stream", [])
    (message,) = read_messages(visit.content_type, visit.body.decode())
    assert message["result"]["structuredContent"] == {"a": "\u2028"}


CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("nothing", {}, "ok"),
    ("fails", {}, "error"),
    ("fails", {"how": "teapot"}, "error"),
    ("slow", {}, "error"),
    ("capped", {}, "error"),
    ("redirect", {"to": "/nothing"}, "ok"),
    ("nothing", {"unknown": 1}, "refused"),
]


@pytest.mark.parametrize("lane", [True, False])
async def test_each_call_is_counted_and_logged_once(
    era: Era, caplog: pytest.LogCaptureFixture, *, lane: bool
) -> None:
    """C6: whatever comes of it; a place or a count too many would refuse the last one."""
    caplog.set_level(logging.INFO)
    counted = sum(outcome != "refused" for *_, outcome in CALLS) * 3 + 1
    options: dict[str, Any] = {
        "limits": Limits(max_concurrency=1),
        "rate_limit": RateLimit(f"{counted}/day"),
    }
    app, mounted = every_kind(**options)
    if not lane:
        closed(mounted)
    with handled_by_fastmcp() as handled:
        for tool, arguments, _ in CALLS * 3:
            await called(app, era, tool, arguments)
        assert not (await called(app, era, "nothing")).result["isError"]
        assert "Too many calls" in (await called(app, era, "nothing")).text
    assert bool(handled) is not lane
    assert outcomes(caplog) == [outcome for *_, outcome in CALLS] * 3 + ["ok", "busy"]


@pytest.mark.parametrize("info", ["x", [1], {}, {"name": 3}, None])
async def test_a_client_may_call_itself_anything(
    era: Era, info: object, caplog: pytest.LogCaptureFixture
) -> None:
    """X2: what nobody has checked is no name in the log, and breaks nothing."""
    caplog.set_level(logging.INFO)
    meta = {"io.modelcontextprotocol/clientInfo": info}
    app, mounted = every_kind()
    headers, body = request_of(era, "tools/call", {"name": "nothing", "_meta": meta})
    answer = await exchange(app, headers, body)
    closed(mounted)
    assert answer.messages == (await exchange(app, headers, body)).messages


async def test_an_answer_in_time_is_given_however_long_it_takes_to_read(era: Era) -> None:
    """C6: the deadline is the route's; a large answer is read in a thread, and takes longer."""
    app = FastAPI()
    body = b"[" + b'{"a":[0.5,1.5]},' * 12_000 + b"0]"
    app.add_api_route("/large", lambda: Response(body, media_type="application/json"), name="large")
    mount_mcp(app, limits=Limits(timeout=0.3))

    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_later(message: Message) -> None:
            await anyio.lowlevel.checkpoint()
            await send(message)

        await app(scope, receive, send_later)

    with handled_by_fastmcp() as handled:
        answer = await called(busy, era, "large")
    assert not answer.result["isError"]
    assert len(answer.result["structuredContent"]["result"]) == 12_001
    assert handled == []


async def test_a_response_that_listens_for_its_clients_going_keeps_its_answer(era: Era) -> None:
    """C2: as event streams do, which stop sending as soon as they hear of it."""
    app = FastAPI()

    class Listening(StreamingResponse):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
            async with anyio.create_task_group() as tasks:

                async def listen() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    tasks.cancel_scope.cancel()

                tasks.start_soon(listen)
                await self.stream_response(send)
                tasks.cancel_scope.cancel()

    @app.get("/events", response_class=Listening)
    async def events() -> Listening:
        async def parts() -> AsyncIterator[str]:
            yield "one"
            await anyio.lowlevel.checkpoint()
            yield " two"

        return Listening(parts())

    mount_mcp(app)
    with anyio.fail_after(30):
        reply = await call(app, "events", era=era)
    assert reply.result["content"][0]["text"] == "one two"
