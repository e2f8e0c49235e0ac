"""Long work in one process: a client starts it, leaves, and fetches its result later."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from fastmcp.server.dependencies import get_context
from starlette.types import ASGIApp

from mcp_mount import Limits, MountError, RateLimit, Tasks, limits, mount_mcp, proxy_app
from tests.access import bearer, static
from tests.api import PARTS, api
from tests.foreign import HELD, Heartbeat
from tests.lanes import request_of, sent_by
from tests.longwork import (
    CAPABILITIES,
    EXTENSION,
    KEY,
    MARK,
    META,
    ask,
    check_room,
    ended,
    is_unknown,
    start,
    until,
)
from tests.starting import started
from tests.support import ERAS, Era, call, connected, envelope, http, rpc
from tests.test_confirm import ASKS

ALICE, BOB = {"authorization": "Bearer alice"}, {"authorization": "Bearer bob"}


class Desk:
    """An app whose work takes until it is told to end."""

    def __init__(self, *, mark: Any = MARK, **options: Any) -> None:
        self.app = FastAPI()
        self.begun, self.end, self.closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.runs: list[str] = []

        @self.app.post("/reports", operation_id="report", openapi_extra=mark)
        async def report(title: str, authorization: str = Header("nobody")) -> dict[str, str]:
            self.runs.append(title)
            self.begun.set()
            try:
                await self.end.wait()
            finally:
                self.closed.set()
            return {"title": title, "caller": authorization}

        @self.app.get("/sums/{number}", operation_id="double", openapi_extra=mark)
        async def double(number: int) -> dict[str, int]:
            return {"sum": 2 * number}

        mount_mcp(self.app, **{"tasks": Tasks(), **options})

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[ASGIApp]:
        """Yield the app, started; what still works at the end is done, and need not be ended."""
        async with started(self.app) as app:
            yield app
            self.end.set()


async def test_a_task_is_started_and_its_result_fetched_later() -> None:
    desk = Desk()
    async with desk.opened() as app:
        task_id = await start(app, "report", {"title": "May"}, headers=ALICE)
        await desk.begun.wait()
        working = (await ask(app, task_id, headers=ALICE)).result
        assert (working["status"], working["taskId"]) == ("working", task_id)
        assert working["ttlMs"] == 3_720_000
        desk.end.set()
        task = await ended(app, task_id, headers=ALICE)
    assert task["status"] == "completed"
    assert task["result"]["structuredContent"] == {"title": "May", "caller": "Bearer alice"}
    assert task["result"]["isError"] is False
    assert desk.runs == ["May"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_without_tasks_calls_the_same_tool_as_ever(era: Era) -> None:
    async with started(Desk().app) as app:
        reply = await call(app, "double", {"number": 4}, era=era)
    assert reply.result["structuredContent"] == {"sum": 8}


async def test_an_older_client_cannot_start_a_task() -> None:
    """The extension is of the versions without a handshake."""
    async with started(Desk().app) as app:
        reply = await call(app, "double", {"number": 4}, era="legacy", meta=META)
        asked = await rpc(app, "legacy", "tasks/get", {"taskId": "x", "_meta": META})
    assert reply.result["structuredContent"] == {"sum": 8}
    assert asked.answer["error"]["code"] == -32601


async def test_what_is_not_marked_is_no_task() -> None:
    async with started(Desk(mark={}).app) as app:
        reply = await call(app, "double", {"number": 4}, meta=META)
    assert reply.result["structuredContent"] == {"sum": 8}


async def test_tools_marks_tasks_by_selectors() -> None:
    async with started(Desk(mark={}, tools={"GET *": {"task": True}}).app) as app:
        task = await ended(app, await start(app, "double", {"number": 4}))
    assert task["result"]["structuredContent"] == {"sum": 8}


async def test_fastmcp_s_own_client_waits_for_a_task_by_itself() -> None:
    desk = Desk()
    desk.end.set()
    async with desk.opened() as app, connected(app, "modern") as client:
        result = await client.call_tool("report", {"title": "May"})
    assert result.structured_content == {"title": "May", "caller": "nobody"}


async def test_the_server_says_that_it_has_tasks() -> None:
    async with started(Desk().app) as app:
        reply = await rpc(app, "modern", "server/discover")
        assert EXTENSION in reply.result["capabilities"]["extensions"]


async def test_another_caller_is_told_nothing_of_a_task() -> None:
    """Neither its result nor that there is one; and cannot end it."""
    desk = Desk()
    async with desk.opened() as app:
        task_id = await start(app, "report", {"title": "May"}, headers=ALICE)
        await desk.begun.wait()
        for verb in ("get", "cancel", "update"):
            for headers in (BOB, {}):
                assert is_unknown(await ask(app, task_id, verb, headers=headers))
                made_up = await ask(app, "nonsense", verb, headers=headers)
                assert is_unknown(made_up)
        listed = await rpc(app, "modern", "tasks/list", {"_meta": META}, headers=BOB)
        assert listed.answer["error"]["code"] == -32601
        desk.end.set()
        assert (await ended(app, task_id, headers=ALICE))["status"] == "completed"
        assert is_unknown(await ask(app, task_id, headers=BOB))


@pytest.mark.parametrize("task_id", ["\ud800", "é", "x" * 300_000, "\x00", "../x"])
@pytest.mark.parametrize("verb", ["get", "cancel", "update"])
async def test_an_id_that_none_can_be_is_unknown_and_echoed_in_part(
    verb: str, task_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    params = {"taskId": task_id, "inputResponses": {}, "_meta": META}
    headers, body = envelope("modern", f"tasks/{verb}", params)
    async with started(Desk().app) as app, http(app) as client:
        # A half character can be written in ASCII only.
        reply = await client.post("/mcp", headers=headers, content=json.dumps(body))
    assert reply.json()["error"]["code"] == -32602
    assert "Unknown task: " in reply.text
    assert len(reply.text) < 1200
    assert "Traceback" not in caplog.text


async def test_a_task_belongs_to_the_subject_and_not_to_the_token() -> None:
    """A client's token is renewed while it waits."""
    provider = static(old=["read"], new=["read"], other=["read"])
    provider.tokens["new"]["client_id"] = "old"
    desk = Desk(auth=provider)
    old, new, other = (bearer(name) for name in ("old", "new", "other"))
    async with desk.opened() as app:
        task_id = await start(app, "double", {"number": 1}, headers=old)
        assert (await ended(app, task_id, headers=new))["status"] == "completed"
        assert is_unknown(await ask(app, task_id, headers=other))


