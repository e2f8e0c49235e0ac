"""One caller cannot open all sessions, nor make them large."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi import FastAPI

from mcp_mount import mount_mcp
from tests.access import bearer, static
from tests.raw import send_raw
from tests.resuming import Slow, answer, calling, text_of
from tests.sse import HANDSHAKE as OLD_HANDSHAKE
from tests.sse import opened as stream_opened
from tests.starting import started
from tests.support import LEGACY, Reply, call, envelope, http, rpc

CLIENT = {"name": "client", "version": "1"}
HANDSHAKE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
ALICE, BOB = bearer("alice"), bearer("bob")


def session_app(*, auth: bool = False, **options: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/name")
    async def name() -> str:
        return "name"

    given: dict[str, Any] = {"auth": static(alice=[], bob=[])} if auth else {}
    mount_mcp(app, sessions=True, **given, **options)
    return app


async def opened(app: Any, headers: Mapping[str, str]) -> dict[str, str]:
    """Open a session as a caller; return the headers of its requests."""
    reply = await rpc(app, "legacy", "initialize", HANDSHAKE, headers=headers)
    assert reply.status == 200
    return {**headers, "mcp-session-id": reply.headers["mcp-session-id"]}


async def statuses(app: Any, *sessions: Mapping[str, str]) -> list[int]:
    """Return what calls in sessions are answered with."""
    return [(await call(app, "name", era="legacy", headers=each)).status for each in sessions]


@pytest.mark.parametrize("auth", [False, True])
async def test_a_caller_who_opens_too_many_sessions_loses_its_own(
    monkeypatch: pytest.MonkeyPatch, *, auth: bool
) -> None:
    """F2: the one that was used least lately; those of others stay."""
    monkeypatch.setattr("mcp_mount.access.shares._MOST_OF_A_CALLER", 2)
    async with started(session_app(auth=auth)) as app:
        theirs = await opened(app, BOB)
        first, second = await opened(app, ALICE), await opened(app, ALICE)
        assert await statuses(app, first) == [200]
        third = await opened(app, ALICE)
        assert await statuses(app, first, second, third, theirs) == [200, 404, 200, 200]


async def test_of_too_many_sessions_one_that_has_no_request_ends_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F2, L1: a call goes on whose session is older; where all have one, the oldest ends."""
    monkeypatch.setattr("mcp_mount.access.shares._MOST_OF_A_CALLER", 2)
    slow = Slow(None)
    async with started(slow.app) as app:
        first = await opened(app, ALICE)
        async with calling(app, first, "stream") as it:
            assert '"one"' in str(await it.chunk())
            second = await opened(app, ALICE)
            async with calling(app, await opened(app, ALICE), "stream") as other:
                assert '"one"' in str(await other.chunk())
                reply = await rpc(app, "legacy", "tools/list", headers=second)
                assert reply.status == 404
                await opened(app, ALICE)
                slow.go_on.set()
                _, message = await answer(other)
                assert text_of(message) == "onetwo"
            assert await it.chunk() is None


def made_up(number: int) -> dict[str, str]:
    """Return what Alice shows, and a key beside it that nobody reads."""
    return {**ALICE, "x-api-key": f"made up {number}"}


async def test_a_made_up_key_beside_a_real_one_gets_no_more_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F2: each session belongs to both, and counts against each."""
    monkeypatch.setattr("mcp_mount.access.shares._MOST_OF_A_CALLER", 2)
    async with started(session_app()) as app:
        theirs = await opened(app, BOB)
        first, second = await opened(app, made_up(1)), await opened(app, made_up(2))
        assert await statuses(app, first) == [200]
        third = await opened(app, made_up(3))
        assert await statuses(app, first, second, third, theirs) == [200, 404, 200, 200]
        assert await statuses(app, {**third, **made_up(4)}) == [404]


async def test_one_session_less_is_enough_for_all_that_a_caller_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F2: both have too many, and lose the same one."""
    monkeypatch.setattr("mcp_mount.access.shares._MOST_OF_A_CALLER", 2)
    async with started(session_app()) as app:
        first, second, third = [await opened(app, made_up(1)) for _ in range(3)]
        assert await statuses(app, first, second, third) == [404, 200, 200]


