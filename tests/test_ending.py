"""Every call ends: at its deadline, its byte cap or its item cap, with what had arrived."""

import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from mcp_mount import Limits, mount_mcp
from tests.mock_api.streaming import streamed
from tests.support import ERAS, Era, call, envelope, http, read_messages, tools


class Item(BaseModel):
    number: int


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes here do not listen; half a second for each would add up."""
    monkeypatch.setattr("mcp_mount.backends.app_call.GRACE", 0.01)


def build_endless() -> FastAPI:
    """Return an app whose routes send something, and then wait for ever."""
    app = FastAPI()

    @app.get("/text")
    async def text() -> StreamingResponse:
        return StreamingResponse(sends(b"one ", b"two"), media_type="text/plain")

    @app.get("/json")
    async def json() -> StreamingResponse:
        return StreamingResponse(sends(b'{"a": 1,'), media_type="application/json")

    @app.get("/binary")
    async def binary() -> StreamingResponse:
        return StreamingResponse(sends(b"\x00\x01"), media_type="application/pdf")

    @app.get("/lines")
    async def lines() -> AsyncIterator[Item]:
        yield Item(number=1)
        await anyio.sleep_forever()

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[Item]:
        yield Item(number=1)
        await anyio.sleep_forever()

    @app.get("/nothing")
    async def nothing() -> str:
        await anyio.sleep_forever()
        return "never"

    return app


async def sends(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    await anyio.sleep_forever()


TIMED_OUT = "[Ended at the limit of 0.2 seconds (timeout). There may be more.]"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("tool", "is_error", "kept", "structured"),
    [
        ("text", False, "one two", None),
        ("json", True, '{"a": 1,', None),
        ("binary", True, "", None),
        ("lines", False, '{"number":1}', [{"number": 1}]),
        ("events", False, '{"data": {"number": 1}}', [{"data": {"number": 1}}]),
    ],
)
async def test_a_call_ends_at_its_deadline_with_what_had_arrived(
    tool: str, kept: str, structured: Any, era: Era, *, is_error: bool
) -> None:
    """C6: streaming, JSON and binary responses end when the time is up, and say so."""
    app = build_endless()
    mount_mcp(app, limits=Limits(timeout=0.2))
    with anyio.fail_after(30):
        reply = await call(app, tool, era=era)
    assert reply.is_error is is_error
    assert reply.text_content == (f"{kept}\n{TIMED_OUT}" if kept else TIMED_OUT)
    expected = structured and {"result": structured, "ended": TIMED_OUT}
    assert reply.result.get("structuredContent") == expected


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_without_any_answer_ends_at_its_deadline(era: Era) -> None:
    """C6: a route that never answers is an error that names the time."""
    app = build_endless()
    mount_mcp(app, limits=Limits(timeout=0.2))
    with anyio.fail_after(30):
        reply = await call(app, "nothing", era=era)
    assert reply.is_error
    assert "no answer within 0.2 seconds" in reply.text_content


def build_fast() -> FastAPI:
    """Return an app whose routes send more than any limit, as fast as it is read."""
    app = FastAPI()

    @app.get("/text")
    async def text() -> StreamingResponse:
        return StreamingResponse(itertools.repeat(b"0123456789"), media_type="text/plain")

    @app.get("/binary")
    async def binary() -> StreamingResponse:
        return StreamingResponse(itertools.repeat(b"0123456789"), media_type="application/pdf")

    @app.get("/json")
    async def json() -> Response:
        return Response(b"[" + b"1," * 50 + b"1]", media_type="application/json")

    @app.get("/lines")
    async def lines() -> AsyncIterator[Item]:
        for number in itertools.count():
            yield Item(number=number)

    @app.get("/events", response_class=EventSourceResponse)
    def events() -> Iterator[Item]:
        for number in itertools.count():
            yield Item(number=number)

    return app


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("tool", "is_error"), [("text", False), ("json", True), ("binary", True)])
async def test_a_response_ends_at_the_byte_cap(tool: str, era: Era, *, is_error: bool) -> None:
    """C6, S4: an endless stream ends after `max_bytes`; of a whole, the readable part is kept."""
    app = build_fast()
    mount_mcp(app, limits=Limits(max_bytes=25))
    with anyio.fail_after(30):
        reply = await call(app, tool, era=era)
    assert reply.is_error is is_error
    kept = {"text": "0123456789012345678901234\n", "json": "[" + "1," * 12 + "\n", "binary": ""}
    note = "[Ended at the limit of 25 bytes (max_bytes). There may be more.]"
    assert reply.text_content == kept[tool] + note


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["lines", "events"])
async def test_a_list_ends_at_the_item_cap(tool: str, era: Era) -> None:
    """C6, S4: an endless list ends after `max_items`, and keeps its output schema."""
    app = build_fast()
    mount_mcp(app, limits=Limits(max_items=3))
    with anyio.fail_after(30):
        reply = await call(app, tool, era=era)
    note = "[Ended at the limit of 3 items (max_items). There may be more.]"
    assert not reply.is_error
    assert reply.text_content.splitlines()[-1] == note
    items = [{"number": number} for number in range(3)]
    shown = items if tool == "lines" else [{"data": item} for item in items]
    assert reply.result["structuredContent"] == {"result": shown, "ended": note}
    assert "ended" in (await tools(app))[tool]["outputSchema"]["properties"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("size", [1, 3])
async def test_a_response_of_exactly_the_limits_is_whole(size: int, era: Era) -> None:
    """C6: what reaches a limit without passing it is not called cut."""
    app = FastAPI()

    @app.get("/lines")
    async def lines() -> AsyncIterator[int]:
        for number in range(size):
            yield number

    @app.get("/text")
    async def text() -> Response:
        return Response("x" * size, media_type="text/plain")

    mount_mcp(app, limits=Limits(max_items=size, max_bytes=2 * size))
    reply = await call(app, "lines", era=era)
    assert reply.result["structuredContent"] == {"result": [*range(size)]}
    assert (await call(app, "text", era=era)).text_content == "x" * size


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["deaf", "deaf_stream"])
async def test_a_route_that_cannot_be_stopped_does_not_hold_the_result_back(
    tool: str, era: Era
) -> None:
    """C6: a worker thread that hears of no disconnect and no cancellation is not waited for."""
    app = FastAPI()
    released = threading.Event()

    @app.get("/deaf")
    def deaf() -> str:
        released.wait()
        return "late"

    @app.get("/deaf-stream")
    def deaf_stream() -> StreamingResponse:
        def chunks() -> Iterator[str]:
            yield "early"
            released.wait()
            yield "late"

        return StreamingResponse(chunks(), media_type="text/plain")

    mount_mcp(app, limits=Limits(timeout=0.2))
    headers, body = envelope(era, "tools/call", {"name": tool, "arguments": {}})
    try:
        async with http(app) as client:
            with anyio.fail_after(30):
                reply = await client.post("/mcp", headers=headers, json=body)
            assert not released.is_set()
            released.set()
    finally:
        released.set()
    assert "0.2 seconds" in reply.text
    assert ("early" in reply.text) is (tool == "deaf_stream")
    assert "late" not in reply.text


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("body_began", [True, False])
async def test_a_response_that_breaks_off_is_not_called_late(era: Era, *, body_began: bool) -> None:
    """C6: an app that raises on its way says nothing of a limit, and keeps what had arrived."""
    app = FastAPI()

    @app.get("/text")
    async def text() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            if body_began:
                yield "half of"
            raise ValueError("secret")

        return StreamingResponse(chunks(), media_type="text/plain")

    mount_mcp(app)
    reply = await call(app, "text", era=era)
    assert reply.is_error
    assert ("half of" in reply.text_content) is body_began
    assert "limit" not in reply.text_content
    assert "secret" not in reply.text
    messages = read_messages(reply.headers["content-type"], reply.text)
    assert len(messages) == 1


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("chunk", [b"", b"x"])
async def test_a_route_that_never_waits_ends_at_its_deadline(chunk: bytes, era: Era) -> None:
    """C6, S4: a stream of nothing, or of very little, keeps the event loop from nobody."""
    app = FastAPI()

    @app.get("/busy")
    async def busy() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield chunk

        return StreamingResponse(chunks(), media_type="text/plain")

    mount_mcp(app, limits=Limits(timeout=0.2))
    with anyio.fail_after(30):
        reply = await call(app, "busy", era=era)
    assert "0.2 seconds" in reply.text_content


@pytest.mark.parametrize("era", ERAS)
async def test_a_reader_that_stalls_holds_no_route_past_its_deadline(era: Era) -> None:
    """C6, C7: a route that waits in `send` for a reader is told there when its time is up."""
    app = FastAPI()
    told = anyio.Event()

    class Sends(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            try:
                while True:
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
            except OSError:
                told.set()

    @app.get("/fast")
    async def fast() -> Sends:
        return Sends()

    mount_mcp(app, limits=Limits(timeout=0.2))
    headers, body = envelope(era, "tools/call", {"name": "fast", "arguments": {}}, token="p")
    async with streamed(app, "POST", "/mcp", body, headers=headers) as response:
        assert await response.chunk()
        # It reads no more, and stays.
        with anyio.fail_after(30):
            await told.wait()