async def test_who_has_lost_a_scope_has_lost_the_task_too() -> None:
    scopes = ["write"]
    desk = Desk(scopes_of=lambda _: scopes)
    security = {"security": [{"oauth": ["write"]}]}

    @desk.app.get("/secret", operation_id="secret", openapi_extra={**MARK, **security})
    async def secret() -> str:
        return "told"

    async with desk.opened() as app:
        task_id = await start(app, "secret", headers=ALICE)
        assert (await ended(app, task_id, headers=ALICE))["status"] == "completed"
        scopes.clear()
        assert is_unknown(await ask(app, task_id, headers=ALICE))


async def test_cancelling_ends_the_work_of_the_app() -> None:
    desk = Desk()
    async with desk.opened() as app:
        task_id = await start(app, "report", {"title": "May"})
        await desk.begun.wait()
        assert (await ask(app, task_id, "cancel")).result["resultType"] == "complete"
        with anyio.fail_after(30):
            await desk.closed.wait()
        task = (await ask(app, task_id)).result
        assert task["status"] == "cancelled"
        assert "result" not in task
        # What has ended stays as it is.
        assert "result" in (await ask(app, task_id, "cancel")).answer
        assert (await ask(app, task_id)).result["status"] == "cancelled"


async def test_what_goes_on_after_the_response_is_not_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A task that has ended is wanted by nobody, and so is no reason to stop the app's work."""
    monkeypatch.setattr("mcp_mount.tasks.worker.LEASE", 0)
    app, how, written, over = FastAPI(), [], asyncio.Event(), asyncio.Event()

    async def send_mails() -> None:
        try:
            await written.wait()
            how.append("sent")
        except asyncio.CancelledError:
            how.append("cancelled")
            raise
        finally:
            over.set()

    @app.post("/orders", operation_id="order", openapi_extra=MARK)
    async def order(background: BackgroundTasks) -> int:
        background.add_task(send_mails)
        return 1

    mount_mcp(app, tasks=Tasks())
    async with started(app) as served:
        task = await ended(served, await start(served, "order"))
        assert task["status"] == "completed"
        # In each of these turns the worker could find that nobody wants the task any more.
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        written.set()
        with anyio.fail_after(30):
            await over.wait()
    assert how == ["sent"]


