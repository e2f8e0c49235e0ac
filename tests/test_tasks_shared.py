"""Long work of several processes: tasks in a real Redis, and workers that are other processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
import redis
from docket import Docket
from fastapi import FastAPI

from mcp_mount import Tasks, mount_mcp
from mcp_mount.tasks import store
from tests.longapp import make
from tests.longwork import KEY, MARK, META, ask, check_room, ended, is_unknown, start, until
from tests.starting import started
from tests.stores import PASSWORD, needs_redis, running
from tests.support import Reply, call

pytestmark = needs_redis

TOKEN = "the-token-of-alice"
ALICE, BOB = {"authorization": f"Bearer {TOKEN}"}, {"authorization": "Bearer bob"}
MADE_UP = "x" * 43
"""An id that could be a task's."""

ROOT = Path(__file__).parent.parent


@dataclass
class Farm:
    """A Redis, a folder in which one sees what happens, and workers."""

    url: str
    folder: Path

    def worker(self) -> AbstractContextManager[subprocess.Popen[str]]:
        return worker("tests.longapp:make")

    async def has(self, name: str, text: str = "") -> None:
        """Wait until a file is there, with a text in it."""
        with anyio.fail_after(60):
            path = self.folder / name
            while not (path.exists() and text in path.read_text()):  # noqa: ASYNC110
                await anyio.sleep(0.02)  # Another process writes it.

    def end(self) -> None:
        (self.folder / "end").touch()

    def begun(self) -> list[str]:
        return (self.folder / "begun").read_text().split()

    def everything(self) -> dict[str, str]:
        """Return what whoever reads the Redis can read, by its keys."""
        with redis.Redis.from_url(self.url) as client:
            return {key.decode(): self._read(client, key) for key in client.scan_iter()}

    def _read(self, client: "redis.Redis", key: bytes) -> str:
        kind = client.type(key)
        if kind == b"hash":
            return str(client.hgetall(key))
        if kind == b"stream":
            return str(client.xrange(key))
        if kind == b"zset":
            return str(client.zrange(key, 0, -1, withscores=True))
        if kind == b"set":
            return str(client.smembers(key))
        return str(client.get(key))

    def task(self) -> str:
        """Return the name of the one task that there is."""
        (name,) = (key.rsplit(":", 1)[1] for key in self.everything() if ":mcp:task:" in key)
        return name


