"""Streams of language models are text, and what is no text in them is there once."""

import json
import sys
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from mcp_mount import InvalidMark, Limits, mount_mcp
from mcp_mount.conversion.decoders import Event
from mcp_mount.conversion.deltas import StreamForm
from mcp_mount.conversion.items import StreamItems
from tests.dialects import ARGUMENTS, DIALECTS, TEXT, TOKENS, chunk, events
from tests.support import ERAS, Era, Reply, call, tools
from tests.ways import Way, either_way, force

eras = pytest.mark.parametrize("era", ERAS)


def app_of(
    body: Iterable[str],
    mark: dict[str, Any] | None = None,
    *,
    media_type: str = "text/event-stream",
    way: Way = "quick",
    **limits: Any,
) -> FastAPI:
    """Return an app whose tool `stream` sends a body in these pieces."""
    app = FastAPI()

    @app.get("/stream", openapi_extra={"x-mcp": mark or {}}, response_class=StreamingResponse)
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            for piece in body:
                yield piece

        return StreamingResponse(pieces(), media_type=media_type)

    force(mount_mcp(app, limits=Limits(**limits)), way)
    return app


async def told(body: Iterable[str], mark: dict[str, Any] | None = None, **options: Any) -> Reply:
    """Return what the tool of a stream answers a client that asks for progress."""
    return await call(app_of(body, mark, **options), "stream", token="p")


@eras
@either_way
@pytest.mark.parametrize("name", DIALECTS)
async def test_the_text_of_a_model_is_text_and_the_rest_is_there_once(
    name: str, way: Way, era: Era
) -> None:
    """S2: in progress, in the text and in the structure."""
    dialect = DIALECTS[name]
    reply = await call(app_of([dialect.body], way=way), "stream", era=era, token="p")
    assert not reply.is_error
    text, *rest = (block["text"] for block in reply.result["content"])
    assert text == TEXT
    lines = [json.loads(line) for each in rest for line in each.splitlines()]
    assert lines == dialect.items
    expected = {"text": TEXT, "result": dialect.items} if dialect.items else {"text": TEXT}
    assert reply.result["structuredContent"] == expected
    shown = [each for each in reply.progress if not each.startswith("{")]
    assert shown == TOKENS
    # What was shown as it came may be said again by the event that ends it.
    as_items = [json.loads(each) for each in reply.progress if each.startswith("{")]
    assert [each for each in dialect.items if each not in as_items] == []


@pytest.mark.parametrize("name", DIALECTS)
async def test_how_a_stream_is_cut_into_pieces_changes_nothing(name: str) -> None:
    """S2."""
    body = DIALECTS[name].body
    whole, cut = await told([body]), await told(body)
    assert cut.progress == whole.progress
    assert cut.result == whole.result


@eras
async def test_tokens_are_no_items(era: Era) -> None:
    """S2, S4: 1,500 of them come to their end, in text and in the arguments of a call."""
    word = [chunk({"content": "word "})] * 1_500
    part = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]})] * 1_500
    app = app_of([events([*word, *part, chunk({}, finish_reason="stop"), "[DONE]"])])
    reply = await call(app, "stream", era=era)
    structured = reply.result["structuredContent"]
    assert structured["text"] == "word " * 1_500
    assert "ended" not in structured
    choice = structured["result"][0]["data"]["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["delta"]["tool_calls"][0]["function"]["arguments"] == "x" * 1_500
    assert len(structured["result"]) == 2


async def test_a_text_is_bounded_by_the_bytes_of_its_stream() -> None:
    """S4: an endless one ends."""
    reply = await told([events(["word "] * 500)], max_bytes=1_100, max_items=3)
    structured = reply.result["structuredContent"]
    assert structured["text"].startswith("word word ")
    assert "1100 bytes (max_bytes)" in structured["ended"]


async def test_items_beside_a_text_are_counted_and_it_keeps_what_had_come() -> None:
    """S4."""
    body = events(["one ", {"n": 1}, {"n": 2}, "two ", {"n": 3}, "three "])
    reply = await told([body], max_items=2)
    structured = reply.result["structuredContent"]
    assert structured["text"] == "one two "
    assert structured["result"] == [{"data": {"n": 1}}, {"data": {"n": 2}}]
    assert "2 items (max_items)" in structured["ended"]


async def test_three_hundred_words_are_as_long_as_they_are() -> None:
    """S2: and not seventy thousand characters of JSON."""
    body = events([chunk({"content": "words, "}) for _ in range(300)])
    reply = await told([body])
    assert sum(len(block["text"]) for block in reply.result["content"]) < 300 * 7 + 300
    assert sum(map(len, reply.progress)) < 300 * 7 + 300


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["Hel", "lo ", "world"], "Hello world"),
        (["Hello", " world"], "Hello world"),
        (["the", "quick", "fox"], "the quick fox"),
        (["Step 1 begins", "Step 1 ends"], "Step 1 begins\nStep 1 ends"),
        (["你", "好"], "你好"),
    ],
)
async def test_words_and_lines_are_kept_apart_and_pieces_joined(
    words: list[str], text: str
) -> None:
    """S2: plain `data:` says nothing of which it sends."""
    reply = await told([events(words)])
    assert reply.text_content == text


