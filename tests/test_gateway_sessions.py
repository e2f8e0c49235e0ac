"""What a server keeps in a session: for whom, how long, and what happens when it is gone."""

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

import anyio
import pytest
from anyio import to_thread
from anyio.abc import Process
from fastapi import FastAPI, Security
from fastapi.security import APIKeyHeader
from fastmcp import Context
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from mcp_mount import MountError, RateLimit, Remote, gateway_app, mount_mcp
from mcp_mount.remotes import life, pool
from mcp_mount.remotes import process as remotes_process
from tests.others import (
    Notes,
    Raw,
    free_port,
    gateway,
    heard,
    offered,
    parts_server,
    program,
    raw,
    text,
    tool,
)
from tests.starting import started
from tests.support import ERAS, Era, call, served

eras = pytest.mark.parametrize("era", ERAS)

# A program of the handshake versions that keeps what it is told.
KEEPING = """
import json, os, sys
notes = []
for line in sys.stdin:
    message = json.loads(line)
    method, answer = message.get("method"), None
    if method == "initialize":
        answer = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                  "serverInfo": {"name": "keeping", "version": "1"}}
    elif method == "tools/list":
        answer = {"tools": [{"name": "note", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        notes.append(message["params"]["arguments"]["text"])
        structure = {"result": notes, "process": os.getpid()}
        answer = {"content": [], "structuredContent": structure}
    if "id" in message:
        error = {"error": {"code": -32601, "message": "No such method"}}
        said = {"result": answer} if answer is not None else error
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}), flush=True)
"""


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def note(
    app: ASGIApp, text: str, era: Era = "modern", caller: str = "", key: str = ""
) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {caller}"} if caller else {}
    if key:
        headers["x-api-key"] = key
    reply = await call(app, "notes_note", {"text": text}, era=era, headers=headers)
    assert not reply.is_error, reply.text
    structure: dict[str, Any] = reply.result["structuredContent"]
    return structure


async def notes(
    app: ASGIApp, text: str, era: Era = "modern", caller: str = "", key: str = ""
) -> list[str]:
    said: list[str] = (await note(app, text, era, caller, key))["result"]
    return said


@eras
async def test_a_server_remembers_its_caller_and_nobody_else(era: Era) -> None:
    """Gateway: a session for each caller, which lasts longer than a call."""
    kept = Notes()
    with kept.offered() as url:
        async with gateway(Remote("notes", url=url)) as app:
            assert await notes(app, "a", era, "alice") == ["a"]
            assert await notes(app, "b", era, "bob") == ["b"]
            assert await notes(app, "c", era, "alice") == ["a", "c"]
            assert await notes(app, "d", era) == ["d"]
    assert len(kept.notes) == 3


@eras
async def test_callers_are_told_apart_by_the_keys_that_the_app_declares(era: Era) -> None:
    """Gateway: also where they come from one address, and show no `Authorization`."""
    key = Security(APIKeyHeader(name="X-Team-Key"))
    app = FastAPI()

    @app.get("/parts", operation_id="list_parts")
    def list_parts(_: Annotated[str, key]) -> list[str]:
        return []

    with Notes().offered() as url:
        mount_mcp(app, remotes=[Remote("notes", url=url)])
        async with started(app) as running:
            for team, said in (("a", ["1"]), ("b", ["2"]), ("a", ["1", "3"])):
                arguments, headers = {"text": said[-1]}, {"x-team-key": team}
                reply = await call(running, "notes_note", arguments, era=era, headers=headers)
                assert reply.result["structuredContent"]["result"] == said


async def test_one_session_can_be_shared_by_all_callers() -> None:
    """Gateway: `Remote(session="shared")`."""
    with Notes().offered() as url:
        async with gateway(Remote("notes", url=url, session="shared")) as app:
            assert await notes(app, "a", caller="alice") == ["a"]
            assert await notes(app, "b", caller="bob") == ["a", "b"]


async def test_each_call_can_have_a_session_of_its_own() -> None:
    """Gateway: `Remote(session="call")`."""
    with Notes().offered() as url:
        async with gateway(Remote("notes", url=url, session="call")) as app:
            assert await notes(app, "a") == ["a"]
            assert await notes(app, "b") == ["b"]


@pytest.mark.parametrize("session", ["caller", "shared"])
async def test_a_session_that_the_server_has_forgotten_is_opened_again(session: Any) -> None:
    """Gateway: a restarted server answers 404; the caller sees nothing of it."""
    port = free_port()
    with heard() as log:
        remote = Remote("notes", url=f"http://127.0.0.1:{port}/mcp", session=session)
        async with started(gateway_app([remote])) as app:
            with Notes().offered(at=port):
                await log.line("is up")
                assert await notes(app, "a") == ["a"]
            with Notes().offered(at=port):
                assert await notes(app, "b") == ["b"]
                assert await notes(app, "c") == ["b", "c"]


