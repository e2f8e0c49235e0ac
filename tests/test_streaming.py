"""Streams reach the client while they are produced, and no faster than it reads."""

import itertools
import json
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import anyio
import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastmcp import Client
from mcp_types import TextContent
from pydantic import BaseModel
from starlette.concurrency import iterate_in_threadpool
from starlette.types import ASGIApp

from mcp_mount import mount_mcp
from tests.mock_api.streaming import streamed
from tests.support import ERAS, MODERN, Era, call, connected, envelope, served, tools


class Item(BaseModel):
    number: int


TOOLS = ["text", "lines", "events", "thread"]
SHOWN = {
    "text": ["0", "1", "2"],
    "lines": ['{"number":0}', '{"number":1}', '{"number":2}'],
    "events": ['{"data": {"number": 0}}', '{"data": {"number": 1}}', '{"data": {"number": 2}}'],
    "thread": ['{"number":0}', '{"number":1}', '{"number":2}'],
}


class Steps:
    """Lets a route go on to a step when its reader, in whatever loop, has seen the one before."""

    def __init__(self) -> None:
        self._seen = [threading.Event() for _ in range(3)]

    def go(self) -> Iterator[int]:
        for number in range(3):
            assert not number or self._seen[number - 1].wait(10), "the reader saw nothing"
            yield number

    def seen(self, number: int) -> None:
        self._seen[number].set()


def build_steps(steps: Steps) -> FastAPI:
    app = FastAPI()

    @app.get("/text")
    async def text() -> StreamingResponse:
        return StreamingResponse(map(str, steps.go()), media_type="text/plain")

    @app.get("/lines")
    async def lines() -> AsyncIterator[Item]:
        async for number in iterate_in_threadpool(steps.go()):
            yield Item(number=number)

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[Item]:
        async for number in iterate_in_threadpool(steps.go()):
            yield Item(number=number)

    @app.get("/thread")
    def thread() -> Iterator[Item]:
        for number in steps.go():
            yield Item(number=number)

    mount_mcp(app)
    return app


async def read_in_steps(client: Client[Any], tool: str, steps: Steps) -> tuple[list[str], Any]:
    """Call a tool whose route goes on only when its last chunk has been seen here."""
    shown: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        assert progress == len(shown) + 1
        shown.append(message or "")
        steps.seen(len(shown) - 1)

    with anyio.fail_after(30):
        result = await client.call_tool(tool, progress_handler=on_progress)
    return shown, result


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", TOOLS)
async def test_each_part_arrives_before_the_next_is_produced(tool: str, era: Era) -> None:
    """S1: text, events and lines are progress while they are produced, each of them once."""
    steps = Steps()
    async with connected(build_steps(steps), era) as client:
        shown, result = await read_in_steps(client, tool, steps)
    assert shown == SHOWN[tool]
    end = "" if tool == "text" else "\n"
    assert result.content[0].text == end.join(SHOWN[tool])


@pytest.mark.parametrize("mode", [MODERN, "legacy"])
@pytest.mark.parametrize("tool", TOOLS)
async def test_each_part_arrives_over_a_socket_too(tool: str, mode: Any) -> None:
    """S1: as above, through uvicorn."""
    steps = Steps()
    with served(build_steps(steps)) as url:
        async with Client(f"{url}/mcp", mode=mode) as client:
            shown, _ = await read_in_steps(client, tool, steps)
    assert shown == SHOWN[tool]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", TOOLS)
async def test_who_asks_for_no_progress_gets_the_whole_result_alone(tool: str, era: Era) -> None:
    """S1: without a progress token there is no notification."""
    steps = Steps()
    for number in range(3):
        steps.seen(number)
    reply = await call(build_steps(steps), tool, era=era)
    assert len(reply.messages) == 1
    assert reply.progress == []
    assert reply.text_content == ("" if tool == "text" else "\n").join(SHOWN[tool])


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["lines", "events"])
async def test_the_final_result_is_the_list_and_keeps_its_schema(tool: str, era: Era) -> None:
    """S2: parsed items, conforming to the published `outputSchema`."""
    steps = Steps()
    for number in range(3):
        steps.seen(number)
    app = build_steps(steps)
    reply = await call(app, tool, era=era, token="p")
    schema = (await tools(app, era=era))[tool]["outputSchema"]
    structured = reply.result["structuredContent"]
    assert structured["result"] == [json.loads(item) for item in SHOWN[tool]]
    jsonschema_rs.validate(schema, structured)
    broken = {"result": [{"data": {"number": "x"}} if tool == "events" else {"number": "x"}]}
    assert not jsonschema_rs.is_valid(schema, broken)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_characters_cut_across_chunks_are_put_together(size: int, era: Era) -> None:
    """S1: UTF-8 that arrives in pieces is shown whole, and nothing is shown twice or lost."""
    text = "Grüße, 日本 🚀!"
    encoded = text.encode()
    app = FastAPI()

    @app.get("/text")
    async def get_text() -> StreamingResponse:
        chunks = (encoded[at : at + size] for at in range(0, len(encoded), size))
        return StreamingResponse(chunks, media_type="text/plain")

    mount_mcp(app)
    reply = await call(app, "get_text", era=era, token="p")
    assert "".join(reply.progress) == text
    assert "\ufffd" not in "".join(reply.progress)
    assert reply.text_content == text


