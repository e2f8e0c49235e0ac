"""A client of a session whose connection broke comes back, and gets what it missed."""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from fastapi import FastAPI
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.event_store import EventStore as FastMCPEventStore
from fastmcp.utilities.asgi_transport import StreamingASGITransport
from key_value.aio.stores.memory import MemoryStore
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.server.streamable_http import (
    EventCallback,
    EventId,
    EventMessage,
    EventStore,
    StreamId,
)
from mcp_types import JSONRPCResponse, TextContent

from mcp_mount import MountError, mount_mcp
from mcp_mount.endpoints import events
from mcp_mount.endpoints.event_store import open_events
from tests.access import bearer, static
from tests.raw import send_raw
from tests.resuming import (
    KEY,
    PRIMED,
    Cut,
    Slow,
    Store,
    answer,
    calling,
    error_of,
    event_of,
    opened,
    primed,
    resuming,
    text_of,
)
from tests.starting import started
from tests.stores import needs_redis, running
from tests.support import BASE_URL, call, connected, envelope

# What py-key-value calls of Redis' client is deprecated there.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")
GONE = "The answer came while the connection was broken, and is not kept any more."


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running(tmp_path) as url:
        yield url


@pytest.fixture(
    params=["memory", "FastMCP's", pytest.param("redis", marks=needs_redis)],
)
def store(request: pytest.FixtureRequest) -> Store:
    """Every kind of store."""
    if request.param == "redis":
        found: str = request.getfixturevalue("url")
        return found
    return "memory://" if request.param == "memory" else FastMCPEventStore()


async def test_who_comes_back_during_a_call_gets_its_answer(store: Store) -> None:
    """X1: as soon as it is there."""
    slow = Slow(store, state_key=KEY)
    async with started(slow.app) as app:
        session = await opened(app)
        async with calling(app, session, "wait") as it:
            last = await primed(it)
            await slow.begun.wait()
        async with resuming(app, session, last) as again:
            assert again.status == 200
            await primed(again)
            slow.go_on.set()
            progress, message = await answer(again)
    assert (progress, text_of(message)) == ([], '"waited"')


async def test_who_comes_back_after_a_call_gets_its_answer(store: Store) -> None:
    """X1, S1: with the progress that it missed, and nothing that it has had."""
    slow = Slow(store, state_key=KEY)
    async with started(slow.app) as app:
        session = await opened(app)
        async with calling(app, session, "stream") as it:
            first = await primed(it)
            last = event_of(await it.chunk())["id"]
            await slow.begun.wait()
        slow.go_on.set()
        await anyio.wait_all_tasks_blocked()
        async with resuming(app, session, last) as again:
            progress, message = await answer(again)
            assert (progress, text_of(message)) == (["two"], "onetwo")
        async with resuming(app, session, first) as again:
            progress, message = await answer(again)
            assert (progress, text_of(message)) == (["one", "two"], "onetwo")


@pytest.mark.parametrize("has_auth", [False, True])
async def test_nobody_else_gets_what_a_session_has_missed(store: Store, *, has_auth: bool) -> None:
    """C1: neither with the session's id, nor with an event's in a session of their own."""
    auth = {"auth": static(alice=[], bob=[])} if has_auth else {}
    slow = Slow(store, state_key=KEY, **auth)
    slow.go_on.set()
    async with started(slow.app) as app:
        alice = await opened(app, **bearer("alice"))
        bob = await opened(app, **bearer("bob"))
        async with calling(app, alice, "wait") as it:
            last = await primed(it)
            assert text_of((await answer(it))[1]) == '"waited"'
        for headers in (bearer("bob"), {"Authorization": ""}):
            async with resuming(app, {**alice, **headers}, last) as refused:
                assert refused.status in ({401, 404} if has_auth else {404})
                assert "waited" not in str(await refused.chunk())
        async with resuming(app, bob, last) as nothing:
            assert await nothing.chunk() is None
        async with resuming(app, alice, last) as again:
            assert text_of((await answer(again))[1]) == '"waited"'