@pytest.mark.parametrize("status", [400, 404])
async def test_a_call_that_is_refused_is_not_made_again(status: int) -> None:
    """Gateway: a server may answer an error with such a status, and it has made the call."""
    server = Raw({"tools/list": {"tools": [tool("pay"), tool("look")]}}, modern=False)

    def answer(params: dict[str, Any]) -> Any:
        if params["name"] == "look":
            return text("seen")
        error = {"code": -32000, "message": "paid, but no receipt"}
        body = {"jsonrpc": "2.0", "id": server.requests[-1]["id"], "error": error}
        return JSONResponse(body, status_code=status)

    server.answers["tools/call"] = answer
    with served(server) as url:
        async with gateway(Remote("bank", url=f"{url}/mcp")) as app:
            await call(app, "bank_look")
            reply = await call(app, "bank_pay")
            assert "no receipt" in reply.answer["error"]["message"]
            await call(app, "bank_look")
    assert server.methods.count("tools/call") == 3


async def test_calls_at_once_open_one_session() -> None:
    """Gateway: whoever comes while it is opened waits for it."""
    kept = Notes()
    with kept.offered() as url:
        async with gateway(Remote("notes", url=url)) as app:
            async with anyio.create_task_group() as callers:
                for _ in range(5):
                    callers.start_soon(notes, app, "a")
            assert await notes(app, "b") == [*"aaaaa", "b"]
    assert len(kept.notes) == 1


async def test_sessions_are_bounded_and_the_oldest_idle_one_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gateway, F2: callers who come and go hold no more than so many."""
    monkeypatch.setattr(pool, "_MAX_HTTP", 2)
    with Notes().offered() as url:
        async with gateway(Remote("notes", url=url)) as app:
            for caller in ("alice", "bob", "carol"):
                assert await notes(app, caller, caller=caller) == [caller]
            assert await notes(app, "again", caller="carol") == ["carol", "again"]
            assert await notes(app, "new", caller="alice") == ["new"]


@eras
async def test_a_made_up_key_beside_a_real_one_takes_no_session_of_others(
    monkeypatch: pytest.MonkeyPatch, era: Era
) -> None:
    """Gateway, F2: one caller has half of them at the most."""
    monkeypatch.setattr(pool, "_MAX_HTTP", 4)
    with Notes().offered() as url:
        async with gateway(Remote("notes", url=url)) as app:
            assert await notes(app, "a", era, "bob") == ["a"]
            for number in range(5):
                assert await notes(app, "b", era, "alice", f"made up {number}") == ["b"]
            assert await notes(app, "c", era, "bob") == ["a", "c"]
            assert await notes(app, "d", era, "alice", "made up 4") == ["b", "d"]
            assert await notes(app, "e", era, "alice", "made up 0") == ["e"]


@eras
async def test_sessions_count_against_whom_calls_count_and_belong_to_who_shows_the_same(
    monkeypatch: pytest.MonkeyPatch, era: Era
) -> None:
    """Gateway, F2: `caller_of=` makes one caller of many keys, who share no session for that."""
    monkeypatch.setattr(pool, "_MAX_HTTP", 4)
    rate = RateLimit("100/hour", caller_of=lambda request: request.headers["x-name"])

    async def told(name: str, key: str) -> list[str]:
        headers = {"x-name": name, "authorization": f"Bearer {key}"}
        reply = await call(app, "notes_note", {"text": key}, era=era, headers=headers)
        said: list[str] = reply.result["structuredContent"]["result"]
        return said

    with Notes().offered() as url:
        async with gateway(Remote("notes", url=url), rate_limit=rate) as app:
            assert await told("bob", "b") == ["b"]
            for number in range(5):
                assert await told("alice", f"made up {number}") == [f"made up {number}"]
            assert await told("bob", "b") == ["b", "b"]


class HeldNotes(Notes):
    """One that holds those who say so until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.let_go = threading.Semaphore(0), threading.Event()

    async def note(self, context: Context, text: str) -> list[str]:
        if text == "hold":
            self.held.release()
            await to_thread.run_sync(self.let_go.wait)
        return await super().note(context, text)


