"""A session belongs to the caller who opened it, whichever way callers are told apart."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader, APIKeyQuery
from fastmcp.server.context import Context
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from mcp_mount import Mounted, mount_mcp
from tests.access import bearer, static
from tests.raw import send_raw
from tests.starting import started
from tests.support import ERAS, LEGACY, Era, call, envelope, http, rpc

CLIENT = {"name": "client", "version": "1"}
HANDSHAKE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
ALICE, BOB = bearer("alice"), bearer("bob")


def named_app(**options: Any) -> tuple[FastAPI, Mounted]:
    """Return an app whose one tool, ``name``, tells who calls, with sessions."""
    app = FastAPI()

    @app.get("/name")
    async def name(request: Request) -> str:
        return request.headers.get("authorization", "nobody")

    return app, mount_mcp(app, sessions=True, **options)


async def opened(app: Any, headers: Mapping[str, str], path: str = "/mcp") -> dict[str, str]:
    """Open a session; return its header."""
    reply = await rpc(app, "legacy", "initialize", HANDSHAKE, headers=headers, path=path)
    assert reply.status == 200
    return {"mcp-session-id": reply.headers["mcp-session-id"]}


async def statuses(
    app: Any, headers: Mapping[str, str], path: str = "/mcp"
) -> tuple[int, int, int]:
    """Return what a caller gets for a call, a stream and the end of a session."""
    posted = await call(app, "name", era="legacy", headers=headers, path=path)
    async with http(app) as client:
        stream = {**headers, "accept": "text/event-stream"}
        async with client.stream("GET", path, headers=stream) as got:
            pass
        return (
            posted.status,
            got.status_code,
            (await client.delete(path, headers=headers)).status_code,
        )


async def who(request: Request) -> str:
    name = request.headers.get("authorization", "").removeprefix("Bearer ")
    if name not in {"alice", "bob"}:
        raise HTTPException(401)
    return name


@pytest.mark.parametrize("way", ["provider", "guard", "route"])
async def test_a_session_is_not_there_for_anyone_but_its_caller(way: str) -> None:
    """C1, X1: no calls, no stream, no end of it; and it goes on for its caller."""
    options: dict[str, dict[str, Any]] = {
        "provider": {"auth": static(alice=[], bob=[])},
        "guard": {"dependencies": [Depends(who)]},
        "route": {},
    }
    app, _ = named_app(**options[way])
    async with started(app):
        session = await opened(app, ALICE)
        assert await statuses(app, {**session, **BOB}) == (404, 404, 404)
        unknown = await call(app, "name", era="legacy", headers={**BOB, "mcp-session-id": "x"})
        others = await call(app, "name", era="legacy", headers={**BOB, **session})
        assert (unknown.status, unknown.text) == (others.status, others.text)
        stranger = 404 if way == "route" else 401
        assert await statuses(app, session) == (stranger,) * 3
        assert await statuses(app, {**session, **ALICE}) == (200, 200, 200)
        # Its caller has ended it.
        assert await statuses(app, {**session, **ALICE}) == (404, 404, 404)


async def test_a_session_without_a_caller_is_not_there_for_one_who_is_known() -> None:
    """X1."""
    app, _ = named_app()
    async with started(app):
        session = await opened(app, {})
        assert await statuses(app, {**session, **ALICE}) == (404, 404, 404)
        assert await statuses(app, session) == (200, 200, 200)


class TokenBackend(AuthenticationBackend):
    """Tells callers by ``X-Token: <name> <any number>``."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        name = conn.headers.get("x-token", "").partition(" ")[0]
        return (AuthCredentials(), SimpleUser(name)) if name else None


async def test_a_caller_keeps_the_session_with_a_new_token_and_from_elsewhere() -> None:
    """X1: tokens are renewed, and people move; the subject stays."""
    app, _ = named_app()
    app.add_middleware(AuthenticationMiddleware, backend=TokenBackend())
    async with started(app):
        session = await opened(app, {"x-token": "alice 1"})
        own, body = envelope("legacy", "tools/call", {"name": "name", "arguments": {}})
        for number, address in ((1, "192.0.2.1"), (2, "192.0.2.2")):
            headers = {**own, **session, "x-token": f"alice {number}"}
            content = json.dumps(body).encode()
            reply = await send_raw(app, [content], headers, client=(address, 1))
            assert reply.status == 200
        assert (await statuses(app, {**session, "x-token": "bob 1"})) == (404, 404, 404)
        assert (await statuses(app, session)) == (404, 404, 404)


@pytest.mark.parametrize(
    ("scheme", "alice", "bob"),
    [
        (APIKeyHeader(name="X-Team"), {"x-team": "alice"}, {"x-team": "bob"}),
        (APIKeyCookie(name="team"), {"cookie": "a=1; team=alice"}, {"cookie": "a=1; team=bob"}),
        (APIKeyQuery(name="team"), {"path": "/mcp?team=alice"}, {"path": "/mcp?team=bob"}),
    ],
    ids=["header", "cookie", "query"],
)
async def test_keys_of_the_apps_own_schemes_tell_callers_apart(
    scheme: Any, alice: dict[str, str], bob: dict[str, str]
) -> None:
    """X1: wherever the OpenAPI document says that they are."""
    app = FastAPI()

    @app.get("/name")
    async def name(key: Annotated[str, Security(scheme)]) -> str:
        return key

    mount_mcp(app, sessions=True)
    path_of_alice, path_of_bob = (each.pop("path", "/mcp") for each in (alice, bob))
    async with started(app):
        session = await opened(app, alice, path=path_of_alice)
        assert await statuses(app, {**session, **bob}, path_of_bob) == (404, 404, 404)
        assert await statuses(app, {**session, **alice}, path_of_alice) == (200, 200, 200)