async def test_only_events_whose_name_may_be_a_text_are_text() -> None:
    """S2: what an event of another name says is no part of it."""
    names = ["token", "status", "message", "error"]
    reply = await told([f"event: {name}\ndata: {name} \n\n" for name in names])
    structured = reply.result["structuredContent"]
    assert structured["text"] == "token message "
    assert structured["result"] == [
        {"event": name, "data": f"{name} "} for name in ("status", "error")
    ]


@eras
@pytest.mark.parametrize("media_type", ["text/event-stream", "application/x-ndjson"])
async def test_a_mark_says_where_the_text_is(media_type: str, era: Era) -> None:
    """S2: a JSON pointer into an event's data, or a line; what else they say is there once."""
    values: list[Any] = [{"m": "x", "delta": {"te/xt": word}, "done": False} for word in TOKENS]
    values += [{"m": "x", "delta": {"te/xt": ""}, "done": True}, {"usage": 8}]
    is_events = media_type == "text/event-stream"
    body = events(values) if is_events else "\n".join(map(json.dumps, values))
    app = app_of([body], {"stream": {"text": "/delta/te~1xt"}}, media_type=media_type)
    reply = await call(app, "stream", era=era, token="p")
    rest = [{"m": "x", "delta": {}, "done": False}, *values[-2:]]
    items = [{"data": each} for each in rest] if is_events else rest
    assert reply.result["structuredContent"] == {"text": TEXT, "result": items}
    assert reply.progress[: len(TOKENS)] == TOKENS


async def test_a_mark_finds_text_in_lists_and_takes_a_whole_value() -> None:
    """S2: RFC 6901."""
    lists = [{"choices": [{"text": word}]} for word in TOKENS]
    reply = await told([events(lists)], {"stream": {"text": "/choices/0/text"}})
    assert reply.result["structuredContent"] == {"text": TEXT}
    lines = "\n".join(map(json.dumps, TOKENS))
    mark = {"stream": {"text": ""}}
    reply = await told([lines], mark, media_type="application/jsonl")
    assert reply.result["structuredContent"] == {"text": TEXT}


async def test_a_mark_says_that_nothing_is_to_be_joined() -> None:
    """S2: each word is an item then."""
    reply = await told([events(["one", "two"])], {"stream": {"text": False}})
    assert reply.result["structuredContent"] == {"result": [{"data": "one"}, {"data": "two"}]}


@pytest.mark.parametrize("stream", [{"text": "delta"}, {"txt": "/a"}, {"text": 1}, "/delta"])
def test_a_mark_that_cannot_be_read_says_so(stream: object) -> None:
    """T3."""
    app = app_of([""], {"stream": stream})
    with pytest.raises(InvalidMark, match=r"\$\.stream"), TestClient(app):
        pass


@eras
async def test_events_that_are_documented_as_strings_are_text_and_others_are_not(era: Era) -> None:
    """S2: what the document says of them is kept."""
    app = FastAPI()

    @app.get("/words", response_class=EventSourceResponse)
    async def words() -> AsyncIterator[str]:
        for token in TOKENS:
            yield token

    @app.get("/chat", response_class=EventSourceResponse)
    async def chat() -> AsyncIterator[dict[str, Any]]:
        for token in TOKENS:
            yield chunk({"content": token})

    mount_mcp(app)
    listed = await tools(app, era=era)
    for name in ("words", "chat"):
        structured = (await call(app, name, era=era)).result["structuredContent"]
        assert structured["text"] == TEXT
        jsonschema_rs.validate(listed[name]["outputSchema"], structured)
    assert listed["words"]["outputSchema"]["properties"]["text"] == {"type": "string"}


async def test_a_call_that_breaks_off_keeps_the_part_of_its_arguments_that_came() -> None:
    """S2: nothing is lost because the event that says it again never came."""
    for name in ("responses", "ui messages", "messages", "chat completions"):
        body = DIALECTS[name].body
        at = body.index(json.dumps(ARGUMENTS[1])[1:-1])
        reply = await told([body[: body.index("\n\n", at) + 2]])
        kept = json.dumps(reply.result["structuredContent"]["result"])
        assert json.dumps("".join(ARGUMENTS[:2]))[1:-1] in kept