@pytest.mark.parametrize("made_up", [False, True])
async def test_no_caller_has_all_places_of_the_worker(*, made_up: bool) -> None:
    """F2: others' tasks pass by those of one caller, however long these work.

    Another key that is made up for each, beside the real one, gets no more places.
    """
    desk, mine = Desk(tasks=Tasks(concurrency=4)), []
    async with desk.opened() as app:
        for number in range(8):
            shown = {"x-api-key": f"made up {number}"} if made_up else {}
            headers = {**ALICE, **shown}
            task_id = await start(app, "report", {"title": "May"}, headers=headers)
            mine.append((task_id, headers))
        theirs = await ended(
            app, await start(app, "double", {"number": 4}, headers=BOB), headers=BOB
        )
        assert theirs["status"] == "completed"
        assert len(desk.runs) == 2
        # As soon as one has ended, or is cancelled, the next one begins.
        task_id, headers = mine.pop(0)
        await ask(app, task_id, "cancel", headers=headers)
        desk.end.set()
        for task_id, headers in mine:
            assert (await ended(app, task_id, 10, headers=headers))["status"] == "completed"
    assert len(desk.runs) == 8


async def test_a_route_in_a_thread_keeps_the_place_of_its_task() -> None:
    """F2: else who starts and cancels tasks has all threads of the worker."""
    app, begun, end = FastAPI(), list[int](), threading.Event()
    entered = [anyio.Event() for _ in range(6)]

    @app.get("/sleeps/{number}", operation_id="sleeps", openapi_extra=MARK)
    def sleeps(number: int) -> None:
        begun.append(number)
        anyio.from_thread.run_sync(entered[number].set)
        end.wait(60)

    @app.get("/quick", operation_id="quick", openapi_extra=MARK)
    async def quick() -> None:
        pass

    mount_mcp(app, tasks=Tasks(concurrency=4))
    async with started(app) as running:
        try:
            for number in range(6):
                task_id = await start(running, "sleeps", {"number": number}, headers=ALICE)
                if number < 2:
                    await entered[number].wait()
                await ask(running, task_id, "cancel", headers=ALICE)
            theirs = await start(running, "quick", headers=BOB)
            assert (await ended(running, theirs, headers=BOB))["status"] == "completed"
            assert begun == [0, 1]
        finally:
            end.set()
        last = await start(running, "quick", headers=ALICE)
        assert (await ended(running, last, headers=ALICE))["status"] == "completed"


async def test_what_waits_is_cancelled_before_it_begins() -> None:
    desk = Desk(tasks=Tasks(concurrency=1))
    async with desk.opened() as app:
        first = await start(app, "report", {"title": "first"})
        await desk.begun.wait()
        second = await start(app, "report", {"title": "second"})
        await ask(app, second, "cancel")
        desk.end.set()
        assert (await ended(app, first))["status"] == "completed"
        third = await start(app, "report", {"title": "third"})
        assert (await ended(app, third))["status"] == "completed"
        assert (await ended(app, second))["status"] == "cancelled"
    assert desk.runs == ["first", "third"]


async def test_a_stream_shows_how_far_a_task_has_come_and_is_whole_in_the_end() -> None:
    """However much of it there is: nobody has read it as progress."""
    app, more = FastAPI(), asyncio.Event()

    @app.get("/lines", operation_id="lines", openapi_extra=MARK)
    async def lines() -> StreamingResponse:
        async def write() -> AsyncIterator[str]:
            yield "half way"
            await more.wait()
            yield "x" * 600_000

        return StreamingResponse(write(), media_type="text/plain")

    mount_mcp(app, tasks=Tasks(), limits=Limits(max_event_bytes=8192))
    async with started(app) as served:
        task_id = await start(served, "lines")
        await until(served, task_id, lambda reply: reply.result.get("statusMessage") == "half way")
        more.set()
        task = await ended(served, task_id)
    (block,) = task["result"]["content"]
    assert block["text"] == "half way" + "x" * 600_000
    assert "statusMessage" not in task


async def test_a_failing_route_is_an_error_result_and_its_text_stays_in_the_log() -> None:
    app = FastAPI()

    @app.get("/broken", operation_id="broken", openapi_extra=MARK)
    async def broken() -> None:
        raise RuntimeError("the password of the database")

    @app.get("/refused", operation_id="refused", openapi_extra=MARK)
    async def refused() -> None:
        raise HTTPException(409, "Come back tomorrow")

    mount_mcp(app, tasks=Tasks())
    async with started(app) as served:
        task = await ended(served, await start(served, "broken"))
        other = await ended(served, await start(served, "refused"))
    assert (task["status"], task["result"]["isError"]) == ("completed", True)
    assert "password" not in str(task)
    assert "Come back tomorrow" in other["result"]["content"][0]["text"]


async def test_wrong_arguments_are_told_at_once() -> None:
    desk = Desk()
    async with desk.opened() as app:
        reply = await call(app, "report", {"titel": "May"}, meta=META)
    assert reply.is_error
    assert "titel" in reply.text_content