class Resumed:
    """Both clients, as each comes back by itself."""

    @staticmethod
    async def fastmcp(transport: httpx2.AsyncBaseTransport) -> str:
        def factory(*args: Any, **more: Any) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(*args, **{**more, "transport": transport})

        at = StreamableHttpTransport(f"{BASE_URL}/mcp", httpx_client_factory=factory)
        async with Client(at, mode="legacy") as client:
            (block,) = (await client.call_tool("wait")).content
        assert isinstance(block, TextContent)
        return block.text

    @staticmethod
    async def sdk(transport: httpx2.AsyncBaseTransport) -> str:
        async with (
            httpx2.AsyncClient(transport=transport, base_url=BASE_URL) as sender,
            streamable_http_client(f"{BASE_URL}/mcp", http_client=sender) as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            (block,) = (await session.call_tool("wait")).content
        assert isinstance(block, TextContent)
        return block.text


@pytest.mark.parametrize("client", [Resumed.fastmcp, Resumed.sdk], ids=["FastMCP", "SDK"])
async def test_clients_come_back_by_themselves(client: Any, store: Store) -> None:
    """X1: whoever called learns nothing of it."""
    slow = Slow(store, state_key=KEY)
    async with started(slow.app) as app:
        cut = Cut(app)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:

                @tasks.start_soon
                async def go_on() -> None:
                    await cut.is_cut.wait()
                    await slow.begun.wait()
                    slow.go_on.set()

                text = await client(StreamingASGITransport(cut, cancel_on_close=False))
    assert text == '"waited"'


async def test_whoever_keeps_the_connection_gets_what_it_got_before(store: Store) -> None:
    """S1, X1: calls and progress, also of a client that knows nothing of it."""
    slow = Slow(store, state_key=KEY)
    slow.go_on.set()
    shown: list[str | None] = []

    async def show(progress: float, total: float | None, message: str | None) -> None:
        shown.append(message)

    async with started(slow.app) as app, connected(app, "legacy") as client:
        (block,) = (await client.call_tool("stream", progress_handler=show)).content
        assert isinstance(block, TextContent)
        assert (shown, block.text) == (["one", "two"], "onetwo")
        (block,) = (await client.call_tool("wait")).content
        assert isinstance(block, TextContent)
        assert block.text == '"waited"'


async def test_an_older_client_gets_json(store: Store) -> None:
    """R2: it is told of no event before its answer, whose size is then its own matter."""
    slow = Slow(store, state_key=KEY)
    async with started(slow.app) as app:
        session = await opened(app, "2025-06-18")
        reply = await call(app, "big", {"size": 2_000_000}, era="legacy", headers=session)
    assert reply.headers["content-type"] == "application/json"
    assert len(reply.text_content) == 2_000_000


async def test_the_stream_of_what_is_no_answer_goes_on_from_any_event() -> None:
    """X1: from one that is forgotten too, since nobody waits for an answer there."""
    async with started(Slow().app) as app:
        session = await opened(app)
        async with calling(app, session, "wait") as it:
            scope = (await primed(it)).rpartition(":")[0]
        forgotten = f"{scope}:_GET_stream/forgotten"
        async with resuming(app, session, forgotten) as again:
            assert (await primed(again)).startswith(f"{scope}:_GET_stream/")


@pytest.mark.parametrize("version", ["2025-06-18", PRIMED])
async def test_a_request_with_a_long_id_is_refused(
    version: str, caplog: pytest.LogCaptureFixture
) -> None:
    """X1: events that it is part of were more than is kept: a traceback, and no answer ever."""
    async with started(Slow().app) as app:
        session = await opened(app, version)
        headers, body = envelope("legacy", "ping")
        content = json.dumps({**body, "id": "/" * 3_000_000}).encode()
        refused = await send_raw(app, [content], {**headers, **session})
        assert refused.status == 400
        reply = await send_raw(app, [json.dumps(body).encode()], {**headers, **session})
        assert reply.status == 200
    assert not [each for each in caplog.records if each.exc_info]


@pytest.mark.parametrize("last", ["x" * 301, "a b/c", "\x1b[2J/x", "é/x"])
async def test_what_is_no_id_of_an_event_is_refused_before_it_is_in_the_log(
    last: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with started(Slow().app) as app:
        session = await opened(app)
        headers = {**session, "accept": "text/event-stream", "last-event-id": last}
        reply = await send_raw(app, [], headers, method="GET")
    assert reply.status == 400
    assert b"Last-Event-ID is no id of an event" in reply.body
    assert last not in caplog.text


async def test_an_answer_that_is_gone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """X1: nobody waits for it; one that was too large to be kept, and one that was forgotten."""
    monkeypatch.setattr(events, "_MOST_EVENTS", 4)
    slow = Slow()
    slow.go_on.set()
    async with started(slow.app) as app:
        session = await opened(app)
        async with calling(app, session, "big", {"size": 2_000_000}) as it:
            last = await primed(it)
            await answer(it)
        async with resuming(app, session, last) as again:
            _, message = await answer(again)
            assert message["id"] == 1
            assert error_of(message).startswith(GONE)
        for _ in range(2):
            async with calling(app, session, "wait") as it:
                await primed(it)
                await answer(it)
        async with resuming(app, session, last) as again:
            _, message = await answer(again)
            assert error_of(message).startswith(GONE)


class Plain(EventStore):
    """A store of the user's own."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    async def store_event(self, stream_id: StreamId, message: Any) -> EventId:  # noqa: ARG002
        self.kept.append(stream_id)
        return str(len(self.kept))

    async def replay_events_after(
        self, last_event_id: EventId, send_callback: EventCallback
    ) -> StreamId:
        await send_callback(EventMessage(JSONRPCResponse(jsonrpc="2.0", id=1, result={})))
        return last_event_id


@pytest.mark.parametrize("has_left", [False, True])
async def test_who_does_not_read_what_it_missed_takes_the_store_from_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, has_left: bool
) -> None:
    """It was taken for a store that fails, which was not asked for ten seconds, by any session."""
    # A store that waits for anything takes too long.
    monkeypatch.setattr("mcp_mount.access.store._SECONDS", 0)
    store, is_sending = Plain(), anyio.Event()
    guarded = open_events(store, None, AsyncExitStack())

    async def send(_: EventMessage) -> None:
        is_sending.set()
        if has_left:
            raise anyio.BrokenResourceError
        await anyio.Event().wait()

    async def come_back() -> None:
        with suppress(anyio.BrokenResourceError):
            await guarded.replay_events_after("0", send)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(come_back)
            await is_sending.wait()
            for _ in range(10):
                await checkpoint()
            await guarded.store_event("theirs", None)
            tasks.cancel_scope.cancel()
    assert store.kept == ["theirs"]
    assert caplog.text == ""


class Broken(EventStore):
    """A store of the user's own, which fails."""

    async def store_event(self, *_: object) -> EventId:
        raise OSError("planted")

    async def replay_events_after(self, *_: object) -> StreamId | None:
        raise OSError("planted")


async def test_a_store_that_fails_loses_no_answer_of_a_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """C6: raised, its error would end the session. The log says why, once."""
    slow = Slow(Broken())
    slow.go_on.set()
    async with started(slow.app) as app:
        session = await opened(app)
        async with calling(app, session, "wait") as it:
            last = await primed(it)
            assert text_of((await answer(it))[1]) == '"waited"'
        async with resuming(app, session, last) as nothing:
            assert await nothing.chunk() is None
    assert [each.name for each in caplog.records] == ["mcp_mount"]


@pytest.mark.parametrize(
    ("bound", "most", "kept"),
    [
        ("_MOST_EVENTS", 10, 3 * 9),
        ("_MOST_BYTES", 60_000, 3 * 5),
        ("_MOST_BYTES_IN_ALL", 60_000, 5),
    ],
)
async def test_what_is_kept_is_bounded(
    bound: str, most: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2: by the events and bytes of a session, and by the bytes of all; the last ones stay."""
    monkeypatch.setattr(events, bound, most)
    storage = MemoryStore()
    store = events.KeptEvents(storage)
    for session in ("1:a", "1:b", "1:c"):
        for number in range(12):
            message = JSONRPCResponse(jsonrpc="2.0", id=number, result={"text": "x" * 10_000})
            await store.store_event(f"{session}:{number}", message)
        last = await store.store_event(f"{session}:{number}", None)
    assert len(await storage.keys(collection="mcp_mount_events")) == kept
    replayed: list[EventMessage] = []

    async def replay(event: EventMessage) -> None:
        replayed.append(event)

    assert await store.replay_events_after(last, replay) == "1:c:11"
    assert replayed == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"event_store": "memory://"}, "give sessions=True as well"),
        ({"event_store": "redis://h", "sessions": True}, "so they are sealed: give state_key="),
        ({"event_store": "redis://h:x", "sessions": True, "state_key": KEY}, "cannot be used"),
        ({"event_store": "disk://", "sessions": True}, "must be 'memory://', a URL such as"),
        ({"event_store": 5, "sessions": True}, "or an EventStore of the MCP SDK, not an int"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused(options: dict[str, Any], said: str) -> None:
    """M1."""
    with pytest.raises(MountError, match=said):
        mount_mcp(FastAPI(), **options)


async def test_without_a_store_nothing_is_kept() -> None:
    """X1: no event has an id, and an answer alone is JSON."""
    slow = Slow(None)
    slow.go_on.set()
    async with started(slow.app) as app:
        session = await opened(app, PRIMED)
        reply = await call(app, "wait", era="legacy", headers=session)
        assert reply.headers["content-type"] == "application/json"
        reply = await call(app, "stream", era="legacy", headers=session, token="p")
        assert reply.progress == ["one", "two"]
        assert "id:" not in reply.text