async def test_a_session_is_opened_with_few_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: each is remembered as long as the session."""
    monkeypatch.setattr("mcp_mount.access.principals._MOST_SHOWN", 1)
    async with started(session_app()) as app:
        refused = await rpc(app, "legacy", "initialize", HANDSHAKE, headers=made_up(1))
        assert refused.status == 400
        assert "Too many credentials are shown: 2. Show one." in refused.text
        assert await statuses(app, await opened(app, ALICE)) == [200]


@pytest.mark.parametrize("auth", [False, True])
async def test_where_there_are_too_many_sessions_whoever_has_most_loses_one(
    monkeypatch: pytest.MonkeyPatch, *, auth: bool
) -> None:
    """F2: nobody is told that there is no room, whoever has taken it."""
    monkeypatch.setattr("mcp_mount.access.shares._MOST", 3)
    async with started(session_app(auth=auth)) as app:
        many = [await opened(app, ALICE) for _ in range(5)]
        theirs = [await opened(app, BOB)]
        assert await statuses(app, *many, *theirs) == [404, 404, 404, 200, 200, 200]


async def test_a_session_that_its_client_ended_counts_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F2: who cleans up keeps what it uses."""
    monkeypatch.setattr("mcp_mount.access.shares._MOST_OF_A_CALLER", 2)
    async with started(session_app()) as app, http(app) as client:
        kept = await opened(app, ALICE)
        for _ in range(4):
            ended = await opened(app, ALICE)
            assert (await client.delete("/mcp", headers=ended)).status_code == 200
        assert await statuses(app, kept) == [200]


async def test_an_end_that_is_refused_gives_no_room_for_another_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F2: the session is still there, and still counts."""
    monkeypatch.setattr("mcp_mount.access.shares._MOST_OF_A_CALLER", 2)
    async with started(session_app()) as app, http(app) as client:
        many = []
        for _ in range(4):
            many.append(await opened(app, ALICE))
            wrong = {**many[-1], "mcp-protocol-version": "nonsense"}
            assert (await client.delete("/mcp", headers=wrong)).status_code >= 400
        assert await statuses(app, *many) == [404, 404, 200, 200]


async def initialize(app: Any, size: int, headers: Mapping[str, str] | None = None) -> Reply:
    params = {**HANDSHAKE, "clientInfo": {**CLIENT, "title": "x" * size}}
    return await rpc(app, "legacy", "initialize", params, headers=headers)


@pytest.mark.parametrize("auth", [False, True])
async def test_a_session_is_opened_with_little(*, auth: bool) -> None:
    """F2: it keeps what its client says of itself, within the session too."""
    async with started(session_app(auth=auth)) as app:
        for headers in (ALICE, await opened(app, ALICE)):
            refused = await initialize(app, 9_000, headers)
            assert refused.status == 413
            assert "larger than 8192 bytes" in refused.text
        assert (await initialize(app, 7_000, ALICE)).status == 200


async def test_a_stream_is_opened_with_little() -> None:
    """F2: of HTTP with SSE, which keeps it as well."""
    app = session_app(sse_path="/sse")
    async with started(app) as running, stream_opened(running) as stream:
        client = {"name": "x" * 9_000, "version": "1"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
        large = {**body, "params": {**OLD_HANDSHAKE, "clientInfo": client}}
        assert (await stream.post(large)).status_code == 413
        assert (await stream.post({**body, "params": OLD_HANDSHAKE})).status_code == 202


async def test_what_keeps_nothing_takes_more() -> None:
    """X1: without sessions, nothing is kept of whoever shakes hands."""
    app = FastAPI()
    mount_mcp(app)
    assert (await initialize(app, 9_000)).status == 200


@pytest.mark.parametrize("auth", [False, True])
async def test_a_session_counts_whose_client_did_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, *, auth: bool
) -> None:
    """F2: it is open all the same, and who opens many loses the oldest."""
    monkeypatch.setattr("mcp_mount.access.shares._MOST_OF_A_CALLER", 3)
    async with started(session_app(auth=auth)) as app:
        theirs, first = await opened(app, BOB), await opened(app, ALICE)
        headers, body = envelope("legacy", "initialize", HANDSHAKE)
        for _ in range(3):
            gone = await send_raw(
                app, [json.dumps(body).encode()], {**headers, **ALICE}, leaves=True
            )
            assert gone.status == 499
        assert await statuses(app, first, theirs) == [404, 200]
