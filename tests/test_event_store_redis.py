"""Events that are kept in a real Redis: sealed, not for long, and calls go on when it is gone."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
import redis
from anyio.lowlevel import checkpoint
from mcp.server.streamable_http import EventMessage
from mcp_types import JSONRPCResponse

from mcp_mount.access import store as access_store
from mcp_mount.endpoints.event_store import open_events
from tests.resuming import (
    KEY,
    Slow,
    answer,
    calling,
    error_of,
    opened,
    primed,
    resuming,
    text_of,
)
from tests.starting import started, turns_taken
from tests.stores import PASSWORD, needs_redis, running

pytestmark = [
    needs_redis,
    # What py-key-value calls of Redis' client is deprecated there.
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]
GONE = "The answer came while the connection was broken, and is not kept any more."


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(tmp_path) as url:
        yield url


def done(store: str) -> Slow:
    """Return an app whose calls wait for nothing."""
    slow = Slow(store, state_key=KEY)
    slow.go_on.set()
    return slow


async def test_the_store_learns_nothing_and_forgets_it_soon(url: str) -> None:
    """C1: neither what was answered nor in whose session, and that for ten minutes."""
    slow = done(url)
    async with started(slow.app) as app:
        session = await opened(app)
        async with calling(app, session, "wait") as it:
            await primed(it)
            await answer(it)
    with redis.Redis.from_url(url, decode_responses=True) as client:
        keys = list(client.scan_iter())
        # The answers to the handshake and to the call.
        assert len(keys) == 2
        for key in keys:
            assert session["mcp-session-id"].partition(".")[0] not in key
            assert "waited" not in str(client.get(key))
            assert 590 <= int(str(client.ttl(key))) <= 600


@pytest.mark.parametrize("planted", ["plain", "other", "broken"])
async def test_what_others_write_into_the_store_reaches_no_client(url: str, planted: str) -> None:
    """C1: not what is not sealed, nor what was sealed for another event."""
    slow = done(url)
    async with started(slow.app) as app:
        session = await opened(app)
        async with calling(app, session, "big", {"size": 5}) as it:
            await primed(it)
            await answer(it)
        with redis.Redis.from_url(url, decode_responses=True) as client:
            others = str(client.get(next(k for k in client.scan_iter())))
            before = set(client.scan_iter())
        async with calling(app, session, "wait") as it:
            last = await primed(it)
            await answer(it)
        with redis.Redis.from_url(url, decode_responses=True) as client:
            (key,) = set(client.scan_iter()) - before
            evil = '{"value":{"message":"{\\"jsonrpc\\":\\"2.0\\",\\"id\\":1,\\"result\\":{}}"}}'
            client.set(key, {"plain": evil, "other": others, "broken": "?"}[planted])
        async with resuming(app, session, last) as again:
            progress, message = await answer(again)
    assert progress == []
    assert (message["id"], error_of(message)[: len(GONE)]) == (1, GONE)


async def test_a_store_that_goes_loses_no_answer_of_a_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C6: who comes back is told that it is gone; with the store's return all is as before."""
    monkeypatch.setattr(access_store, "_PAUSE", 0.0)
    with running(tmp_path) as url:
        slow = done(url)
        async with started(slow.app) as app:
            session = await opened(app)
            with redis.Redis.from_url(url) as client:
                client.shutdown(nosave=True)
            with anyio.fail_after(8):
                async with calling(app, session, "wait") as it:
                    last = await primed(it)
                    assert text_of((await answer(it))[1]) == '"waited"'
            async with resuming(app, session, last) as again:
                assert error_of((await answer(again))[1]).startswith(GONE)
            folder = tmp_path / "again"
            folder.mkdir()
            with running(folder, urlsplit(url).port or 0):
                async with resuming(app, session, last) as again:
                    assert error_of((await answer(again))[1]).startswith(GONE)
                async with calling(app, session, "wait") as it:
                    last = await primed(it)
                    await answer(it)
                async with resuming(app, session, last) as again:
                    assert text_of((await answer(again))[1]) == '"waited"'
    said = [each for each in caplog.records if each.name == "mcp_mount"]
    assert [each.levelno for each in said] == [logging.ERROR, logging.WARNING]
    assert said[0].getMessage().startswith("The store of event_store= fails: who loses")
    assert PASSWORD not in caplog.text


async def test_a_store_that_does_not_answer_holds_up_one_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """C6: for a second; the others do without it for a while."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = done(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        async with started(slow.app) as app:
            # Here the answer to the handshake has waited.
            session = await opened(app)
            with anyio.fail_after(0.9):
                for _ in range(3):
                    async with calling(app, session, "wait") as it:
                        await primed(it)
                        assert text_of((await answer(it))[1]) == '"waited"'
    said = [each.levelno for each in caplog.records if each.name == "mcp_mount"]
    assert said == [logging.ERROR]


async def test_others_run_while_what_was_missed_is_opened(url: str) -> None:
    """L6: four MiB that are sealed took a tenth of a second in one step, or two."""
    replayed: list[EventMessage] = []

    async def replay(event: EventMessage) -> None:
        replayed.append(event)
        await checkpoint()  # As what sends it does.

    async with AsyncExitStack() as stack:
        kept = open_events(url, KEY, stack)
        first = await kept.store_event("32:a:1", None)
        for _ in range(700):
            result = {"text": "x" * 4_500}
            await kept.store_event("32:a:1", JSONRPCResponse(jsonrpc="2.0", id=1, result=result))
        async with turns_taken() as turns:
            await kept.replay_events_after(first, replay)
    assert len(replayed) == 700
    assert max(turns) < 0.02


async def test_many_large_events_do_not_keep_those_of_others_from_the_store(url: str) -> None:
    """F2: what takes long to seal is no failure of the store, which would not be asked again."""
    replayed: list[EventMessage] = []

    async def replay(event: EventMessage) -> None:
        replayed.append(event)

    large = JSONRPCResponse(jsonrpc="2.0", id=1, result={"text": "😀" * 260_000})
    async with AsyncExitStack() as stack:
        kept = open_events(url, KEY, stack)
        first = await kept.store_event("32:a:1", None)
        await asyncio.gather(*(kept.store_event(f"32:b{each}:1", large) for each in range(60)))
        small = JSONRPCResponse(jsonrpc="2.0", id=1, result={"text": "small"})
        await kept.store_event("32:a:1", small)
        await kept.replay_events_after(first, replay)
    assert [each.message for each in replayed] == [small]


async def test_another_process_has_neither_the_session_nor_its_events(url: str) -> None:
    """X1: here another app with the same store and key; so clients have to reach the first."""
    one, other = done(url), done(url)
    async with started(one.app) as first, started(other.app) as second:
        session = await opened(first)
        async with calling(first, session, "wait") as it:
            last = await primed(it)
            await answer(it)
        async with resuming(second, session, last) as refused:
            assert refused.status == 404
        own = await opened(second)
        async with resuming(second, own, last) as nothing:
            assert await nothing.chunk() is None
        async with resuming(first, session, last) as again:
            assert text_of((await answer(again))[1]) == '"waited"'
