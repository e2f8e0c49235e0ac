"""A tool that is not offered is not there: the same answer whatever the reason."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.security import HTTPBearer
from fastmcp.server.context import Context

from mcp_mount import mount_mcp
from tests.access import bearer, static
from tests.starting import started
from tests.support import ERAS, LEGACY, MODERN, Era, call, envelope, http, read_messages, rpc, tools

INVALID_PARAMS = -32602
CLIENT = {"name": "client", "version": "1"}
HANDSHAKE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
ALICE = bearer("alice")

eras = pytest.mark.parametrize("era", ERAS)
options = pytest.mark.parametrize(
    "options",
    [
        {},
        {"auth": static(alice=["a"])},
        {"scopes_of": lambda _: []},
        {"dependencies": [Depends(lambda: None)]},
        {"sessions": True},
    ],
    ids=lambda options: next(iter(options), "plain"),
)


def some_app(**options: Any) -> FastAPI:
    """Return an app that offers ``shown`` only, of four operations."""
    app = FastAPI()

    @app.get("/shown")
    async def shown() -> str:
        return "shown"

    @app.get("/marked", openapi_extra={"x-mcp": False})
    async def marked() -> str:
        return "secret"

    @app.get("/left-out", operation_id="leftOut")
    async def left_out() -> str:
        return "secret"

    @app.get("/undocumented", include_in_schema=False)
    async def undocumented() -> str:
        return "secret"

    mount_mcp(app, exclude=["leftOut"], **options)
    return app


@asynccontextmanager
async def running(app: FastAPI, era: Era, *, sessions: bool) -> AsyncIterator[dict[str, str]]:
    async with started(app):
        headers = dict(ALICE)
        if sessions and era == "legacy":
            opened = await rpc(app, era, "initialize", HANDSHAKE, headers=headers)
            headers["mcp-session-id"] = opened.headers["mcp-session-id"]
        yield headers


@eras
@options
async def test_what_is_not_offered_is_unknown(era: Era, options: dict[str, Any]) -> None:
    """X3: a protocol error with HTTP 200, as the request itself was in order."""
    app = some_app(**options)
    names = [
        *("marked", "leftOut", "left_out", "undocumented", "nothing", "SHOWN", "shown ", ""),
        *("GET /left-out", "/left-out", "marked_marked_get", "../shown", "shown\n", "🙂"),
    ]
    async with running(app, era, sessions="sessions" in options) as headers:
        assert (await tools(app, era=era, headers=headers)).keys() == {"shown"}
        for name in names:
            params = {"name": name, "arguments": {}}
            own, body = envelope(era, "tools/call", params)
            if era == "modern":
                own["mcp-name"] = in_a_header(name)
            async with http(app) as client:
                answer = await client.post("/mcp", headers={**own, **headers}, json=body)
            (said,) = read_messages(answer.headers["content-type"], answer.text)
            assert (answer.status_code, said["error"]["code"]) == (200, INVALID_PARAMS)
            # The only name that is told is that of the tool that is offered.
            expected = f"Unknown tool: {name!r}"
            assert said["error"]["message"] in {expected, f"{expected}. Near are: 'shown'"}


async def test_a_name_that_a_session_hides_is_not_near() -> None:
    mounted = mount_mcp(app := FastAPI(), sessions=True)

    @mounted.server.tool
    def order_drop() -> None: ...

    @mounted.server.tool
    async def hide(context: Context) -> None:
        await context.disable_components(names={"order_drop"})

    async def said(headers: dict[str, str]) -> str:
        reply = await call(app, "order_drp", era="legacy", headers=headers)
        return str(reply.answer["error"]["message"])

    async with running(app, "legacy", sessions=True) as headers:
        assert await said(headers) == "Unknown tool: 'order_drp'. Near are: 'order_drop'"
        await call(app, "hide", era="legacy", headers=headers)
        assert await said(headers) == "Unknown tool: 'order_drp'"


@pytest.mark.parametrize("era", ERAS)
async def test_the_near_names_are_those_that_the_caller_may_see(era: Era) -> None:
    """A tool whose scopes the caller lacks is not told of; one of the user's own is."""
    app = FastAPI()
    needs = HTTPBearer(auto_error=False)
    for name, scopes in (("order_list", ["read"]), ("order_drop", ["admin"])):

        @app.get(f"/{name}", operation_id=name, dependencies=[Security(needs, scopes=scopes)])
        async def operation() -> str:
            return "done"

    mounted = mount_mcp(app, scopes_of=lambda request: request.headers["x-scopes"].split())

    @mounted.server.tool
    def order_help() -> str:
        return "help"

    async def near(scopes: str) -> str:
        reply = await call(app, "order_lst", era=era, headers={"x-scopes": scopes})
        message: str = reply.answer["error"]["message"]
        return message.removeprefix("Unknown tool: 'order_lst'. Near are: ")

    assert await near("read") == "'order_list', 'order_help'"
    assert await near("read admin") == "'order_list', 'order_help', 'order_drop'"
    assert await near("") == "'order_help'"
    long = await call(app, "x" * 10_000, era=era, headers={"x-scopes": "read"})
    assert long.answer["error"]["message"] == f"Unknown tool: {'x' * 10_000!r}"


def in_a_header(name: str) -> str:
    """Write a name that may not stand in a header as it is (MCP 2026-07-28 "Transports")."""
    return f"=?base64?{base64.b64encode(name.encode()).decode()}?="


@options
async def test_what_is_wrong_with_the_envelope_is_400_with_the_same_code(
    options: dict[str, Any],
) -> None:
    """X2: only the tool's name is answered with 200."""
    app = some_app(**options)
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    async with started(app), http(app) as client:
        for missing in meta:
            for tool in ("shown", "nothing"):
                own, body = envelope("modern", "tools/call", {"name": tool, "arguments": {}})
                body["params"]["_meta"] = {key: meta[key] for key in meta if key != missing}
                answer = await client.post("/mcp", headers={**own, **ALICE}, json=body)
                assert answer.status_code == 400
                assert answer.json()["error"]["code"] == INVALID_PARAMS


@eras
async def test_a_tool_that_calls_an_unknown_one_has_failed_itself(era: Era) -> None:
    """X3: the client called a tool that is there."""
    app = FastAPI()
    mounted = mount_mcp(app)

    @mounted.server.tool
    async def run(context: Context) -> str:
        await context.fastmcp.call_tool("nothing", {})
        return "done"

    reply = await call(app, "run", era=era)
    assert (reply.status, reply.is_error) == (200, True)


@eras
async def test_while_routes_are_added_what_is_listed_can_be_called(era: Era) -> None:
    """M4, P2: one mapping is both, also for callers in between."""
    app = some_app()

    async def ask() -> None:
        for name in await tools(app, era=era):
            assert not (await call(app, name, era=era)).is_error
        for name in ("marked", "leftOut", "undocumented"):
            assert "error" in (await call(app, name, era=era)).answer

    with anyio.fail_after(30):
        async with started(app), anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(ask)
                await anyio.lowlevel.checkpoint()
                path = f"/more/{number}"
                app.add_api_route(path, lambda: "more", operation_id=f"more{number}")
        assert len(await tools(app, era=era)) == 11
