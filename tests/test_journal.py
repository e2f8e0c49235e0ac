"""One line in the log for each call, whatever comes of it."""

import logging
import re
from ast import literal_eval
from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastmcp import Client
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Limits, mount_mcp
from tests.support import ERAS, Era, call, connected, rpc

INFO = "io.modelcontextprotocol/clientInfo"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


@pytest.fixture(autouse=True)
def journal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mcp_mount.calls")


VALUE = r"""(\w+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^ "'\\]+)"""


def read(value: str) -> object:
    """Return the value that stands in a line."""
    return None if value == "-" else literal_eval(value) if value[0] in "\"'" else value


def lines(caplog: pytest.LogCaptureFixture) -> list[Mapping[str, Any]]:
    """Return the values of each line, and see that line and values say the same."""
    records = [record for record in caplog.records if record.name == "mcp_mount.calls"]
    for record in records:
        message = record.getMessage()
        assert message.isprintable()
        assert message.isascii()
        assert re.fullmatch(f"{VALUE}( {VALUE})*", message), message
        shown = {key: read(value) for key, value in re.findall(VALUE, message)}
        values = record.call  # type: ignore[attr-defined]
        assert list(shown) == list(values)
        assert shown == {
            key: str(value) if isinstance(value, int | float) else value
            for key, value in values.items()
        }
    return [record.call for record in records]  # type: ignore[attr-defined]


def build() -> FastAPI:
    """Return an app whose tools end in every way there is."""
    app = FastAPI()

    @app.get("/greet")
    async def greet(name: str = "you") -> Response:
        return JSONResponse({"hello": name}, headers={"x-request-id": "r-1"})

    @app.get("/missing")
    async def missing() -> None:
        raise HTTPException(404)

    @app.get("/raising")
    async def raising() -> None:
        raise RuntimeError("Planned.")

    @app.get("/breaking")
    async def breaking() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            yield "12345"
            raise RuntimeError("Planned.")

        return StreamingResponse(chunks(), media_type="text/plain")

    @app.get("/moved")
    async def moved() -> Response:
        return Response(status_code=307, headers={"location": "/greet"})

    @app.get("/stuck", openapi_extra={"x-mcp": {"limits": {"timeout": 0.05}}})
    async def stuck() -> None:
        await anyio.sleep_forever()

    @app.delete("/thing")
    async def remove() -> None: ...

    mount_mcp(app, confirm="destructive")
    return app


Ending = tuple[str, dict[str, Any], str, int, int]
ENDS: list[Ending] = [
    ("greet", {}, "ok", 200, 15),
    ("moved", {}, "ok", 200, 15),
    ("missing", {}, "error", 404, 22),
    ("raising", {}, "error", 500, 21),
    ("breaking", {}, "error", 200, 5),
    ("stuck", {}, "error", 0, 0),
    ("greet", {"unknown": 1}, "refused", 0, 0),
    ("remove", {}, "ok", 200, 4),
]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("ending", ENDS, ids=lambda ending: f"{ending[0]}-{ending[2]}")
async def test_each_call_leaves_one_line_that_says_how_it_ended(
    caplog: pytest.LogCaptureFixture, era: Era, ending: Ending
) -> None:
    """X: what the API answered, as far as it came, and how many bytes of it."""
    tool, arguments, outcome, status, size = ending
    await call(build(), tool, arguments, era=era)
    (line,) = lines(caplog)
    assert (line["tool"], line["outcome"], line["status"], line["bytes"]) == (
        tool,
        outcome,
        status,
        size,
    )
    method = "DELETE /thing" if tool == "remove" else f"GET /{tool}"
    assert line["operation"] == method
    assert 0 <= line["ms"] < 10_000


