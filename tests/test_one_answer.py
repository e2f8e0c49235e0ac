"""An answer alone is JSON in every version, so that its size is its own matter."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastmcp import Context
from mcp_types import TextContent

from mcp_mount import mount_mcp
from mcp_mount.endpoints.collapse import collapse_single_event
from tests.lanes import closed
from tests.support import ERAS, Era, call, connected, rpc
from tests.test_linear import within_seconds

eras = pytest.mark.parametrize("era", ERAS)


def big_app(**options: Any) -> FastAPI:
    """Return an app whose calls FastMCP serves, whatever they are."""
    app = FastAPI()

    @app.get("/big", response_class=PlainTextResponse)
    async def big(size: int) -> str:
        return "x" * size

    @app.get("/stream", response_class=StreamingResponse)
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b"]), media_type="text/plain")

    mounted = mount_mcp(app, **options)
    closed(mounted)

    @mounted.server.tool
    async def steps(ctx: Context) -> str:
        await ctx.report_progress(1, message="one")
        return "done"

    return app


@eras
async def test_a_client_reads_a_large_result(era: Era) -> None:
    """R2: the SDK's client refuses an event of more than 1 MiB."""
    async with connected(big_app(), era) as client:
        (block,) = (await client.call_tool("big", {"size": 3_000_000})).content
    assert isinstance(block, TextContent)
    assert len(block.text) == 3_000_000


@eras
@pytest.mark.parametrize("method", ["tools/list", "resources/list", "ping"])
async def test_what_is_no_call_is_json_too(era: Era, method: str) -> None:
    reply = await rpc(big_app(), era, method)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-length"] == str(len(reply.text))
    assert json.loads(reply.text)["id"] == 1


@eras
@pytest.mark.parametrize("tool", ["stream", "steps"])
async def test_progress_is_a_stream_as_before(era: Era, tool: str) -> None:
    """S1: nothing is held back where more than the answer is said."""
    reply = await call(big_app(), tool, era=era, token="p")
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.progress == (["a", "b"] if tool == "stream" else ["one"])
    assert not reply.is_error


@pytest.mark.parametrize(
    "parts",
    [
        [
            b": ping\r\n\r\n",
            b'event: message\r\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\r\n\r\n',
        ],
        [b'event: message\r\ndata: {"jsonrpc":"2.0","id":1,"method":"roots/list"}\r\n\r\n'],
        [
            b'event: message\r\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\r\n\r\n',
            b": ping\r\n\r\n",
        ],
        [b"data: \r\n\r\n"],
        [b""],
    ],
)
async def test_every_other_stream_stays_one(parts: list[bytes]) -> None:
    """C2: byte for byte."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    pass_on = collapse_single_event(send)
    start = {"type": "http.response.start", "status": 200}
    await pass_on({**start, "headers": [(b"content-type", b"text/event-stream")]})
    for part in parts:
        await pass_on({"type": "http.response.body", "body": part, "more_body": True})
    await pass_on({"type": "http.response.body", "body": b""})
    assert sent[0]["headers"] == [(b"content-type", b"text/event-stream")]
    assert [message["body"] for message in sent[1:]] == [*parts, b""]


async def test_the_id_of_a_request_takes_no_time_to_look_at() -> None:
    """F1: whoever calls chooses it, up to the size of a request."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    pass_on = collapse_single_event(send)
    start = {"type": "http.response.start", "status": 200}
    await pass_on({**start, "headers": [(b"content-type", b"text/event-stream")]})
    body = b'data: {"jsonrpc":"2.0","id":"%s","result":{}}\r\n\r\n' % (b"a" * 4_000_000)
    with within_seconds(0.05):
        await pass_on({"type": "http.response.body", "body": body, "more_body": False})
    assert sent[1]["body"] == body