async def test_the_user_is_asked_before_a_task_is_made() -> None:
    desk = Desk(mark={"x-mcp": {"task": True, "confirm": True}})
    desk.end.set()
    both = {CAPABILITIES: {**ASKS[CAPABILITIES], **META[CAPABILITIES]}}
    async with desk.opened() as app:
        question = (await call(app, "report", {"title": "May"}, meta=both)).result
        assert question["resultType"] == "input_required"
        assert desk.runs == []
        params = {
            "name": "report",
            "arguments": {"title": "May"},
            "inputResponses": {"confirm": {"action": "accept", "content": {}}},
            "requestState": question["requestState"],
            "_meta": both,
        }
        made = (await rpc(app, "modern", "tools/call", params)).result
        assert made["resultType"] == "task"
        assert (await ended(app, made["taskId"]))["status"] == "completed"
    assert desk.runs == ["May"]


async def test_starting_a_task_is_a_call_to_the_rate_limit_and_fetching_is_none() -> None:
    desk = Desk(rate_limit=RateLimit("1/hour"))
    desk.end.set()
    async with desk.opened() as app:
        task_id = await start(app, "report", {"title": "May"}, headers=ALICE)
        assert (await ended(app, task_id, headers=ALICE))["result"]["isError"] is False
        refused = await call(app, "report", {"title": "June"}, meta=META, headers=ALICE)
        assert "Too many calls" in refused.text_content
        await start(app, "report", {"title": "June"}, headers=BOB)


async def test_the_deadline_of_a_call_is_that_of_a_task() -> None:
    desk = Desk(limits=Limits(timeout=0.2))
    async with desk.opened() as app:
        task = await ended(app, await start(app, "report", {"title": "May"}))
    assert task["result"]["isError"] is True
    assert "within 0.2 seconds" in task["result"]["content"][0]["text"]


async def test_a_caller_has_so_many_tasks_and_the_oldest_that_ended_make_room() -> None:
    desk = Desk(tasks=Tasks(per_caller=2))
    async with desk.opened() as app:
        first = await start(app, "double", {"number": 1}, headers=ALICE)
        await ended(app, first, headers=ALICE)
        second = await start(app, "report", {"title": "second"}, headers=ALICE)
        third = await start(app, "report", {"title": "third"}, headers=ALICE)
        assert is_unknown(await ask(app, first, headers=ALICE))
        refused = await call(app, "report", {"title": "fourth"}, meta=META, headers=ALICE)
        assert refused.is_error
        assert "too many tasks that have not ended" in refused.text_content
        await start(app, "double", {"number": 1}, headers=BOB)
        await ask(app, second, "cancel", headers=ALICE)
        await start(app, "double", {"number": 1}, headers=ALICE)
        assert is_unknown(await ask(app, second, headers=ALICE))
        assert (await ask(app, third, headers=ALICE)).result["status"] == "working"


def made_up(number: int) -> dict[str, str]:
    """Return what Alice shows, and a key beside it that nobody reads."""
    return {**ALICE, "x-api-key": f"made up {number}"}


async def test_a_made_up_key_beside_a_real_one_gets_no_more_tasks() -> None:
    """F2: a task belongs to both, and counts against each."""
    desk = Desk(tasks=Tasks(per_caller=2))
    async with desk.opened() as app:
        first = await start(app, "double", {"number": 1}, headers=made_up(1))
        await ended(app, first, headers=made_up(1))
        second = await start(app, "report", {"title": "second"}, headers=made_up(2))
        await start(app, "report", {"title": "third"}, headers=made_up(3))
        assert is_unknown(await ask(app, first, headers=made_up(1)))
        assert is_unknown(await ask(app, second, headers=made_up(1)))
        for shown in (ALICE, made_up(1), made_up(4)):
            refused = await call(app, "report", {"title": "no"}, meta=META, headers=shown)
            assert "too many tasks that have not ended" in refused.text_content
        await start(app, "double", {"number": 1}, headers=BOB)
        # What made room for another of Alice's counts no more against the key beside it.
        made_up_alone = {"x-api-key": "made up 1"}
        for _ in range(2):
            await start(app, "report", {"title": "two"}, headers=made_up_alone)


