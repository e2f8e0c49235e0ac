"""What happens to those who are served when the server is told to stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI, Request

from mock_api.app import create_app
from mock_api.settings import Settings
from tests.mock_api.streaming import streamed
from tests.others import free_port
from tests.starting import started
from tests.support import envelope

ROOT = Path(__file__).parent.parent.parent
UVICORN = [sys.executable, "-m", "uvicorn", "mock_api.main:app", "--port"]


@contextmanager
def serving(folder: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demo as the README says; yield its process and where it is."""
    port = str(free_port())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "KB_DATABASE": str(folder / "kb.sqlite3"),
        **variables,
    }
    process = subprocess.Popen(
        [*UVICORN, port],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while "Uvicorn running" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_watched_ends_soon(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path, CHAT_PACE="30") as (process, url), ExitStack() as stack:
        http = stack.enter_context(httpx.Client(base_url=url, timeout=20))
        headers, body = envelope("legacy", "tools/call", {"name": "watch_changes"}, token="p")
        body["params"]["arguments"] = {"since": 0}
        question = {"prompt": "What is a revision rule?"}
        modern, asking = envelope(
            "modern", "tools/call", {"name": "chat", "arguments": question}, token="q"
        )
        streams = [
            stack.enter_context(http.stream("GET", "/changes?since=0")),
            stack.enter_context(http.stream("POST", "/chat", json=question)),
            stack.enter_context(http.stream("POST", "/mcp", headers=headers, json=body)),
            stack.enter_context(http.stream("POST", "/mcp", headers=modern, json=asking)),
        ]
        assert http.patch("/articles/preferences", json={"title": "T"}).status_code == 200
        texts = [stream.iter_text() for stream in streams]
        begun = [next(text) for text in texts]
        process.send_signal(number)
        before = time.monotonic()
        # Each response is whole: a body that breaks off raises.
        whole = ["".join([first, *rest]) for first, rest in zip(begun, texts, strict=True)]
        said = process.communicate(timeout=20)[0]
        # Less than two on a machine that has nothing else to do.
        assert time.monotonic() - before < 10
    assert "event: updated" in whole[0]
    assert "The service is stopping" in whole[1]
    assert '"result"' in whole[2]
    assert '"result"' in whole[3]
    assert "Application shutdown complete" in said
    for wrong in ("Traceback", "ERROR", "exceeded", "Exception"):
        assert wrong not in said, said


async def test_a_watcher_hears_of_the_end(app: FastAPI) -> None:
    async with started(app) as running, streamed(running, "GET", "/changes?since=0") as watched:
        while not app.state.store.feed.listeners:
            await anyio.lowlevel.checkpoint()
        app.state.stop.tell()
        app.state.store.feed.ring()
        assert await watched.chunk() is None


async def test_a_request_that_has_no_answer_yet_is_told_to_come_back(app: FastAPI) -> None:
    waits = anyio.Event()

    @app.get("/waiting")
    async def waiting(request: Request) -> None:
        waits.set()
        while not await request.is_disconnected():
            await anyio.lowlevel.checkpoint()

    async with (
        started(app) as running,
        httpx.AsyncClient(transport=httpx.ASGITransport(running), base_url="http://kb") as client,
        anyio.create_task_group() as tasks,
    ):
        statuses: list[int] = []

        async def get() -> None:
            response = await client.get("/waiting")
            statuses.append(response.status_code)

        tasks.start_soon(get)
        with anyio.fail_after(30):
            await waits.wait()
        app.state.stop.tell()
        response = await client.post("/chat", json={"prompt": "hello"})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "5"
    # It has noticed by itself, and answered.
    assert statuses == [200]


async def test_a_silent_request_is_ended_with_an_answer(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"chat_pace": 3_600}))
    headers = {"Accept": "application/json"}
    question = {"prompt": "What is a revision rule?"}
    async with started(app) as running, anyio.create_task_group() as tasks:
        replied: list[int] = []

        async def ask() -> None:
            async with streamed(running, "POST", "/chat", question, headers=headers) as response:
                replied.append(response.status)

        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        app.state.stop.tell()
    assert replied == [503]


async def test_an_app_that_is_started_again_serves_again(app: FastAPI) -> None:
    for _ in range(2):
        async with started(app) as running:
            async with streamed(running, "GET", "/server-time") as response:
                assert response.status == 200
            app.state.stop.tell()
            app.state.stop_calls.tell()


async def test_the_handlers_of_the_server_are_called_and_put_back(app: FastAPI) -> None:
    called: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: called.append(number))
    try:
        async with started(app):
            signal.raise_signal(signal.SIGTERM)
            assert called == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert len(called) == 2
    finally:
        signal.signal(signal.SIGTERM, before)