@contextmanager
def worker(target: str) -> Iterator[subprocess.Popen[str]]:
    """Run a worker until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_mount", "worker", target],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        try:
            assert any("Application startup complete" in line for line in process.stderr)
            yield process
        finally:
            process.kill()


@pytest.fixture
def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    with running(tmp_path) as url:
        monkeypatch.setenv("TASKS_URL", url)
        monkeypatch.setenv("TASKS_FOLDER", str(tmp_path))
        yield Farm(url, tmp_path)


async def test_a_worker_runs_what_one_process_started_and_another_tells(farm: Farm) -> None:
    async with started(make()) as one, started(make()) as other:
        task_id = await start(one, "report", {"title": "May"}, headers=ALICE)
        with farm.worker() as process:
            await farm.has("begun", "May")
            working = await ask(other, task_id, headers=ALICE)
            assert working.result["status"] == "working"
            for app in (one, other):
                assert is_unknown(await ask(app, task_id, headers=BOB))
                assert is_unknown(await ask(app, task_id, "cancel", headers=BOB))
            farm.end()
            task = await ended(other, task_id, headers=ALICE)
        assert is_unknown(await ask(one, task_id, headers=BOB))
        assert (await ask(one, task_id, headers=ALICE)).result == task
    assert task["result"]["structuredContent"] == {
        "title": "May",
        "caller": ALICE["authorization"],
        "process": str(process.pid),
    }


async def test_who_reads_the_store_learns_nothing(farm: Farm) -> None:
    """Not the credential, arguments, result or tool, nor the id with which a task is fetched."""

    def check(*, has_request: bool) -> None:
        everything = farm.everything()
        seen = str(everything)
        for secret in (TOKEN, "May", "report", task_id, "authorization", "alice"):
            assert secret not in seen
        assert any("b'request'" in value for value in everything.values()) is has_request

    async with started(make()) as app:
        task_id = await start(app, "report", {"title": "May"}, headers=ALICE)
        check(has_request=True)
        with farm.worker():
            await farm.has("begun", "May")
            # The credential is dropped as soon as the work has begun.
            check(has_request=False)
            farm.end()
            await ended(app, task_id, headers=ALICE)
            check(has_request=False)


async def test_a_task_that_is_cancelled_before_it_begins_drops_its_credential(farm: Farm) -> None:
    async with started(make()) as app:
        task_id = await start(app, "report", {"title": "May"}, headers=ALICE)
        await ask(app, task_id, "cancel", headers=ALICE)
        assert "b'request'" not in str(farm.everything())
        assert (await ask(app, task_id, headers=ALICE)).result["status"] == "cancelled"
        with farm.worker():
            farm.end()
            task = await start(app, "report", {"title": "June"}, headers=ALICE)
            await ended(app, task, headers=ALICE)
    assert farm.begun() == ["June"]


async def test_all_is_forgotten_after_its_time(farm: Farm) -> None:
    async with started(make()) as app:
        await start(app, "report", {"title": "May"}, headers=ALICE)
        with redis.Redis.from_url(farm.url) as client:
            ours = [key for key in farm.everything() if ":mcp:" in key]
            assert len(ours) == 4
            assert all(0 < int(str(client.ttl(key))) <= 3720 for key in ours)


async def test_a_made_up_key_beside_a_real_one_gets_no_more_tasks(farm: Farm) -> None:
    """F2: whichever process is asked."""
    one, other = make(), make()
    async with started(one), started(other):
        for number in range(20):
            app = (one, other)[number % 2]
            await start(app, "report", {"title": "May"}, headers=beside(number))
        for app in (one, other):
            refused = await call(app, "report", {"title": "May"}, meta=META, headers=beside(20))
            assert "too many tasks that have not ended" in refused.text_content
            await start(app, "report", {"title": "May"}, headers=BOB)
    with redis.Redis.from_url(farm.url) as client:
        counts = [key for key in farm.everything() if ":mcp:of:" in key]
        # Alice, Bob, and twenty made-up keys.
        assert len(counts) == 22
        assert all(0 < int(str(client.ttl(key))) <= 3720 for key in counts)


async def test_where_all_have_too_many_one_that_ended_makes_room(farm: Farm) -> None:
    """F2: as in memory, and nothing of it is left."""
    app = FastAPI()
    app.add_api_route("/report", lambda title: title, operation_id="report", openapi_extra=MARK)
    mount_mcp(app, tasks=Tasks(farm.url, in_all=5), state_key=KEY)
    await check_room(app)
    everything = farm.everything()
    assert sum(":mcp:task:" in key for key in everything) == 5
    assert sum(":mcp:of:" in key for key in everything) == 2


def beside(number: int) -> dict[str, str]:
    """Return what Alice shows, and a key beside it that nobody reads."""
    return {**ALICE, "x-api-key": f"made up {number}"}


async def test_a_task_of_less_time_does_not_shorten_what_counts_one_of_more(farm: Farm) -> None:
    """Two apps, or two marks, may give a caller's tasks different times."""
    long, short = FastAPI(), FastAPI()
    for app, keep in ((long, 3600.0), (short, 1.0)):
        app.add_api_route("/one", lambda: 1, operation_id="one", openapi_extra=MARK)
        mount_mcp(app, tasks=Tasks(farm.url, keep=keep), state_key=KEY)
    async with started(long) as one, started(short) as other:
        await start(one, "one")
        await start(other, "one")
    with redis.Redis.from_url(farm.url) as client:
        counts = [key for key in farm.everything() if ":mcp:" in key and ":mcp:task:" not in key]
        assert len(counts) == 3
        assert all(int(str(client.ttl(key))) > 3000 for key in counts)


async def run_nothing(name: str) -> None:
    """Stand for what a worker runs, in a program that only names it."""