async def test_what_goes_on_after_the_response_keeps_no_place_and_no_server() -> None:
    """It has a moment to end when the server stops, and other tasks run beside it before."""
    app, begun, how = FastAPI(), asyncio.Event(), []

    async def work_on() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            how.append("ended")
            raise

    @app.post("/orders", operation_id="order", openapi_extra=MARK)
    async def order(background: BackgroundTasks) -> int:
        background.add_task(work_on)
        return 1

    mount_mcp(app, tasks=Tasks(concurrency=1))
    with anyio.fail_after(30):
        async with started(app) as served:
            for _ in range(2):
                task = await ended(served, await start(served, "order"), seconds=10)
                assert task["status"] == "completed"
            await begun.wait()
            assert how == []
    assert how == ["ended", "ended"]


async def test_whoever_tells_callers_apart_for_the_rate_does_so_for_tasks() -> None:
    """F2: where nothing checks keys, every made-up one would be a new caller."""
    rate = RateLimit("9/hour", caller_of=lambda _: "everyone")
    desk = Desk(tasks=Tasks(per_caller=1), rate_limit=rate)
    async with desk.opened() as app:
        await start(app, "report", {"title": "May"}, headers=ALICE)
        refused = await call(app, "report", {"title": "June"}, meta=META, headers=BOB)
        assert refused.is_error
        assert "You have too many tasks" in refused.text_content


async def test_no_result_is_lost_for_a_task_that_is_refused() -> None:
    """One of two credentials has no room, so the other one's task that ended stays."""
    desk = Desk(tasks=Tasks(per_caller=1))
    async with desk.opened() as app:
        done = await start(app, "double", {"number": 1}, headers=ALICE)
        await ended(app, done, headers=ALICE)
        await start(app, "report", {"title": "one"}, headers={"x-api-key": "made up 1"})
        refused = await call(app, "report", {"title": "two"}, meta=META, headers=made_up(1))
        assert "too many tasks that have not ended" in refused.text_content
        assert (await ask(app, done, headers=ALICE)).result["status"] == "completed"


async def test_a_made_up_key_beside_a_real_one_keeps_no_more_bytes_waiting() -> None:
    """F2: of what has not begun."""
    desk = waits_long()
    async with desk.opened() as app:
        await start(app, "report", {"title": "first"}, headers=BOB)
        await desk.begun.wait()
        said = {"title": "w" * 1000}
        for number in range(20):
            reply = await call(app, "report", said, meta=META, headers=made_up(number))
        assert "that have not begun take too many bytes" in reply.text_content


