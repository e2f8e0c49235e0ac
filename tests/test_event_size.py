"""The message that ends a stream of progress is one that clients accept."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from mcp_types import TextContent

from mcp_mount import Limits, mount_mcp
from tests.lanes import closed
from tests.support import ERAS, Era, call, connected

MOST = 1024 * 1024
NOTE = "[This is only the beginning: all of it came as progress"

eras = pytest.mark.parametrize("era", ERAS)
lanes = pytest.mark.parametrize("lane", [True, False])
pytestmark = pytest.mark.usefixtures("either_caller")


def app_of(piece: str, count: int, *, media: str = "text/plain", lane: bool, **limits: Any) -> Any:
    """Return an app whose tool `stream` streams a piece that many times."""
    app = FastAPI()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield piece.encode()

    @app.get("/stream", response_class=StreamingResponse)
    async def stream() -> StreamingResponse:
        return StreamingResponse(pieces(), media_type=media)

    mounted = mount_mcp(app, limits=Limits(**limits))
    if not lane:
        closed(mounted)
    return app


@eras
@lanes
async def test_a_client_reads_the_end_of_a_long_stream(era: Era, *, lane: bool) -> None:
    """S1, P1: the SDK's client refuses an event of more than 1 MiB; it sees all as progress."""
    shown: list[str] = []

    async def show(progress: float, total: float | None, message: str | None) -> None:
        shown.append(message or "")

    async with connected(app_of("x" * 30_000, 50, lane=lane), era) as client:
        result = await client.call_tool("stream", progress_handler=show)
    text, note = result.content
    assert isinstance(text, TextContent)
    assert isinstance(note, TextContent)
    assert note.text.startswith(NOTE)
    assert "".join(shown) == "x" * 1_500_000
    assert text.text == "x" * len(text.text)
    assert len(text.text) > MOST * 0.8


@eras
@lanes
@pytest.mark.parametrize("piece", ["x", "ü", '"\n', "🚀", "\x01"])
async def test_the_last_message_is_as_long_as_it_may_be(
    era: Era, piece: str, *, lane: bool
) -> None:
    """S2: no more is left out than has to be, whatever the text is written with."""
    app = app_of(piece * 100, 300, lane=lane, max_event_bytes=20_000)
    reply = await call(app, "stream", era=era, meta={"progressToken": "t"})
    text = reply.result["content"][0]["text"]
    whole = piece * 30_000
    assert "".join(each["params"]["message"] for each in reply.messages[:-1]) == whole
    assert whole.startswith(text)
    assert len(json.dumps(text)) > 16_000
    assert len(reply.text.rpartition("data: ")[2]) < 20_000


@eras
@lanes
@pytest.mark.parametrize("media", ["text/event-stream", "application/jsonl"])
async def test_a_client_reads_the_end_of_a_long_list(era: Era, media: str, *, lane: bool) -> None:
    """S2, P1: what is left of the list is whole items, and says that there were more."""
    line = json.dumps({"text": "ü\x01" * 50})
    piece = f"data: {line}\n\n" if media == "text/event-stream" else f"{line}\n"
    app = app_of(piece, 90, media=media, lane=lane, max_event_bytes=50_000)
    async with connected(app, era) as client:
        result = await client.call_tool("stream")
    assert result.structured_content is not None
    items = result.structured_content["result"]
    assert result.structured_content["ended"].startswith(NOTE)
    text, _ = result.content
    assert isinstance(text, TextContent)
    assert [json.loads(each) for each in text.text.splitlines()] == items
    assert {json.dumps(each) for each in items} == {json.dumps(items[0])}
    assert 40_000 < len(json.dumps(text.text)) + len(json.dumps(items)) < 50_000


@eras
@lanes
@pytest.mark.parametrize("media", ["text/plain", "application/jsonl"])
async def test_a_client_reads_a_piece_that_is_longer_than_an_event(
    era: Era, media: str, *, lane: bool
) -> None:
    """S1, P1: it comes as several pieces, because the SDK's client gives up at a longer event."""
    shown: list[str] = []

    async def show(progress: float, total: float | None, message: str | None) -> None:
        shown.append(message or "")

    text = "x" * 1_500_000 + "🚀" * 200_000
    app = app_of(text if media == "text/plain" else f'"{text}"\n', 2, media=media, lane=lane)
    async with connected(app, era) as client:
        result = await client.call_tool("stream", progress_handler=show)
    _, note = result.content
    assert isinstance(note, TextContent)
    assert note.text.startswith(NOTE)
    assert "".join(shown).replace('"', "") == text * 2


@eras
@lanes
async def test_nothing_more_is_kept_where_a_part_of_the_text_fills_the_message(
    era: Era, *, lane: bool
) -> None:
    """S2: not even the quotation marks of another part fit behind it."""
    part = "x" * 64 * 1024
    headers = json.dumps({"content-type": "text/plain; charset=utf-8"})
    # The first has its quotation marks, and nothing is left for those of the second.
    most = (len(part) + 2 + len(headers)) * 8 // 7 + 1
    app = app_of(part, 2, lane=lane, max_event_bytes=most)
    reply = await call(app, "stream", era=era, meta={"progressToken": "t"})
    assert len(part) < len(reply.text.rpartition("data: ")[2]) < most