async def test_a_second_completion_is_another_item() -> None:
    """S2: an agent asks its model several times in one stream."""
    first = [chunk({"content": "one "}), chunk({}, finish_reason="stop")]
    second = [{**each, "id": "chatcmpl-2"} for each in first]
    reply = await told([events([*first, *second])])
    structured = reply.result["structuredContent"]
    assert structured["text"] == "one one "
    assert [each["data"]["id"] for each in structured["result"]] == ["chatcmpl-1", "chatcmpl-2"]


async def test_a_text_after_a_tool_call_is_another_paragraph() -> None:
    """S2: the words before it are no part of its first sentence."""
    text = [{"type": "text-start"}, {"type": "text-delta", "delta": "Let me see."}]
    called = {"type": "tool-input-available", "toolCallId": "1", "input": {}}
    reply = await told([events([*text, called, *text])])
    assert reply.result["structuredContent"]["text"] == "Let me see.\n\nLet me see."


async def test_a_long_text_of_events_fits_into_the_message_that_ends_it() -> None:
    """S2, P1: all of it came as progress."""
    reply = await told([events(["x" * 999 + " "] * 100)], max_event_bytes=20_000)
    text = reply.result["structuredContent"]["text"]
    assert 8_000 < len(text) < 10_000
    assert "".join(reply.progress) == ("x" * 999 + " ") * 100
    assert "only the beginning" in reply.result["structuredContent"]["ended"]


TYPES = st.sampled_from(
    [
        *("content_block_delta", "content_block_start", "input_json_delta", "text_delta"),
        *("response.output_text.delta", "response.function_call_arguments.delta"),
        *("response.created", "response.output_item.done", "response.completed"),
        *("text-delta", "tool-input-delta", "tool-input-available", "reasoning-delta"),
        *("text-start", "message_start", "chat.completion.chunk", "x"),
    ]
)
NAMES = st.sampled_from(
    [
        *("type", "delta", "choices", "index", "content", "tool_calls", "text", "id", "object"),
        *("inputTextDelta", "partial_json", "output_index", "toolCallId", "content_block"),
        *("finish_reason", "arguments", "response"),
    ]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.just(0.5) | TYPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, ODD, max_size=4)
TYPED = st.builds(lambda kind, value: {**value, "type": kind}, TYPES, OBJECTS)
CHUNKS = st.builds(lambda choices: {"choices": choices}, st.lists(OBJECTS, max_size=3))


@given(st.lists(TYPED | CHUNKS | ODD, max_size=8), st.booleans())
def test_no_stream_of_any_form_breaks_it(values: list[Any], are_events: bool) -> None:  # noqa: FBT001 - hypothesis
    """R3: whatever looks like the events of a model, and is none."""
    items = StreamItems(StreamForm(), 5, are_events=are_events)
    for value in values:
        written = json.dumps(value)
        items.add(Event(written, {}) if are_events else written)
    items.unshown()
    assert all(json.loads(line) is not ... for line in items.lines())
    assert isinstance(items.text(), str)
    assert len(items.lines()) <= 5


@pytest.mark.parametrize(
    "value",
    [
        chunk({"content": "word "}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]}),
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "x"},
        {"type": "response.completed", "response": {}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}},
        "word ",
        "word",
        {"id": "NUMBER", "choices": [{"index": "NUMBER", "delta": {}}]},
    ],
)
def test_a_long_stream_takes_time_in_proportion(value: Any) -> None:
    """X5: whatever it consists of; what is kept is not looked at again for each event."""
    spent = []
    for size in (2_000, 20_000):
        items = StreamItems(StreamForm(), 1_000, are_events=True)
        text = json.dumps(value)
        pieces = [Event(text.replace('"NUMBER"', f"{each}"), {}) for each in range(size)]
        calls = [0]

        def count(*_: object, calls: list[int] = calls) -> None:
            calls[0] += 1

        sys.setprofile(count)
        try:
            for piece in pieces:
                items.add(piece)
            items.lines()
        finally:
            sys.setprofile(None)
        spent.append(calls[0])
    assert spent[1] < 12 * spent[0]


def test_an_event_is_as_long_as_all_that_it_says() -> None:
    """F1: the name of one can have megabytes, too, and what is long is written in a thread."""
    assert len(Event("data", {"event": "name", "id": "12", "retry": 100})) == 13


def test_no_item_is_measured_that_cannot_fit() -> None:
    """F1: to write 10 MB of what has to be escaped took 65 ms, in which nothing else runs."""
    items = StreamItems(StreamForm(), 10, are_events=False)
    items.add('{"a":"' + "é" * 10_000_000 + '"}')
    begun = time.thread_time()
    assert items.shorten(500_000) is True
    assert time.thread_time() - begun < 0.05
    assert items.lines() == []
