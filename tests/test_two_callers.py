"""Callers at the same time: nothing of one reaches the call, the stream or the list of another."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Annotated, Any, Literal

import anyio
import pytest
from fastapi import Depends, FastAPI, Request, Security
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import mount_mcp
from tests.access import bearer, static
from tests.starting import started
from tests.support import ERAS, LEGACY, Era, Reply, call, rpc, tools

Form = Literal["started", "unstarted", "sessions"]

MANY = 200
NAMES = [f"caller{number}" for number in range(MANY)]
CLIENT = {"name": "client", "version": "1"}
HANDSHAKE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}

ambient: ContextVar[str] = ContextVar("ambient", default="none")
guarded: ContextVar[str] = ContextVar("guarded", default="none")
scheme = HTTPBearer()

eras = pytest.mark.parametrize("era", ERAS)
forms = pytest.mark.parametrize("form", ["started", "unstarted", "sessions"])
ways = pytest.mark.parametrize("with_auth", [True, False], ids=["auth", "own"])


class Ambient:
    """Puts the name of the MCP request's caller into a context variable and `request.state`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/mcp":
            await self.app(scope, receive, send)
            return
        name = HTTPConnection(scope).headers.get("x-name", "nobody")
        scope.setdefault("state", {})["name"] = name
        token = ambient.set(name)
        try:
            await self.app(scope, receive, send)
        finally:
            ambient.reset(token)


async def guard(request: Request) -> None:
    guarded.set(request.headers.get("x-name", "nobody"))


class Meeting:
    """Lets calls go on when so many of them are there. A class because it counts."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.complete = anyio.Event()

    async def wait(self) -> None:
        self.size -= 1
        if self.size == 0:
            self.complete.set()
        await self.complete.wait()


def meeting_app(size: int, form: Form, *, with_auth: bool) -> FastAPI:
    """Return an app whose tools wait for each other, and tell all they know of their caller."""
    app = FastAPI()
    meeting, streams = Meeting(size), Meeting(size)

    @app.get("/whoami")
    async def whoami(
        request: Request,
        token: Annotated[HTTPAuthorizationCredentials, Security(scheme)],
        argument: str,
    ) -> dict[str, Any]:
        before = known(request, token, argument)
        await meeting.wait()
        assert known(request, token, argument) == before
        return before

    @app.get("/words")
    async def words(request: Request, argument: str) -> StreamingResponse:
        async def produce() -> AsyncIterator[str]:
            for part in (argument, ambient.get(), request.headers["x-name"]):
                yield f"{part} "
                await streams.wait() if part == argument else None
                await anyio.lowlevel.checkpoint()

        return StreamingResponse(produce(), media_type="text/plain")

    mount_mcp(
        app,
        auth=static(**{name: [] for name in NAMES}) if with_auth else None,
        dependencies=[Depends(guard)],
        sessions=form == "sessions",
        forward_cookies=True,
    )
    app.add_middleware(Ambient)
    return app


def known(request: Request, token: HTTPAuthorizationCredentials, argument: str) -> dict[str, Any]:
    return {
        "token": token.credentials,
        "header": request.headers["x-name"],
        "cookie": request.cookies.get("name"),
        "state": request.state.name,
        "ambient": ambient.get(),
        "guarded": guarded.get(),
        "trace": request.headers.get("traceparent"),
        "argument": argument,
    }


def headers_of(name: str) -> dict[str, str]:
    return {**bearer(name), "x-name": name, "cookie": f"name={name}"}


def trace_of(name: str) -> str:
    return f"00-{int(name.removeprefix('caller')) + 1:032x}-00000000000000aa-01"


@asynccontextmanager
async def running(
    app: FastAPI, form: Form, era: Era, names: list[str]
) -> AsyncIterator[dict[str, dict[str, str]]]:
    """Yield the headers of each caller, each with a session of its own where there are any."""
    headers = {name: headers_of(name) for name in names}
    if form == "unstarted":
        yield headers
        return
    async with started(app):
        if form == "sessions" and era == "legacy":
            for own in headers.values():
                opened = await rpc(app, era, "initialize", HANDSHAKE, headers=own)
                own["mcp-session-id"] = opened.headers["mcp-session-id"]
        yield headers


async def all_at_once(
    app: FastAPI, era: Era, tool: str, headers: Mapping[str, Mapping[str, str]]
) -> dict[str, Reply]:
    replies: dict[str, Reply] = {}

    async def ask(name: str) -> None:
        replies[name] = await call(
            app,
            tool,
            {"argument": name},
            era=era,
            headers=headers[name],
            token=name,
            meta={"traceparent": trace_of(name)},
        )

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for name in headers:
                tasks.start_soon(ask, name)
    return replies


@pytest.mark.faults
@eras
@pytest.mark.parametrize("form", ["started", "sessions"])
@ways
async def test_of_two_hundred_callers_each_is_itself(
    era: Era, form: Form, *, with_auth: bool
) -> None:
    """C1, C2, C3: token, headers, cookies, state, context variables, trace and arguments."""
    app = meeting_app(MANY, form, with_auth=with_auth)
    async with running(app, form, era, NAMES) as headers:
        replies = await all_at_once(app, era, "whoami", headers)
    keys = ("token", "header", "cookie", "state", "ambient", "guarded", "argument")
    for name in NAMES:
        expected = {**dict.fromkeys(keys, name), "trace": trace_of(name)}
        assert replies[name].result["structuredContent"] == expected


@eras
@forms
async def test_each_caller_reads_its_own_stream(era: Era, form: Form) -> None:
    """S1, C1: progress has the token of the call, and is the call's."""
    names = NAMES[:50]
    app = meeting_app(len(names), form, with_auth=False)
    async with running(app, form, era, names) as headers:
        replies = await all_at_once(app, era, "words", headers)
    for name, reply in replies.items():
        assert reply.text_content == f"{name} {name} {name} "
        assert "".join(reply.progress) == reply.text_content
        tokens = [message["params"]["progressToken"] for message in reply.messages[:-1]]
        assert set(tokens) == {name}