async def test_a_worker_that_is_killed_fails_its_task_and_no_other_runs_it_again(
    farm: Farm,
) -> None:
    """Nobody knows how far it has come."""
    async with started(make()) as app:
        task_id = await start(app, "report", {"title": "May"}, headers=ALICE)
        with farm.worker() as process:
            await farm.has("begun", "May")
            process.send_signal(signal.SIGKILL)
        name = farm.task()
        with redis.Redis.from_url(farm.url) as client:
            (alive,) = (key for key in farm.everything() if ":mcp:alive:" in key)
            assert 0 < int(str(client.ttl(alive))) <= 15
            # As when that time is over.
            client.delete(alive)
        task = (await ask(app, task_id, headers=ALICE)).result
        assert task["status"] == "failed"
        assert "The worker that ran the task has died" in task["error"]["message"]
        farm.end()
        with farm.worker():
            # As the queue does with what no worker has said to be done.
            queue = alive.partition(":mcp:")[0]
            async with Docket(queue, farm.url) as docket:
                docket.register(run_nothing, names=["mcp_mount_task"])
                await docket.add("mcp_mount_task", key="again")(name)
            other = await start(app, "report", {"title": "June"}, headers=ALICE)
            assert (await ended(app, other, headers=ALICE))["status"] == "completed"
        assert (await ask(app, task_id, headers=ALICE)).result["status"] == "failed"
    assert farm.begun() == ["May", "June"]


async def test_a_worker_that_is_told_to_stop_says_so_and_leaves_the_rest_to_others(
    farm: Farm,
) -> None:
    async with started(make()) as app:
        first = await start(app, "report", {"title": "May"}, headers=ALICE)
        with farm.worker() as process:
            await farm.has("begun", "May")
            second = await start(app, "report", {"title": "June"}, headers=ALICE)
            process.send_signal(signal.SIGTERM)
            _, log = await anyio.to_thread.run_sync(lambda: process.communicate(timeout=20))
        assert process.returncode == 0, log
        assert "1 tasks were running, and have ended." in log
        assert "Traceback" not in log
        task = (await ask(app, first, headers=ALICE)).result
        assert task["status"] == "completed"
        assert task["result"]["isError"] is True
        assert "the server was shut down" in task["result"]["content"][0]["text"]
        assert (await ask(app, second, headers=ALICE)).result["status"] == "working"
        farm.end()
        with farm.worker():
            task = await ended(app, second, headers=ALICE)
        assert task["result"]["structuredContent"]["title"] == "June"
    assert farm.begun() == ["May", "June"]


async def test_cancelling_ends_the_work_in_whichever_process_it_runs(farm: Farm) -> None:
    async with started(make()) as one, started(make()) as other:
        task_id = await start(one, "report", {"title": "May"}, headers=ALICE)
        with farm.worker():
            await farm.has("begun", "May")
            await ask(other, task_id, "cancel", headers=ALICE)
            await farm.has("closed")
            assert (await ask(one, task_id, headers=ALICE)).result["status"] == "cancelled"