@eras
@lanes
async def test_reported_headers_take_their_place_in_the_last_message(
    era: Era, *, lane: bool
) -> None:
    """S2, R4: a route may say much in them."""
    app = FastAPI()

    @app.get("/stream", response_class=StreamingResponse)
    async def stream() -> StreamingResponse:
        link = {"link": ", ".join(["<https://example.org/>; rel=next"] * 200)}
        return StreamingResponse(iter(["x" * 20_000]), media_type="text/plain", headers=link)

    mounted = mount_mcp(app, limits=Limits(max_event_bytes=20_000))
    if not lane:
        closed(mounted)
    reply = await call(app, "stream", era=era, meta={"progressToken": "t"})
    assert reply.result["_meta"]["http"]["headers"]["link"]
    assert 15_000 < len(reply.text.rpartition("data: ")[2]) < 20_000


@eras
@lanes
async def test_a_stream_of_which_nothing_was_shown_is_whole(era: Era, *, lane: bool) -> None:
    """S2: without a token the answer is JSON, which has no such limit."""
    reply = await call(app_of("x" * 30_000, 50, lane=lane), "stream", era=era)
    assert reply.result["content"] == [{"type": "text", "text": "x" * 1_500_000}]


@eras
@lanes
async def test_the_size_of_the_last_message_is_the_servers_to_say(era: Era, *, lane: bool) -> None:
    """S2: clients differ in what they accept."""
    large = app_of("x" * 30_000, 50, lane=lane, max_event_bytes=2 * MOST)
    reply = await call(large, "stream", era=era, meta={"progressToken": "t"})
    assert reply.result["content"] == [{"type": "text", "text": "x" * 1_500_000}]


@eras
@lanes
async def test_a_stream_that_was_ended_and_shortened_says_both(era: Era, *, lane: bool) -> None:
    """C6, S4."""
    app = app_of("x" * 30_000, 50, lane=lane, max_bytes=1_400_000)
    reply = await call(app, "stream", era=era, meta={"progressToken": "t"})
    note = reply.result["content"][1]["text"]
    assert note.startswith(NOTE)
    assert "1400000 bytes (max_bytes)" in note


@eras
@lanes
async def test_a_large_event_is_written_without_blanks(era: Era, *, lane: bool) -> None:
    """F1: a hundred thousand fractions took Python 90 ms to write, in which nothing else runs."""
    fractions = [0.12345678901234567] * 5_000
    event = f"event: row\ndata: {json.dumps(fractions)}\n\n"
    media = "text/event-stream"
    for count, blank in ((5_000, ""), (5, " ")):
        piece = event if count == 5_000 else f"event: row\ndata: {json.dumps(fractions[:5])}\n\n"
        reply = await call(app_of(piece, 1, media=media, lane=lane), "stream", era=era)
        text = reply.result["content"][0]["text"]
        assert text.startswith(f'{{"event":{blank}"row",{blank}"data":{blank}[0.1234567890123456')
        assert json.loads(text) == {"event": "row", "data": fractions[:count]}


CONTROLS = "\x01" * 1_000_000


@eras
@lanes
@pytest.mark.parametrize(
    ("piece", "media"),
    [
        (f"event: x\ndata: 🚀{CONTROLS}\n\n", "text/event-stream"),
        (f"event: {CONTROLS}\ndata: x\n\n", "text/event-stream"),
        (f"🚀{CONTROLS}\n", "application/jsonl"),
    ],
)
async def test_control_characters_count_as_what_they_are_written_with(
    era: Era, piece: str, media: str, *, lane: bool
) -> None:
    """S3: each takes seven bytes as text and as much as structure: 9 MB were 126, in two copies."""
    app = app_of(piece, 1, media=media, lane=lane, max_bytes=MOST)
    reply = await call(app, "stream", era=era)
    assert f"{MOST} bytes (max_bytes)" in reply.result["content"][-1]["text"]
    assert len(reply.text) < 4 * MOST


@eras
@lanes
async def test_few_control_characters_end_no_stream(era: Era, *, lane: bool) -> None:
    """S3: a log in colours has some in each line."""
    line = f"data: \x1b[31m{'x' * 100}\x1b[0m\n\n"
    app = app_of(line, 900, media="text/event-stream", lane=lane, max_bytes=900 * len(line))
    reply = await call(app, "stream", era=era)
    assert "ended" not in reply.result["structuredContent"]


@eras
@lanes
async def test_a_text_of_many_events_that_fits_is_whole(era: Era, *, lane: bool) -> None:
    """S2: nothing is left out of a message that has room for all of it."""
    event = f"data: {json.dumps({'choices': [{'delta': {'content': 'x' * 1_000}}]})}\n\n"
    app = app_of(event, 100, media="text/event-stream", lane=lane)
    reply = await call(app, "stream", era=era, meta={"progressToken": "t"})
    assert reply.result["content"][0] == {"type": "text", "text": "x" * 100_000}
    assert NOTE not in reply.text