@eras
@forms
@ways
async def test_calls_of_two_callers_that_alternate_are_each_their_own(
    era: Era, form: Form, *, with_auth: bool
) -> None:
    """C1: nothing is left over from one for the next, and no answer is kept."""
    app = meeting_app(1, form, with_auth=with_auth)
    async with running(app, form, era, NAMES[:2]) as headers:
        for name in NAMES[:2] * 4:
            arguments = {"argument": "the same"}
            reply = await call(app, "whoami", arguments, era=era, headers=headers[name])
            told = reply.result["structuredContent"]
            assert (told["token"], told["ambient"], told["cookie"]) == (name, name, name)
            assert told["trace"] is None


@eras
@forms
async def test_no_answer_is_given_twice(era: Era, form: Form) -> None:
    """C1: the route runs for each call, also for the same one of the same caller."""
    count = 0
    app = FastAPI()

    @app.get("/count")
    async def counted() -> int:
        nonlocal count
        count += 1
        return count

    mount_mcp(app, sessions=form == "sessions")
    async with running(app, form, era, NAMES[:1]) as headers:
        for expected in (1, 2, 3):
            reply = await call(app, "counted", era=era, headers=headers[NAMES[0]])
            assert reply.result["structuredContent"] == {"result": expected}


@eras
@forms
async def test_lists_of_many_callers_are_each_their_own(era: Era, form: Form) -> None:
    """C1, C4: with the scopes of each, at the same time."""
    app = FastAPI()
    for scope in ("a", "b", "c"):
        guards = [Security(scheme, scopes=[scope])]
        app.add_api_route(f"/{scope}", lambda: "", dependencies=guards, operation_id=scope)
    granted = {name: [*"abc"[: number % 4]] for number, name in enumerate(NAMES[:40])}
    mount_mcp(app, auth=static(**granted), sessions=form == "sessions")
    shown: dict[str, set[str]] = {}

    async def ask(name: str, headers: Mapping[str, str]) -> None:
        shown[name] = {*await tools(app, era=era, headers=headers)}

    async with running(app, form, era, [*granted]) as headers, anyio.create_task_group() as tasks:
        for name in granted:
            tasks.start_soon(ask, name, headers[name])
    assert shown == {name: {*scopes} for name, scopes in granted.items()}