async def test_other_cookies_may_change_within_a_session() -> None:
    """X1: servers renew them with every answer."""
    app, _ = named_app()
    async with started(app):
        session = await opened(app, {"cookie": "seen=1"})
        assert await statuses(app, {**session, "cookie": "seen=2"}) == (200, 200, 200)


async def test_an_id_cannot_be_made_up_from_another() -> None:
    """X1: without its seal, with a changed one, or with that of another session."""
    app, _ = named_app()
    async with started(app):
        (mine,) = (await opened(app, BOB)).values()
        (session,) = (await opened(app, ALICE)).values()
        bare, seal = session.split(".")
        made_up = [
            *(bare, f"{bare}.", f"{bare}.{seal[:-1]}", f"{bare}.{seal}.", f"{bare}.{'0' * 64}"),
            *(f".{seal}", "", ".", f"{bare}.{mine.split('.')[1]}"),
        ]
        for forged in made_up:
            for caller in (ALICE, BOB):
                headers = {**caller, "mcp-session-id": forged}
                reply = await call(app, "name", era="legacy", headers=headers)
                assert reply.status == 404, forged
        assert session.isascii()
        assert session.isprintable()
        assert await statuses(app, {**ALICE, "mcp-session-id": session}) == (200, 200, 200)


async def test_an_id_is_worth_nothing_after_a_restart() -> None:
    """X1, M2."""
    app, _ = named_app()
    async with started(app):
        session = await opened(app, ALICE)
    async with started(app):
        assert await statuses(app, {**ALICE, **session}) == (404, 404, 404)


async def test_the_modern_era_has_no_sessions_to_take() -> None:
    """X1: the header means nothing there."""
    app, _ = named_app()
    async with started(app):
        session = await opened(app, ALICE)
        reply = await call(app, "name", headers={**session, **BOB})
        assert reply.result["structuredContent"] == {"result": "Bearer bob"}
        assert "mcp-session-id" not in reply.headers


async def test_a_call_cannot_be_cancelled_by_another_caller() -> None:
    """C7, X1: request ids are easily guessed."""
    app, _ = named_app()
    running, release = anyio.Event(), anyio.Event()

    @app.get("/slow")
    async def slow() -> str:
        running.set()
        await release.wait()
        return "done"

    async def cancel(headers: Mapping[str, str]) -> int:
        own, body = envelope("legacy", "notifications/cancelled", {"requestId": 1})
        del body["id"]
        async with http(app) as client:
            return (await client.post("/mcp", headers={**own, **headers}, json=body)).status_code

    replies = []

    async def ask(headers: Mapping[str, str]) -> None:
        replies.append(await call(app, "slow", era="legacy", headers=headers))

    with anyio.fail_after(30):
        async with started(app), anyio.create_task_group() as tasks:
            session = await opened(app, ALICE)
            tasks.start_soon(ask, {**session, **ALICE})
            await running.wait()
            assert await cancel({**session, **BOB}) == 404
            release.set()
    assert replies[0].result["structuredContent"] == {"result": "done"}


async def test_what_a_tool_keeps_in_a_session_is_its_callers() -> None:
    """X1: for tools of one's own that need sessions."""
    app, mounted = named_app()

    @mounted.server.tool
    async def remember(context: Context, word: str | None = None) -> str:
        if word is not None:
            await context.set_state("word", word)
        return str(await context.get_state("word"))

    async def told(headers: Mapping[str, str], **arguments: str) -> str:
        reply = await call(app, "remember", arguments, era="legacy", headers=headers)
        return reply.text_content

    async with started(app):
        alices = {**await opened(app, ALICE), **ALICE}
        bobs = {**await opened(app, BOB), **BOB}
        assert await told(alices, word="salt") == "salt"
        assert await told(bobs) == "None"
        assert await told(alices) == "salt"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("sessions", [False, True])
async def test_a_header_opens_no_ones_state(era: Era, *, sessions: bool) -> None:
    """X1: without a session, its id would be a name that anybody can give."""
    if sessions and era == "legacy":
        pytest.skip("That is a session, and its caller's.")
    app = FastAPI()
    mounted = mount_mcp(app, sessions=sessions)

    @mounted.server.tool
    async def remember(context: Context, word: str | None = None) -> str:
        if word is not None:
            await context.set_state("word", word)
        return str(await context.get_state("word"))

    headers = {"mcp-session-id": "a" * 32}
    async with started(app):
        for arguments, expected in (({"word": "salt"}, "salt"), ({}, "None")):
            reply = await call(app, "remember", arguments, era=era, headers=headers)
            assert reply.text_content == expected
