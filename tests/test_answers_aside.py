"""What FastMCP answers is written as the SDK would write it, and holds nobody up."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from fastmcp import Context
from mcp_types import CallToolResult
from pydantic import BaseModel, Field

from mcp_mount import Mounted, mount_mcp
from tests.foreign import HELD, Heartbeat
from tests.lanes import request_of, sent_by
from tests.sse import initialized
from tests.starting import started
from tests.support import Era, envelope, http, read_messages, rpc
from tests.test_session_unread import opened

LONG = "x" * 20_000
VALUES: dict[str, dict[str, Any]] = {
    "letters": {"text": "ä€🚀" * 10_000},
    "what breaks lines": {"text": LONG + "\r\n\u2028\u2029\x85\x00\x1b"},
    "what is escaped": {"text": '"\\</script>' * 5_000},
    "numbers": {"a": [0, -1, 2**63, 2**70, 1e22, 1e-7, 0.1, 1.0, 1e308] * 1_000},
    "names": {f"ä\n{each}": None for each in range(3_000)},
    "levels": {"a": {"b": {"c": {"d": [[{"e": [LONG]}], True, False, None, {}, [], ""]}}}},
    "half a character": {"text": LONG + "\ud800"},
    "small": {"text": "x"},
}
WAYS = ["modern", "legacy", "session", "stream", "with events"]
EVENTS = WAYS[-1]
"""Where the SDK writes everything."""


def giving_app(way: str = "modern") -> tuple[FastAPI, Mounted]:
    """Return an app with own components that answer with `VALUES`."""
    app = FastAPI()
    store = "memory://" if way == EVENTS else None
    has_sessions, path = way in {"session", EVENTS}, "/sse" if way == "stream" else None
    mounted = mount_mcp(app, sessions=has_sessions, event_store=store, sse_path=path)

    @mounted.server.tool
    async def give(name: str, context: Context) -> dict[str, Any]:
        await context.report_progress(1)
        return VALUES[name]

    @mounted.server.resource("own://{name}", mime_type="application/json")
    def read(name: str) -> str:
        return json.dumps(VALUES[name], ensure_ascii=False)

    @mounted.server.prompt
    def ask(name: str) -> str:
        return json.dumps(VALUES[name], ensure_ascii=False)

    return app, mounted


@asynccontextmanager
async def client_of(way: str) -> AsyncIterator[tuple[httpx2.AsyncClient, Mapping[str, str]]]:
    app, _ = giving_app(way)
    async with started(app) as served, http(served) as client:
        yield client, await opened(served) if way in {"session", EVENTS} else {}


async def answered(way: str, method: str, params: dict[str, Any]) -> Any:
    """Return the result, or the error, that is answered."""
    if way == "stream":
        return await answered_on_a_stream(method, params)
    async with client_of(way) as (client, own):
        headers, body = envelope("modern" if way == "modern" else "legacy", method, params)
        named = {"mcp-name": str(params.get("name") or params["uri"])}
        reply = await client.post("/mcp", json=body, headers={**headers, **named, **own})
    length = reply.headers.get("content-length")
    assert length is None or int(length) == len(reply.content)
    answer = read_messages(reply.headers["content-type"], reply.text)[-1]
    return answer.get("result", answer.get("error"))


async def answered_on_a_stream(method: str, params: dict[str, Any]) -> Any:
    app, _ = giving_app("stream")
    async with started(app) as served, initialized(served) as stream:
        await stream.ask(method, params)
        text = b""
        while b'"id":' not in text or not text.endswith(b"\r\n\r\n"):
            text += await stream.response.chunk() or b""
    answer = read_messages("text/event-stream", text.decode())[-1]
    return answer.get("result", answer.get("error"))


@pytest.mark.parametrize("progress", [False, True])
@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("way", WAYS[:-1])
async def test_a_result_is_that_of_the_sdk(way: str, name: str, *, progress: bool) -> None:
    """F1: also in an event after others."""
    meta = {"_meta": {"progressToken": 1}} if progress else {}
    params = {"name": "give", "arguments": {"name": name}, **meta}
    found, expected = [await answered(each, "tools/call", params) for each in (way, EVENTS)]
    parts = {"content", "isError", "code", "message"}
    if way != "stream":
        # In 2024-11-05 a result has no structure.
        parts.add("structuredContent")
        assert name == "half a character" or found["structuredContent"] == VALUES[name]
    assert {each: found.get(each) for each in parts} == {each: expected.get(each) for each in parts}


class Row(BaseModel):
    """A value of which Pydantic knows how it is written."""

    left_out: int | None = None
    row_number: int = Field(alias="rowNumber")


@pytest.mark.parametrize("count", [1, 2_000])
@pytest.mark.parametrize("way", WAYS[:3])
async def test_a_result_may_hold_models(way: str, count: int) -> None:
    """F1: in a result that an own tool makes itself, nothing is JSON yet."""
    app, mounted = giving_app(way)

    @mounted.server.tool
    async def made() -> CallToolResult:
        return CallToolResult(content=[], structured_content={"rows": [Row(rowNumber=1)] * count})

    async with started(app) as served:
        own = await opened(served) if way == "session" else {}
        era: Era = "modern" if way == "modern" else "legacy"
        reply = await rpc(served, era, "tools/call", {"name": "made"}, headers=own)
    assert reply.result["structuredContent"] == {"rows": [{"rowNumber": 1}] * count}


@pytest.mark.parametrize(
    ("method", "params", "part"),
    [
        ("resources/read", {"uri": "own://letters"}, "contents"),
        ("prompts/get", {"name": "ask", "arguments": {"name": "letters"}}, "messages"),
    ],
)
@pytest.mark.parametrize("way", WAYS[:-1])
async def test_so_are_resources_and_prompts(
    way: str, method: str, params: dict[str, Any], part: str
) -> None:
    """F1: whatever is large."""
    found, expected = [await answered(each, method, params) for each in (way, EVENTS)]
    assert VALUES["letters"]["text"] in json.dumps(found[part], ensure_ascii=False)
    assert found[part] == expected[part]


@pytest.mark.parametrize("way", WAYS[:3])
async def test_a_large_result_lets_others_run(way: str) -> None:
    """F1: the SDK writes it in one step, in four bytes for each character."""
    app, mounted = giving_app(way)
    large = {"text": "x" * 9_900_000 + "🚀"}

    @mounted.server.resource("own://a/large")
    def largest() -> str:
        return large["text"]

    heart = Heartbeat()
    async with started(app) as served, anyio.create_task_group() as tasks:
        own = await opened(served) if way == "session" else {}
        headers, body = request_of(
            "modern" if way == "modern" else "legacy", "resources/read", {"uri": "own://a/large"}
        )
        own = {"mcp-name": "own://a/large", **own}
        headers = [
            *headers,
            *((name.lower().encode(), value.encode()) for name, value in own.items()),
        ]

        async def act() -> None:
            # To read the answer would take the loop's time, too.
            parts = await sent_by(served, headers, body)
            assert sum(len(each.get("body", b"")) for each in parts) > 9_900_000

        tasks.start_soon(heart.beat)
        await act()
        held = await heart.during(act)
        tasks.cancel_scope.cancel()
    assert held < HELD
