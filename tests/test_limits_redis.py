"""How often a caller may call, counted in a real Redis that several processes share."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
import redis
from anyio.abc import Listener, SocketAttribute, SocketStream
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mcp_mount import RateLimit, mount_mcp
from tests.stores import PASSWORD, needs_redis, running
from tests.support import ERAS, Era, Reply, call, envelope, http

pytestmark = needs_redis
UNCHECKED = "The rate limit cannot be checked now. Try again in a minute."


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(tmp_path) as url:
        yield url


def limited(url: str, rate: str = "2/hour") -> FastAPI:
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    mount_mcp(app, rate_limit=RateLimit(rate, url))
    return app


@pytest.mark.parametrize("era", ERAS)
async def test_two_processes_count_one_caller_together(url: str, era: Era) -> None:
    """C6: here two apps that share nothing but the store."""
    one, other = limited(url), limited(url)
    alice, bob = {"authorization": "Bearer alice"}, {"authorization": "Bearer bob"}
    assert (await call(one, "ping", era=era, headers=alice)).text_content == '"pong"'
    assert (await call(other, "ping", era=era, headers=alice)).text_content == '"pong"'
    for app in (one, other):
        refused = await call(app, "ping", era=era, headers=alice)
        assert "Too many calls: 2 per 1 hour are allowed." in refused.text_content
        assert not (await call(app, "ping", era=era, headers=bob)).is_error


async def test_the_store_learns_no_credential(url: str) -> None:
    """C6: only that somebody, whom it cannot name, has called; and it forgets that."""
    await call(limited(url), "ping", headers={"authorization": "Bearer planted", "x-api-key": "k"})
    with redis.Redis.from_url(url, decode_responses=True) as client:
        keys = list(client.scan_iter())
        # One for each credential shown.
        assert len(keys) == 2
        for key in keys:
            assert "mcp_mount/key:" in key
            assert "planted" not in f"{key}{client.get(key)}"
            assert 0 < int(str(client.ttl(key))) <= 2 * 3600


@pytest.mark.parametrize("era", ERAS)
async def test_many_calls_at_once_are_counted_exactly(url: str, era: Era) -> None:
    """C6: over a few connections, fewer than the store or its client allows."""
    app = limited(f"{url}?socket_timeout=9", "50/hour")
    replies: list[Reply] = []
    with redis.Redis.from_url(url) as client:
        # So that all of them are waiting for an answer before the first one has it.
        client.client_pause(500)

    async def one() -> None:
        replies.append(await call(app, "ping", era=era))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(one)
    texts = [reply.text_content for reply in replies]
    assert texts.count('"pong"') == 50, set(texts)
    assert UNCHECKED not in texts
    with redis.Redis.from_url(url) as client:
        assert client.info("clients")["connected_clients"] <= 33


@pytest.mark.parametrize("era", ERAS)
def test_connections_outlive_event_loops(url: str, era: Era) -> None:
    """C6, M3: as under Starlette's `TestClient` without `with`."""
    client = TestClient(limited(url))
    headers, body = envelope(era, "tools/call", {"name": "ping", "arguments": {}})
    texts = [client.post("/mcp", headers=headers, json=body).text for _ in range(3)]
    assert [("Too many calls" in text) for text in texts] == [False, False, True]


@pytest.mark.parametrize("era", ERAS)
async def test_a_store_that_is_down_lets_nobody_in_until_it_is_back(
    era: Era, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: why is in the log, but for the password; the client learns nothing of the store."""
    with running(tmp_path) as url:
        app = limited(url)
        assert not (await call(app, "ping", era=era)).is_error
    with anyio.fail_after(30):
        refused = await call(app, "ping", era=era)
    assert (refused.status, refused.is_error, refused.text_content) == (200, True, UNCHECKED)
    (record,) = [record for record in caplog.records if record.name == "mcp_mount"]
    assert record.levelno == logging.ERROR
    assert "Connection" in (record.exc_text or caplog.text)
    assert PASSWORD not in caplog.text
    assert str(urlsplit(url).port) not in refused.text


async def test_a_store_that_does_not_answer_keeps_no_thread_from_the_apps_routes() -> None:
    """C6: all of them wait for the store until it is gone."""
    meeting = threading.Barrier(20, timeout=20)
    replies: list[Reply] = []
    with socket.create_server(("127.0.0.1", 0)) as silent, anyio.fail_after(30):
        app = limited(f"redis://127.0.0.1:{silent.getsockname()[1]}?socket_timeout=25")

        @app.get("/meet")
        def meet() -> str:
            meeting.wait()
            return "met"

        async def one() -> None:
            replies.append(await call(app, "ping"))

        async with http(app) as client, anyio.create_task_group() as tasks:
            for _ in range(32):
                tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as rest:
                for _ in range(20):
                    rest.start_soon(client.get, "/meet")
            assert replies == []
            silent.close()
    assert {reply.text_content for reply in replies} == {UNCHECKED}


async def test_a_store_that_does_not_answer_keeps_nobody_waiting() -> None:
    """C6: callers are told, soon."""
    with socket.create_server(("127.0.0.1", 0)) as silent, anyio.fail_after(20):
        app = limited(f"redis://127.0.0.1:{silent.getsockname()[1]}?socket_timeout=0.2")
        assert (await call(app, "ping")).text_content == UNCHECKED


@pytest.mark.parametrize("era", ERAS)
async def test_a_store_that_is_down_fills_no_log(
    era: Era, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: a line when it goes and one when it is back, however many calls are refused meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    app = limited(f"redis://:{PASSWORD}@127.0.0.1:{port}", "1000/hour")
    for _ in range(40):
        assert (await call(app, "ping", era=era)).text_content == UNCHECKED

    def said() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name == "mcp_mount"]

    assert said() == ["The rate limit cannot be checked: calls are refused until it can"]
    with running(tmp_path, port):
        for _ in range(2):
            assert (await call(app, "ping", era=era)).text_content == '"pong"'
    assert said()[1:] == ["The rate limit can be checked again"]
    # It goes once more, within a minute: that is in the line of each call only.
    assert (await call(app, "ping", era=era)).text_content == UNCHECKED
    assert len(said()) == 2


def port_of(server: Listener[SocketStream]) -> int:
    port: int = server.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    return port


@pytest.mark.parametrize("answer", [b"$3\r\nabc\r\n", b":-5\r\n", b":2\r\n", b"*1\r\n:1\r\n"])
async def test_a_store_that_answers_what_no_count_is_lets_nothing_through(answer: bytes) -> None:
    async def talk(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while asked := await stream.receive():
                    await stream.send(answer * asked.count(b"*"))

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as server:
        port = port_of(server)
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, talk)
            reply = await call(limited(f"redis://:{PASSWORD}@127.0.0.1:{port}"), "ping")
            group.cancel_scope.cancel()
    assert reply.text_content == UNCHECKED


async def test_nobody_waits_for_a_silent_store_behind_many_others() -> None:
    """Two seconds, for the answer is asked for once more; not as long as the queue is."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as server:
        app = limited(f"redis://127.0.0.1:{port_of(server)}")
        replies: list[Reply] = []

        async def ask() -> None:
            replies.append(await call(app, "ping"))

        with anyio.fail_after(4):
            async with anyio.create_task_group() as group:
                for _ in range(100):
                    group.start_soon(ask)
    assert {each.text_content for each in replies} == {UNCHECKED}