async def test_who_uses_half_of_the_sessions_gets_no_other_and_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gateway, F2: also while all of its own are in use."""
    monkeypatch.setattr(pool, "_MAX_HTTP", 4)
    kept = HeldNotes()
    with kept.offered() as url, anyio.fail_after(20):
        async with gateway(Remote("notes", url=url)) as app, anyio.create_task_group() as tasks:
            for number in range(2):
                tasks.start_soon(notes, app, "hold", "modern", "alice", f"made up {number}")
            for _ in range(2):
                await to_thread.run_sync(kept.held.acquire)
            shown = {"authorization": "Bearer alice", "x-api-key": "made up"}
            refused = await call(app, "notes_note", {"text": "a"}, headers=shown)
            others = await call(app, "notes_note", {"text": "b"}, headers={"x-api-key": "bob"})
            kept.let_go.set()
    assert "Too many sessions with this server are in use" in refused.text_content
    assert not others.is_error


@eras
async def test_a_session_is_opened_with_few_credentials(
    monkeypatch: pytest.MonkeyPatch, era: Era
) -> None:
    """Gateway, F2: each is counted."""
    monkeypatch.setattr("mcp_mount.access.principals._MOST_SHOWN", 1)
    shown = {"authorization": "Bearer alice", "x-api-key": "made up"}
    with Notes().offered() as url:
        async with gateway(Remote("notes", url=url)) as app:
            refused = await call(app, "notes_note", {"text": "a"}, era=era, headers=shown)
    assert refused.text_content == "Too many credentials are shown: 2. Show one."


async def test_a_session_that_nobody_uses_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateway, F2: after ten minutes; here at once."""
    monkeypatch.setattr(pool, "IDLE", 0.0)
    with Notes().offered() as url:
        async with gateway(Remote("notes", url=url)) as app:
            assert await notes(app, "a", caller="alice") == ["a"]
            assert await notes(app, "b", caller="bob") == ["b"]
            assert await notes(app, "c", caller="alice") == ["c"]


@eras
async def test_a_program_that_keeps_something_runs_once_for_each_caller(era: Era) -> None:
    """Gateway: what one caller tells it, no other hears; the first has the one that runs."""
    async with gateway(program("notes", KEEPING)) as app:
        first = await note(app, "a", era, "alice")
        other = await note(app, "b", era, "bob")
        assert (first["result"], other["result"]) == (["a"], ["b"])
        assert first["process"] != other["process"]
        again = await note(app, "c", era, "alice")
        assert again == {"result": ["a", "c"], "process": first["process"]}


async def test_a_program_that_does_not_end_takes_the_place_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gateway, F2: callers who come and go never have more processes than so many."""
    monkeypatch.setattr(pool, "_MAX_PROGRAMS", 2)
    monkeypatch.setattr(remotes_process, "_GRACE", 0.3)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    code = f"{stubborn}{KEEPING}\nwhile True: signal.pause()"
    seen: set[int] = set()
    running: list[int] = []
    async with gateway(program("notes", code)) as app:

        async def come(caller: str) -> None:
            seen.add((await note(app, "a", caller=caller))["process"])
            running.append(sum(map(is_running, seen)))

        for number in range(5):
            await come(f"caller {number}")
        async with anyio.create_task_group() as callers:
            for number in range(2):
                callers.start_soon(come, f"another {number}")
    assert len(seen) == 7
    assert max(running) <= 3


@pytest.mark.parametrize("hangs", [True, False])
async def test_a_program_of_one_caller_that_hangs_is_started_anew(
    monkeypatch: pytest.MonkeyPatch,
    hangs: bool,  # noqa: FBT001
) -> None:
    """Gateway: as the first one is; one that answers beside a long call is left alone."""
    monkeypatch.setattr(life, "MAX_MISSES", 2)
    long = "for _ in sys.stdin: pass" if hangs else "continue"
    begins = "        notes.append("
    code = KEEPING.replace(
        begins, f"        if 'long' in str(message['params']):\n            {long}\n{begins}"
    )
    async with gateway(program("notes", code, limits={"timeout": 1.5})) as app:
        assert await notes(app, "a", caller="alice") == ["a"]
        process = (await note(app, "b", caller="bob"))["process"]
        for _ in range(life.MAX_MISSES):
            arguments, headers = {"text": "long"}, {"authorization": "Bearer bob"}
            late = await call(app, "notes_note", arguments, headers=headers)
            assert "has not answered within" in late.text_content
        again = await note(app, "c", caller="bob")
        assert (again["process"] != process) == hangs
        assert again["result"] == (["c"] if hangs else ["b", "c"])
        assert await notes(app, "d", caller="alice") == ["a", "d"]


async def test_calls_that_are_late_together_count_once() -> None:
    """Gateway: else one slow call, made four times at once, would end what a caller keeps."""
    begins = "        notes.append("
    code = KEEPING.replace(
        begins, f"        if 'long' in str(message['params']):\n            continue\n{begins}"
    )
    async with gateway(program("notes", code, limits={"timeout": 1.0})) as app:
        # The process of the first caller is not theirs to end.
        assert await notes(app, "a", caller="alice") == ["a"]
        assert await notes(app, "b", caller="bob") == ["b"]
        long = partial(call, headers={"authorization": "Bearer bob"})
        async with anyio.create_task_group() as tasks:
            for _ in range(2 * life.MAX_MISSES):
                tasks.start_soon(long, app, "notes_note", {"text": "long"})
        assert await notes(app, "c", caller="bob") == ["b", "c"]


async def never(_: dict[str, Any]) -> None:
    await anyio.sleep_forever()


@pytest.mark.parametrize("modern", [True, False])
async def test_a_server_that_answers_no_ping_is_asked_once(modern: bool) -> None:  # noqa: FBT001
    """Gateway: whatever it is asked and does not answer keeps a task and a connection."""

    def answer(params: dict[str, Any]) -> object:
        return never(params) if params["arguments"] else text("done")

    with raw([tool()], modern=modern, call=answer, ping=never) as (server, url):
        limits = {"timeout": 1.0}
        async with gateway(Remote("raw", url=url, session="shared", limits=limits)) as app:
            for _ in range(5):
                late = await call(app, "raw_tool", {"is": "late"})
                assert "has not answered within" in late.text_content
                assert (await call(app, "raw_tool")).text_content == "done"
    assert server.methods.count("ping") == 1


async def test_a_caller_whose_calls_end_a_program_does_so_once_to_others() -> None:
    """Gateway: who had the one that runs from the start has one of their own after that."""
    begins = "        notes.append("
    code = KEEPING.replace(
        begins, f"        if 'die' in str(message['params']):\n            os._exit(1)\n{begins}"
    )

    async def die(app: ASGIApp) -> None:
        headers = {"authorization": "Bearer alice"}
        await call(app, "notes_note", {"text": "die"}, headers=headers)

    with heard() as log:
        async with gateway(program("notes", code)) as app:
            assert await notes(app, "a", caller="alice") == ["a"]
            await die(app)
            await log.line("is up", times=2)
            assert await notes(app, "b", caller="alice") == ["b"]
            assert await notes(app, "c", caller="bob") == ["c"]
            await die(app)
            assert await notes(app, "d", caller="bob") == ["c", "d"]


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_a_program_whose_guard_cannot_be_started_does_not_run_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Gateway: it is started again and again, for want of descriptors."""
    monkeypatch.setattr(remotes_process, "_GRACE", 0.5)
    start, begun = anyio.open_process, []

    async def with_the_last_descriptors(command: list[str], **options: Any) -> Process:
        if command[0] != "/bin/sh":
            begun.append(await start(command, **options))
            return begun[-1]
        with no_descriptors_left():
            return await start(command, **options)

    monkeypatch.setattr(anyio, "open_process", with_the_last_descriptors)
    with heard() as log:
        async with started(gateway_app([program("notes", "import time; time.sleep(60)")])):
            await log.line("is down")
            ended = [each.returncode is not None for each in begun]
    assert ended
    assert all(ended)