async def test_a_task_is_started_with_few_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: each is counted."""
    monkeypatch.setattr("mcp_mount.access.principals._MOST_SHOWN", 1)
    async with started(Desk().app) as app:
        refused = await call(app, "double", {"number": 1}, meta=META, headers=made_up(1))
    assert refused.text_content == "Too many credentials are shown: 2. Show one."


async def test_all_callers_together_have_so_many() -> None:
    async with Desk(tasks=Tasks(in_all=1)).opened() as app:
        await start(app, "report", {"title": "first"}, headers=ALICE)
        refused = await call(app, "report", {"title": "second"}, meta=META, headers=BOB)
    assert "There are too many tasks" in refused.text_content


async def test_where_all_have_too_many_one_that_ended_of_whoever_has_most_makes_room() -> None:
    """F2: whoever keeps all the places with what does not run would lock everybody else out."""
    await check_room(Desk(tasks=Tasks(in_all=5)).app)


async def test_a_task_that_two_count_makes_room_for_a_third() -> None:
    """F2: it counts against neither any more."""
    desk = Desk(tasks=Tasks(in_all=2, per_caller=2))
    async with desk.opened() as app:
        for number in (1, 2):
            task = await start(app, "double", {"number": 1}, headers=made_up(number))
            await ended(app, task, headers=made_up(number))
        for _ in range(2):
            task = await start(app, "double", {"number": 1}, headers=BOB)
            await ended(app, task, headers=BOB)
        for _ in range(2):
            await start(app, "report", {"title": "May"}, headers=made_up(1))


async def test_a_task_is_started_with_so_many_bytes() -> None:
    desk = Desk(tasks=Tasks(max_bytes=1000))
    async with desk.opened() as app:
        refused = await call(app, "report", {"title": "x" * 1000}, meta=META)
        await start(app, "report", {"title": "x" * 10})
    assert refused.is_error
    assert "A task may be started with 1000 bytes" in refused.text_content


def waits_long() -> Desk:
    """Return a desk at which one task runs, and what is started beside it waits."""
    return Desk(tasks=Tasks(concurrency=1, max_bytes=2000, per_caller=50))


async def fill(app: Any, most: int, callers: int = 1) -> list[str]:
    """Start tasks of more than a thousand bytes until one is refused, and return their ids."""
    ids = list[str]()
    for number in range(most):
        headers = {"authorization": f"Bearer {number % callers}"}
        reply = await call(app, "report", {"title": "w" * 1000}, meta=META, headers=headers)
        if "taskId" not in reply.result:
            assert "that have not begun take too many bytes" in reply.text_content
            break
        ids.append(reply.result["taskId"])
    return ids


async def test_what_waits_of_one_caller_has_so_many_bytes_until_it_begins_or_is_cancelled() -> None:
    """Otherwise one caller fills the memory with a few requests."""
    desk = waits_long()
    alice, bob = {"authorization": "Bearer 0"}, {"authorization": "Bearer 1"}
    async with desk.opened() as app:
        await start(app, "report", {"title": "first"}, headers=bob)
        await desk.begun.wait()
        ids = await fill(app, 20)
        assert 4 <= len(ids) <= 7
        await start(app, "report", {"title": "another caller"}, headers=bob)
        await ask(app, ids[0], "cancel", headers=alice)
        (last,) = await fill(app, 20)
        desk.end.set()
        for each in (*ids[1:], last):
            await ended(app, each, headers=alice)
        assert len(await fill(app, 4)) == 4


async def test_what_waits_of_all_callers_has_so_many_bytes() -> None:
    desk = waits_long()
    async with desk.opened() as app:
        await start(app, "report", {"title": "first"})
        await desk.begun.wait()
        ids = await fill(app, 200, callers=50)
        assert 64 <= len(ids) <= 120


async def test_a_result_that_is_too_large_is_an_error() -> None:
    desk = Desk(tasks=Tasks(max_bytes=1000))

    @desk.app.get("/long", operation_id="long", openapi_extra=MARK)
    async def long() -> str:
        return "x" * 2000

    async with desk.opened() as app:
        task = await ended(app, await start(app, "long"))
    assert task["result"]["isError"] is True
    assert "more than 1000 bytes" in task["result"]["content"][0]["text"]


async def test_a_result_has_so_many_bytes_and_not_characters() -> None:
    desk = Desk(tasks=Tasks(max_bytes=10_000))

    @desk.app.get("/long", operation_id="long", openapi_extra=MARK)
    async def long() -> str:
        return "🚀" * 2_400

    async with desk.opened() as app:
        task = await ended(app, await start(app, "long"))
    assert "more than 10000 bytes" in task["result"]["content"][0]["text"]


LARGE = {"numbers": [1] * 199_000}
LETTERS = {"text": "ä€🚀\n\u2028\x85" * 10_000}


@pytest.mark.parametrize("options", [{}, {"event_store": "memory://", "sessions": True}])
@pytest.mark.parametrize("body", [LARGE, LETTERS], ids=["numbers", "letters"])
async def test_a_large_result_of_a_task_is_that_of_the_call(
    options: dict[str, Any], body: dict[str, Any]
) -> None:
    """F1: it is put into the answer as it was written."""
    desk = Desk(**options)

    @desk.app.get("/large", operation_id="large", openapi_extra=MARK)
    async def large() -> JSONResponse:
        return JSONResponse(body)

    async with desk.opened() as app:
        called = await call(app, "large")
        task = await ended(app, await start(app, "large"))
    assert called.result["structuredContent"] == body
    parts = ("content", "structuredContent", "isError")
    assert {each: task["result"][each] for each in parts} == {
        each: called.result[each] for each in parts
    }


async def test_who_fetches_a_large_result_often_holds_nobody_up() -> None:
    """F1: each time, it was opened, read, copied and written in single steps of the event loop."""
    desk, heart = Desk(), Heartbeat()

    @desk.app.get("/large", operation_id="large", openapi_extra=MARK)
    async def large() -> JSONResponse:
        return JSONResponse(LARGE)

    async with desk.opened() as app, anyio.create_task_group() as tasks:
        task_id = await start(app, "large")
        await ended(app, task_id)
        headers, body = request_of("modern", "tasks/get", {"taskId": task_id, "_meta": META})

        async def fetch() -> None:
            # To read the answer would take the loop's time, too.
            parts = await sent_by(app, headers, body)
            assert sum(len(each.get("body", b"")) for each in parts) > 700_000

        async def act() -> None:
            async with anyio.create_task_group() as crowd:
                for _ in range(20):
                    crowd.start_soon(fetch)

        tasks.start_soon(heart.beat)
        held = await heart.during(act)
        tasks.cancel_scope.cancel()
    assert held < HELD


async def test_whoever_asks_much_of_the_store_in_this_process_lets_others_run() -> None:
    """F4: it answers at once, so that all requests that had come were answered in one step."""
    answered, rounds = Counter[int](), 0

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            await asyncio.sleep(0)
            rounds += 1

    async with Desk().opened() as app, anyio.create_task_group() as tasks:
        params = {"taskId": "x" * 43, "_meta": META}
        headers, body = request_of("modern", "tasks/get", params)

        async def fetch() -> None:
            await sent_by(app, headers, body)
            answered[rounds] += 1

        await fetch()
        tasks.start_soon(count_rounds)
        async with anyio.create_task_group() as crowd:
            for _ in range(60):
                crowd.start_soon(fetch)
        tasks.cancel_scope.cancel()
    assert answered.total() == 61
    assert max(answered.values()) < 10


async def test_a_task_is_forgotten_after_its_time() -> None:
    desk = Desk(tasks=Tasks(keep=0.5), limits=Limits(timeout=0.6))
    async with desk.opened() as app:
        task_id = await start(app, "double", {"number": 1})
        await ended(app, task_id)
        await until(app, task_id, is_unknown)


async def test_a_tool_that_calls_a_tool_gets_its_result() -> None:
    """The client has asked for a task of the tool it named, and of no other."""
    desk = Desk()
    mounted = mount_mcp(desk.app, path="/other", tasks=Tasks())

    @mounted.server.tool
    async def twice(number: int) -> Any:
        server = get_context().fastmcp
        return (await server.call_tool("double", {"number": number})).structured_content

    async with desk.opened() as app:
        reply = await call(app, "twice", {"number": 4}, meta=META, path="/other")
    assert reply.result["structuredContent"] == {"sum": 8}


async def test_middleware_and_dependencies_see_a_task_as_they_see_a_call() -> None:
    app, seen = FastAPI(), []

    def user(request: Request) -> str:
        return request.headers.get("x-user", "nobody")

    @app.middleware("http")
    async def remember(request: Request, proceed: Any) -> Any:
        seen.append((request.url.path, request.scope.get("mcp_mount.tool"), request.state.pool))
        return await proceed(request)

    @app.get("/me", operation_id="me", openapi_extra=MARK)
    async def me(user: Annotated[str, Depends(user)]) -> str:
        return user

    mount_mcp(app, tasks=Tasks())

    async with started(with_state(app)) as served:
        task_id = await start(served, "me", headers={"x-user": "alice"})
        assert (await ended(served, task_id))["result"]["structuredContent"] == {"result": "alice"}
    assert seen[0] == ("/mcp", None, "of connections")
    assert ("/me", "me", "of connections") in seen


def with_state(app: FastAPI) -> Any:
    """Put something into the state of the app's lifespan, as an app's own lifespan does."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = "of connections"
        await app(scope, receive, send)

    return wrapped