async def test_a_result_waits_for_a_store_that_comes_back(farm: Farm) -> None:
    """Redis answers nothing for six seconds, of which the worker waits five for each answer."""
    async with started(make()) as app:
        task_id = await start(app, "report", {"title": "May"}, headers=ALICE)
        with farm.worker():
            await farm.has("begun", "May")
            with redis.Redis.from_url(farm.url) as client:
                client.client_pause(6000)
            farm.end()
            reply = await until(
                app,
                task_id,
                lambda reply: reply.answer.get("result", {}).get("status") == "completed",
                headers=ALICE,
            )
    assert reply.result["result"]["structuredContent"]["title"] == "May"
    assert farm.begun() == ["May"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_what_a_slow_store_adds_too_late_takes_nobodys_place(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2: whoever started these was told that tasks cannot be reached, and knows none of them."""
    app = FastAPI()
    app.add_api_route("/one", lambda: 1, operation_id="one", openapi_extra=MARK)
    mount_mcp(app, tasks=Tasks(farm.url, per_caller=4), state_key=KEY)

    async def at_once(asking: Callable[[], Awaitable[Reply]]) -> list[Reply]:
        return await asyncio.gather(*(asking() for _ in range(20)))

    def tasks() -> int:
        return sum(":mcp:task:" in key for key in farm.everything())

    async with started(app):
        # Connections that are open already take what Redis reads later.
        await at_once(lambda: ask(app, MADE_UP))
        with monkeypatch.context() as patch, redis.Redis.from_url(farm.url) as client:
            patch.setattr(store, "_SECONDS", 0.5)
            patch.setattr(store, "_TO_QUEUE", 2)
            process = client.info()["process_id"]
            os.kill(process, signal.SIGSTOP)
            refused = await at_once(lambda: call(app, "one", meta=META))
            os.kill(process, signal.SIGCONT)
        assert {each.text_content for each in refused} == {
            "Tasks cannot be reached now. Try again in a minute."
        }
        with anyio.fail_after(30):
            while tasks() < 4:  # noqa: ASYNC110 - Redis reads on, and forgets, by itself
                await anyio.sleep(0.02)
            while tasks():  # noqa: ASYNC110
                await anyio.sleep(0.02)
        for _ in range(4):
            await start(app, "one")


async def test_a_caller_who_asks_much_keeps_nobody_else_from_tasks(
    farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    """No caller takes more than its share of the connections to the store, or of its time.

    That many wait is not taken for a store that has gone, and leaves few connections open.
    """
    answered: list[str] = []

    async def asked(caller: dict[str, str], task_id: str, verb: str = "get") -> Reply:
        reply = await ask(app, task_id, verb, headers=caller)
        answered.append(caller["authorization"])
        return reply

    async with started(make()) as app:
        task_id = await start(app, "report", {"title": "May"}, headers=BOB)
        crowd = [
            asyncio.ensure_future(asked(ALICE, MADE_UP, verb))
            for verb in ("get", "update", "cancel") * 70
        ]
        assert (await asked(BOB, task_id)).result["status"] == "working"
        await start(app, "report", {"title": "June"}, headers=BOB)
        # Those of Alice wait for each other, and Bob for none of them.
        assert len(answered) < len(crowd) / 2
        assert all(is_unknown(reply) for reply in await asyncio.gather(*crowd))
        with redis.Redis.from_url(farm.url) as client:
            assert len(client.client_list()) < 15
    assert "The store of tasks" not in caplog.text


async def test_a_crowd_of_callers_waits_for_a_connection(
    farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    """As many as can be are asked for at once, and the store is not taken to have gone."""
    crowd = [{"authorization": f"Bearer {number % 30}"} for number in range(120)]
    async with started(make()) as app:
        replies = await asyncio.gather(*(ask(app, MADE_UP, headers=each) for each in crowd))
        assert all(is_unknown(reply) for reply in replies)
        with redis.Redis.from_url(farm.url) as client:
            assert len(client.client_list()) < 40
    assert "The store of tasks" not in caplog.text


async def test_another_key_reads_nothing(farm: Farm) -> None:
    """An app of somebody else's in the same Redis, or one whose key is new."""
    theirs = FastAPI()

    @theirs.get("/one", operation_id="one", openapi_extra=MARK)
    async def one() -> int:
        return 1

    mount_mcp(theirs, tasks=Tasks(farm.url), state_key=f"another {KEY}")
    async with started(make()) as app, started(theirs) as other:
        task_id = await start(app, "report", {"title": "May"}, headers=ALICE)
        assert is_unknown(await ask(other, task_id, headers=ALICE))
        assert is_unknown(await ask(other, task_id, "cancel", headers=ALICE))
        assert (await ask(app, task_id, headers=ALICE)).result["status"] == "working"


async def test_a_store_that_has_gone_refuses_tasks_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "end").touch()
    monkeypatch.setenv("TASKS_FOLDER", str(tmp_path))
    store = ExitStack()
    monkeypatch.setenv("TASKS_URL", store.enter_context(running(tmp_path)))
    async with started(make()) as app:
        task_id = await start(app, "report", {"title": "May"})
        store.close()
        refused = await call(app, "report", {"title": "June"}, meta=META)
        asked = await ask(app, task_id)
        # Of ids that no task has nobody asks.
        short, long, strange = "x" * 42, "x" * 44, f"{MADE_UP[1:]}!"
        for verb in ("get", "update", "cancel"):
            assert is_unknown(await ask(app, "", verb))
            for made_up in (short, long, strange):
                assert is_unknown(await ask(app, made_up, verb))
        plain = await call(app, "report", {"title": "June"})
    assert refused.text_content == "Tasks cannot be reached now. Try again in a minute."
    assert asked.answer["error"]["code"] == -32603
    assert plain.result["structuredContent"]["title"] == "June"
    assert PASSWORD not in caplog.text


def test_a_worker_without_tasks_says_what_is_missing(farm: Farm) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mcp_mount", "worker", "mock_api.main:app"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "KB_DATABASE": str(farm.folder / "kb.sqlite3")},
    )
    assert done.returncode == 1
    assert "has no tasks for a worker: give mount_mcp tasks=Tasks('redis://host:6379')" in (
        done.stderr
    )