@pytest.mark.parametrize("era", ERAS)
async def test_every_field_of_an_event_is_kept(era: Era) -> None:
    """S2: names, ids, retry times and multi-line data; comments are nobody's."""
    app = FastAPI()

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(data={"a": 1}, event="added", id="7", retry=10)
        yield ServerSentEvent(comment="still here")
        yield ServerSentEvent(raw_data="two\nlines", event="note")

    mount_mcp(app)
    reply = await call(app, "events", era=era, token="p")
    expected = [
        {"event": "added", "id": "7", "retry": 10, "data": {"a": 1}},
        {"event": "note", "data": "two\nlines"},
    ]
    assert [json.loads(item) for item in reply.progress] == expected
    assert reply.result["structuredContent"] == {"result": expected}


def build_counter(produced: list[int]) -> ASGIApp:
    """Return an app with an endless stream that counts what was asked of it."""
    app = FastAPI()

    def count() -> Iterator[int]:
        for number in itertools.count(1):
            produced.append(number)
            yield number

    @app.get("/text")
    async def text() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            for number in count():
                yield f"{number} "

        return StreamingResponse(chunks(), media_type="text/plain")

    @app.get("/lines")
    async def lines() -> AsyncIterator[int]:
        for number in count():
            yield number

    @app.get("/events", response_class=EventSourceResponse)
    def events() -> Iterator[int]:
        yield from count()

    mount_mcp(app)
    return app


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("kind", ["text", "lines", "events"])
async def test_a_slow_reader_slows_the_route(kind: str, era: Era) -> None:
    """S3: what is produced stays near what was read, however much is still to come."""
    produced: list[int] = []
    app = build_counter(produced)
    headers, body = envelope(era, "tools/call", {"name": kind, "arguments": {}}, token="p")
    # The SDK's stream for the handshake versions holds 16 messages; a few more are on their way.
    ahead = 4 if era == "modern" else 32
    ahead += 4 if kind == "events" else 0
    with anyio.move_on_after(10) as scope:
        async with streamed(app, "POST", "/mcp", body, headers=headers) as response:
            for read in range(1, 60):
                assert await response.chunk()
                if read % 20 == 0:
                    await anyio.wait_all_tasks_blocked()
                    assert read <= len(produced) <= read + ahead
            if era == "legacy":
                # Its route would run on to its limits.
                scope.cancel()


@pytest.mark.parametrize("era", ERAS)
async def test_events_of_plain_values_are_what_they_document(era: Era) -> None:
    """S2: FastAPI writes each as JSON, and says so with a `contentSchema`."""
    app = FastAPI()

    @app.get("/numbers", response_class=EventSourceResponse)
    async def numbers() -> AsyncIterator[int]:
        for number in range(2):
            yield number

    @app.get("/days", response_class=EventSourceResponse)
    async def days() -> AsyncIterator[date]:
        yield date(2026, 11, 20)
        yield date(2026, 11, 21)

    @app.get("/optional", response_class=EventSourceResponse)
    async def optional() -> AsyncIterator[Item | None]:
        yield Item(number=1)
        yield None

    mount_mcp(app)
    expected: dict[str, list[Any]] = {
        "numbers": [0, 1],
        "days": ["2026-11-20", "2026-11-21"],
        "optional": [{"number": 1}, None],
    }
    async with connected(app, era) as client:
        await client.list_tools()
        for tool, values in expected.items():
            result = await client.call_tool(tool)
            assert not result.is_error
            assert result.structured_content == {"result": [{"data": each} for each in values]}
            (block,) = result.content
            assert isinstance(block, TextContent)
            lines = block.text.splitlines()
            assert [json.loads(line)["data"] for line in lines] == values