async def test_an_api_elsewhere_has_tasks_too() -> None:
    async with api() as parts:
        app = proxy_app(PARTS, parts.url, tools={"GET *": {"task": True}}, tasks=Tasks())
        async with started(app) as served:
            task_id = await start(served, "get_part", {"part": "a"}, headers=ALICE)
            task = await ended(served, task_id, headers=ALICE)
            assert is_unknown(await ask(served, task_id, headers=BOB))
    assert task["result"]["content"][0]["text"] == "here"


async def test_a_route_s_own_client_of_the_endpoint_waits_for_tasks() -> None:
    desk = Desk()
    desk.end.set()
    mounted = mount_mcp(desk.app, path="/inner", tasks=Tasks())

    @desk.app.get("/agent", include_in_schema=False)
    async def agent(request: Request) -> Any:
        async with mounted.client(request) as client:
            return (await client.call_tool("report", {"title": "May"})).structured_content

    async with desk.opened() as app, http(app) as client:
        response = await client.get("/agent", headers=ALICE)
    assert response.json() == {"title": "May", "caller": "Bearer alice"}


async def test_an_app_with_two_endpoints_keeps_their_tasks_apart() -> None:
    desk = Desk()
    mount_mcp(desk.app, path="/other", tasks=Tasks())
    async with desk.opened() as app:
        task_id = await start(app, "double", {"number": 1})
        await ended(app, task_id)
        assert is_unknown(await ask(app, task_id, path="/other"))


async def test_who_does_not_speak_the_extension_cannot_ask_for_tasks() -> None:
    async with started(Desk().app) as app:
        task_id = await start(app, "double", {"number": 4})
        reply = await rpc(app, "modern", "tasks/get", {"taskId": task_id})
        wrong = await ask(app, task_id, headers={"mcp-name": "another"})
    assert reply.answer["error"]["code"] == -32021
    assert wrong.answer["error"]["code"] == -32020