async def test_a_program_can_be_shared() -> None:
    """Gateway: `Remote(session="shared")`, one process for all."""
    async with gateway(program("notes", KEEPING, session="shared")) as app:
        assert await notes(app, "a", caller="alice") == ["a"]
        assert await notes(app, "b", caller="bob") == ["a", "b"]


async def test_a_server_of_the_modern_era_has_no_sessions_to_keep() -> None:
    """Gateway: one connection serves all callers, whatever `session` says."""
    with offered(parts_server(), stateless=False) as url:
        async with gateway(Remote("parts", url=url)) as app:
            for caller in ("alice", "bob"):
                headers = {"authorization": f"Bearer {caller}"}
                reply = await call(app, "parts_find", {"word": "x"}, headers=headers)
                assert reply.result["structuredContent"] == {"found": ["x", "x"]}


async def test_a_server_that_says_that_its_tools_have_changed_is_asked_at_once() -> None:
    """Gateway: on the stream of a session; nobody waits for the next question."""
    kept = Notes()

    async def learn(context: Context) -> str:
        kept.server.tool(learn, name="another")
        await context.session.send_tool_list_changed()
        return "learnt"

    kept.server.tool(learn)
    with kept.offered() as url, heard() as log:
        async with started(gateway_app([Remote("notes", url=url, refresh=600)])) as app:
            await log.line("'notes' is up")
            assert (await call(app, "notes_learn")).text_content == "learnt"
            await log.line("'notes' offers something else: tools: 3")


@pytest.mark.parametrize("session", ["always", None, 1])
def test_another_word_for_a_session_is_refused(session: Any) -> None:
    """Errors are instructions."""
    with pytest.raises(MountError, match="session= of the remote 'a' must be 'caller', 'shared'"):
        Remote("a", url="http://127.0.0.1/mcp", session=session)


def test_a_program_is_not_started_for_each_call() -> None:
    """Errors are instructions."""
    with pytest.raises(MountError, match="cannot be started for each call"):
        Remote("a", command="x", session="call")
