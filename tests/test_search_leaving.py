"""A call through the search is cancelled as a direct one: its route ends, its place is free."""

import gc
from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from starlette.types import ASGIApp

from mcp_mount import Limits, mount_mcp
from tests.leaving import build_streams, calling
from tests.sse import Stream, initialized
from tests.starting import started
from tests.support import LEGACY, call, http, rpc
from tests.ways import Way, either_way, force

ENDED = ["dependency closed", "generator closed"]
KINDS = pytest.mark.parametrize("kind", ["text", "lines", "events", "silent"])
CANCELLED = {"jsonrpc": "2.0", "method": "notifications/cancelled"}


def streams_app(log: list[str], way: Way = "quick", **options: Any) -> ASGIApp:
    """Return an app with endless streams that are searched, of which one may run at once."""
    app = build_streams(log)

    @app.get("/next")
    async def following() -> str:
        return "next"

    limits = Limits(max_concurrency=1)
    force(mount_mcp(app, surface="search", limits=limits, **options), way)
    return app


def through(name: str) -> dict[str, Any]:
    return {"name": name, "arguments": {}}


async def until_ended(log: list[str]) -> None:
    with anyio.fail_after(30):
        while sorted(log) != ENDED:
            for _ in range(1_000):
                await anyio.lowlevel.checkpoint()
            # What was cancelled in the midst of a step may be closed as garbage.
            gc.collect()


@KINDS
@either_way
async def test_leaving_the_response_ends_the_route(kind: str, way: Way) -> None:
    """C7: modern."""
    log: list[str] = []
    app = streams_app(log, way)
    async with calling(app, "modern", "call_tool", through(kind)):
        assert log == []
    await until_ended(log)
    assert (await call(app, "call_tool", through("following"))).text_content == '"next"'


@KINDS
@either_way
async def test_a_cancellation_in_a_session_ends_the_route(kind: str, way: Way) -> None:
    """C7: legacy, with sessions."""
    log: list[str] = []
    async with started(streams_app(log, way, sessions=True)) as app:
        headers = await session_of(app)
        async with calling(app, "legacy", "call_tool", through(kind), **headers):
            cancelled = {**CANCELLED, "params": {"requestId": 1}}
            assert await post(app, cancelled, headers) == 202
            await until_ended(log)
        reply = await call(app, "call_tool", through("following"), era="legacy", headers=headers)
        assert reply.text_content == '"next"'


@KINDS
async def test_a_cancellation_over_the_older_transport_ends_the_route(kind: str) -> None:
    """C7: legacy, HTTP+SSE; the stream of messages stays."""
    log: list[str] = []
    app = streams_app(log, sse_path="/sse")
    async with started(app) as running, initialized(running) as stream:
        more: dict[str, Any] = {"_meta": {"progressToken": "p"}}
        id_ = await stream.call("call_tool", arguments=through(kind), **more)
        assert (await stream.message())["method"] == "notifications/progress"
        await stream.post({**CANCELLED, "params": {"requestId": id_}})
        await until_ended(log)
        following = await stream.call("call_tool", arguments=through("following"))
        assert (await answer_to(stream, following))["content"][0]["text"] == '"next"'


async def answer_to(stream: Stream, id_: int) -> dict[str, Any]:
    """Return the result of a request, behind what was on its way before."""
    while (message := await stream.message()).get("id") != id_:
        assert "id" not in message
    result: dict[str, Any] = message["result"]
    return result


async def session_of(app: ASGIApp) -> dict[str, str]:
    client = {"name": "client", "version": "1"}
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client}
    reply = await rpc(app, "legacy", "initialize", params)
    return {"mcp-session-id": reply.headers["mcp-session-id"]}


async def post(app: ASGIApp, body: Mapping[str, Any], headers: Mapping[str, str]) -> int:
    accepted = {"accept": "application/json, text/event-stream", **headers}
    async with http(app) as client:
        return (await client.post("/mcp", json=body, headers=accepted)).status_code