async def test_a_question_leaves_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """X: no answer of the API yet."""
    await call(build(), "remove", meta={CAPABILITIES: {"elicitation": {}}})
    (line,) = lines(caplog)
    assert (line["outcome"], line["status"], line["bytes"]) == ("asked", 0, 0)


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_over_a_limit_leaves_a_line(
    era: Era, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X: of the call that had no place, and of the one that had it."""
    monkeypatch.setattr("mcp_mount.limits._WAIT", 0.02)
    app = FastAPI()
    entered, let_go = anyio.Event(), anyio.Event()

    @app.get("/held")
    async def held() -> None:
        entered.set()
        await let_go.wait()

    mount_mcp(app, limits=Limits(max_concurrency=1))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: call(app, "held", era=era))
        await entered.wait()
        await call(app, "held", era=era)
        let_go.set()
    assert [line["outcome"] for line in lines(caplog)] == ["busy", "ok"]


async def test_a_call_that_nobody_waits_for_any_more_leaves_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """X: as soon as it has ended."""
    app = FastAPI()
    entered, closed = anyio.Event(), anyio.Event()

    @app.get("/held")
    async def held() -> None:
        entered.set()
        try:
            await anyio.sleep_forever()
        finally:
            closed.set()

    mount_mcp(app)
    with anyio.fail_after(30):
        async with connected(app, "modern") as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "held")
            await entered.wait()
            tasks.cancel_scope.cancel()
        await closed.wait()
        await anyio.wait_all_tasks_blocked()
    (line,) = lines(caplog)
    assert (line["outcome"], line["status"]) == ("cancelled", 0)


@pytest.mark.parametrize("era", ERAS)
async def test_what_calls_no_tool_leaves_no_line(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """X: lists and unknown tools."""
    app = build()
    await rpc(app, era, "tools/list")
    await call(app, "nothing", era=era)
    assert lines(caplog) == []


class Backend(AuthenticationBackend):
    """Takes every caller for the same one."""

    async def authenticate(
        self,
        conn: HTTPConnection,  # noqa: ARG002 - Starlette's signature
    ) -> tuple[AuthCredentials, BaseUser]:
        return AuthCredentials(), SimpleUser("alice b")


@pytest.mark.parametrize("era", ERAS)
async def test_the_line_says_who_called_and_which_request_it_was(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """X: the request id is the response's, where it has one."""
    app = build()
    app.add_middleware(AuthenticationMiddleware, backend=Backend())
    meta = {INFO: {"name": "Claude Code", "version": "1"}}
    options: dict[str, Any] = {"era": era, "headers": {"x-request-id": "r-0"}}
    if era == "modern":
        options["meta"] = meta
    await call(app, "greet", **options)
    await call(app, "missing", **options)
    one, other = lines(caplog)
    # A legacy client names itself in `initialize` only, which is another request.
    client = "Claude Code" if era == "modern" else None
    assert (one["client"], one["subject"], one["request_id"]) == (client, "alice b", "r-1")
    assert other["request_id"] == "r-0"
    shown = "'Claude Code'" if client else "-"
    assert f"client={shown} subject='alice b' request_id=r-1" in caplog.messages[0]


async def test_a_call_over_no_transport_leaves_a_line_too(caplog: pytest.LogCaptureFixture) -> None:
    """X: of an app that calls its own tools."""
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    mounted = mount_mcp(app)
    async with Client(mounted.server) as client:
        await client.call_tool("ping")
    (line,) = lines(caplog)
    assert (line["outcome"], line["status"], line["subject"]) == ("ok", 200, None)


HOSTILE = [
    "a\ntool=forged outcome=ok",
    "a\r\nINFO forged",
    "\x1b[2J\x1b[31mred",
    "x" * 1_000_000,
    "a b=c \"quoted\" 'and' \\back",
    "\u202egnp.exe",
    "",
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:12]))
async def test_a_hostile_client_cannot_forge_a_line(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """X: nor fill the log; what it sends stays one short value."""
    app = build()
    meta = {INFO: {"name": name, "version": "1"}}
    await call(app, "greet", meta=meta, headers={"x-request-id": "r\x7f tool=forged"})
    (line,) = lines(caplog)
    assert line["client"] == name[:80]
    assert line["request_id"] == "r-1"
    assert len(caplog.messages[-1]) < 1_000


@pytest.mark.parametrize("user", [{"name": "alice"}, "alice", object()])
async def test_a_user_of_no_known_form_breaks_no_line(
    user: object, caplog: pytest.LogCaptureFixture
) -> None:
    """X: to read a log must not change what the server does."""
    app = build()

    async def reached(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "user": user}, receive, send)

    served: ASGIApp = reached
    assert not (await call(served, "greet")).is_error
    (line,) = lines(caplog)
    assert line["subject"] is None


async def test_a_log_that_nobody_reads_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    """M6: the application decides; by default Python's own level is WARNING."""
    caplog.set_level(logging.WARNING, "mcp_mount.calls")
    await call(build(), "greet")
    assert lines(caplog) == []