async def test_without_a_lifespan_a_call_is_a_call() -> None:
    """Nothing would run the task."""
    reply = await call(Desk().app, "double", {"number": 4}, meta=META)
    assert reply.result["structuredContent"] == {"sum": 8}
    assert is_unknown(await ask(Desk().app, "nonsense"))


async def test_stopping_ends_what_runs(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        async with started(desk.app) as app:
            await start(app, "report", {"title": "May"})
            await desk.begun.wait()
    assert desk.closed.is_set()
    assert "The worker has stopped. 1 tasks were running" in caplog.text


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Tell when something waits for a slot; who has no more patience than others gets none."""
    monkeypatch.setattr(limits, "_WAIT", 0.0)
    event, take = asyncio.Event(), limits.Slots.take

    def told(self: limits.Slots, *args: Any) -> Any:
        event.set()
        return take(self, *args)

    monkeypatch.setattr(limits.Slots, "take", told)
    return event


async def test_a_task_waits_for_its_turn_among_the_running_calls(waiting: asyncio.Event) -> None:
    desk = Desk(limits=Limits(max_concurrency=1))
    async with desk.opened() as app:
        first = await start(app, "report", {"title": "first"})
        await desk.begun.wait()
        second = await start(app, "report", {"title": "second"})
        await waiting.wait()
        refused = await call(app, "double", {"number": 4})
        assert "Too many calls are running" in refused.text_content
        desk.end.set()
        for task_id in (first, second):
            assert (await ended(app, task_id))["result"].get("isError", False) is False
    assert desk.runs == ["first", "second"]


async def test_a_task_waits_for_its_turn_no_longer_than_it_may_take() -> None:
    desk = Desk(limits=Limits(max_concurrency=1))
    mark = {"x-mcp": {"task": True, "limits": {"timeout": 0.1}}}

    @desk.app.get("/quick", operation_id="quick", openapi_extra=mark)
    async def quick() -> str:
        return "done"

    async with desk.opened() as app:
        await start(app, "report", {"title": "first"})
        await desk.begun.wait()
        task = await ended(app, await start(app, "quick"))
        desk.end.set()
    assert "Too many calls are running" in task["result"]["content"][0]["text"]


async def test_stopping_ends_what_waits_for_its_turn(waiting: asyncio.Event) -> None:
    desk = Desk(limits=Limits(max_concurrency=1))
    with anyio.fail_after(30):
        async with started(desk.app) as app:
            await start(app, "report", {"title": "first"})
            await desk.begun.wait()
            await start(app, "report", {"title": "second"})
            await waiting.wait()
    assert desk.runs == ["first"]


async def test_a_mark_without_tasks_is_told_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async with started(Desk(tasks=None).app) as app:
        reply = await call(app, "double", {"number": 4}, meta=META)
    assert reply.result["structuredContent"] == {"sum": 8}
    assert "marked as tasks, and are called as any other: report, double" in caplog.text


def test_nothing_of_tasks_is_imported_where_there_are_none() -> None:
    script = """
import sys
from fastapi import FastAPI
from mcp_mount import mount_mcp, Tasks
mount_mcp(FastAPI())
print(*(name for name in ("docket", "fastmcp_tasks", "mcp_mount.tasks.engine", "redis.asyncio")
        if name in sys.modules))
"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True).split() == []


def test_the_extra_is_named_where_it_is_missing() -> None:
    script = """
import sys
sys.modules["docket"] = None
from fastapi import FastAPI
from mcp_mount import mount_mcp, Tasks
try:
    mount_mcp(FastAPI(), tasks=Tasks())
except ValueError as error:
    print(error)
"""
    said = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert "pip install 'mcp-mount[tasks]'" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": "memory://"}, r"tasks= must be Tasks\(…\)"),
        ({"tasks": Tasks("redis://localhost")}, r"give state_key= a secret of 32 characters"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MountError, match=message):
        mount_mcp(FastAPI(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"store": "localhost:6379"}, r"Tasks.store must be 'memory://' or a URL"),
        ({"keep": 0}, r"Tasks.keep must be a positive number, not 0"),
        ({"per_caller": 1.5}, r"Tasks.per_caller must be a positive integer"),
    ],
)
def test_tasks_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MountError, match=message):
        Tasks(**options)


def test_a_store_that_is_not_there_stops_the_start_up() -> None:
    """Without the password that the URL may hold."""
    store = Tasks("redis://:a-password@127.0.0.1:1")
    desk = Desk(tasks=store, state_key=KEY)
    assert "a-password" not in repr(store)
    with pytest.raises(MountError, match="cannot be reached"), TestClient(desk.app):
        raise AssertionError
