"""A model, or whoever sits between, that sends what no model should."""

import gzip
import json
import re
import sys
import time
import unicodedata
from collections.abc import Sequence

import anyio
import httpx
import pytest
from fastmcp import Client, FastMCP
from mcp_types import Tool
from starlette.responses import JSONResponse, RedirectResponse, Response

from mock_api import agent
from mock_api.app import create_app
from mock_api.model import _certificates
from mock_api.settings import Settings
from mock_api.tools import MOST_OFFERED, offered
from tests.foreign import Heartbeat
from tests.mock_api.conftest import http_client
from tests.mock_api.openai import (
    DONE,
    KEY,
    Chunk,
    FakeModel,
    Item,
    calls,
    chunk,
    fake_model,
    in_turn,
    words,
)

pytestmark = pytest.mark.faults

UNREADABLE = "check whether OPENAI_BASE_URL is that of an API like OpenAI's"
TOO_MUCH = "sent too much for an answer"
TIME: tuple[str, object] = ("get_server_time", {})


async def ask(model: FakeModel, settings: Settings, accept: str = "text/plain") -> httpx.Response:
    async with http_client(create_app(model.settings(settings))) as client:
        with anyio.fail_after(20):
            question = {"prompt": "What is a baseline?"}
            return await client.post("/chat", json=question, headers={"accept": accept})


def piece(call_id: str | None, name: str = "get_server_time") -> Chunk:
    return {"id": call_id, "function": {"name": name, "arguments": "{}"}}


@pytest.mark.parametrize("depth", [260, 700])
async def test_arguments_that_are_nested_too_deeply_are_an_error_for_the_model(
    settings: Settings, depth: int
) -> None:
    """Agent: it is told, goes on, and the other calls are made."""
    nested = f'{{"slug": {"[" * depth}{"]" * depth}}}'
    async with fake_model(in_turn(calls(("get_article", nested), TIME), words("Ok."))) as model:
        assert (await ask(model, settings)).text == "Ok."
    failed, told = model.outputs
    assert failed == "Error: The tool 'get_article' could not be called."
    assert told.startswith("[MCP Server Time]")


async def test_an_event_that_is_nested_too_deeply_is_an_error_as_any_other(
    settings: Settings,
) -> None:
    """Agent, R3: and no failure of ours."""
    async with fake_model(in_turn(["data: " + "[" * 1_500 + "\n\n", DONE])) as model:
        response = await ask(model, settings)
    assert response.status_code == 502
    assert TOO_MUCH in response.json()["detail"]


@pytest.mark.parametrize("count", [-1_000_000, 1, None, "nine", 9.5, [], {"a": 1}], ids=str)
async def test_a_server_that_counts_wrongly_gives_nobody_more_tokens(
    settings: Settings, count: object
) -> None:
    """Agent: what was written has cost something, and the count is not worth an answer."""
    usage = chunk(None, usage={"completion_tokens": count})
    long = [chunk({"content": "word " * 320}), *calls(TIME)[:-2], usage, DONE]
    async with fake_model(in_turn(long, [*words("Ok.")[:-1], usage, DONE])) as model:
        response = await ask(model, settings)
    assert response.text.endswith("\n\nOk.")
    first, second = (each["max_completion_tokens"] for each in model.requests)
    assert second <= first - 100


@pytest.mark.parametrize("usage", [7, "much", [1]], ids=str)
async def test_a_usage_that_is_none_does_not_spoil_an_answer(
    settings: Settings, usage: object
) -> None:
    """Agent: servers write there what they like."""
    async with fake_model(in_turn([*words("Ok.")[:-1], chunk(None, usage=usage), DONE])) as model:
        assert (await ask(model, settings)).text == "Ok."


async def test_thousands_of_calls_in_one_turn_are_no_plan(settings: Settings) -> None:
    """Agent: none of them is made, and the error is not about tokens."""
    many = [
        chunk({"tool_calls": [piece(f"c{number}-{each}") for each in range(50)]})
        for number in range(200)
    ]
    async with fake_model(in_turn([*many, chunk({}, "tool_calls"), DONE])) as model:
        response = await ask(model, settings)
    assert response.status_code == 502
    assert response.json()["detail"].startswith("The model has asked for more than 64 calls")
    assert len(model.requests) == 1


def test_the_models_server_makes_up_no_group_for_the_keys() -> None:
    """Agent: one of 10,000 bits held the event loop for 0.9 s, with each question."""
    ciphers = [*_certificates().get_ciphers()]
    assert ciphers
    assert [each["name"] for each in ciphers if each["kea"] == "kx-dhe"] == []


async def test_no_cookie_of_the_models_server_is_kept(settings: Settings) -> None:
    """Agent: reading hundreds of them takes longer than all of the answer."""
    asked = (chunk({"tool_calls": [piece("call_1")]}), chunk({}, "tool_calls"))
    said = "".join(f"data: {json.dumps(each)}\n\n" for each in asked) + DONE
    turn = Response(said, headers={"set-cookie": "id=1"}, media_type="text/event-stream")
    async with fake_model(in_turn(turn, words("Ok."))) as model:
        assert (await ask(model, settings)).text == "Ok."
    assert model.cookies == [None, None]


@pytest.mark.parametrize("call_id", ["\ud800", "x" * 257, "a\0b", "a b", "ü"], ids=ascii)
async def test_an_id_that_no_server_takes_back_is_replaced(
    settings: Settings, call_id: str
) -> None:
    """Agent: the call is made, and answered under an id of ours."""
    asked: list[Item] = [chunk({"tool_calls": [piece(call_id)]}), chunk({}, "tool_calls"), DONE]
    async with fake_model(in_turn(asked, words("Ok."))) as model:
        assert (await ask(model, settings)).text == "Ok."
    call, answered = model.requests[-1]["messages"][2:]
    assert call["tool_calls"][0]["id"] == answered["tool_call_id"] == "call_0"
    assert answered["content"].startswith("[MCP Server Time]")


MEGABYTES = 3 * ["x" * 1_000_000]
FLOODS: dict[str, Sequence[Item] | Response] = {
    "a line without end": ["data: ", *MEGABYTES],
    "an event without end": ["data: x\n" * 1_000] * 400,
    "nothing but comments": [": keep-alive\n\n" * 1_000] * 300,
    "nothing but empty deltas": ['data: {"choices":[{"delta":{}}]}\n\n' * 100] * 400,
    "one huge word": [chunk({"content": "".join(MEGABYTES)})],
    "one huge argument": [*calls(("get_article", "x"))[:2], "data: ", *MEGABYTES],
    "a huge refusal": Response("x" * 3_000_000, 400),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_what_the_models_server_sends_is_bounded(settings: Settings, kind: str) -> None:
    """Agent: whatever it is; not only the words of an answer."""
    bound = Settings(**{**settings.model_dump(), "chat_max_tokens": 1})
    async with fake_model(lambda _: FLOODS[kind]) as model:
        response = await ask(model, bound)
    assert response.status_code == 502
    assert TOO_MUCH in response.json()["detail"]


WIDE: dict[str, str | Response] = {
    "values": 'data: {"choices":[],"x":[' + "[]," * 130_000 + "[]]}\n\n",
    "choices": 'data: {"choices":[' + '{"delta":{}},' * 20_000 + '{"delta":{}}]}\n\n',
    "calls": 'data: {"choices":[{"delta":{"tool_calls":[' + "{}," * 50_000 + "{}]}}]}\n\n",
    "a name as a quotation mark": 'event: "\ndata: {"x":[' + "[]," * 130_000 + "[]]}\n\n",
    "lines": "data: 0\n" * 60_000 + "\n",
    "a refusal": Response("[" + "[]," * 500_000 + "[]]", 400),
    "a refusal in pieces": Response("[" + ("[]," * 300 + "\n\n") * 1_500 + "[]]", 400),
}


@pytest.mark.parametrize("kind", WIDE)
async def test_no_event_of_the_models_server_holds_up_others(settings: Settings, kind: str) -> None:
    """F1: OpenAI's client makes an object of each part of an event in one step."""
    wide = WIDE[kind]
    heart = Heartbeat()

    async def answer() -> None:
        response = await ask(model, settings)
        assert response.status_code == 502
        assert TOO_MUCH in response.json()["detail"]

    async with (
        fake_model(lambda _: wide if isinstance(wide, Response) else [wide]) as model,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(heart.beat)
        held = await heart.during(answer)
        tasks.cancel_scope.cancel()
    assert held < 0.1


@pytest.mark.parametrize("end", ["\n\n", "\r\r", "\r\n\r\n", "\n\r\n", "\r\n\n"], ids=ascii)
async def test_events_arrive_however_their_lines_end_and_wherever_they_are_cut(
    settings: Settings, end: str
) -> None:
    """Agent: and a call may come whole, with all that it writes."""
    content = 'a, [b] {c}: "d" \\' * 500
    function = {"name": "get_article", "arguments": json.dumps({"slug": content})}
    whole = chunk({"tool_calls": [{"id": "c1", "function": function}]})

    def cut(items: Sequence[Item]) -> list[Item]:
        text = "".join(
            each if isinstance(each, str) else f"data: {json.dumps(each)}\n\n"
            for each in items
            if isinstance(each, str | dict)
        ).replace("\n\n", end)
        return [text[:1], *(text[at : at + 997] for at in range(1, len(text), 997))]

    script = in_turn(cut([whole, chunk({}, "tool_calls"), DONE]), cut(words("O", "k.")))
    async with fake_model(script) as model:
        assert (await ask(model, settings)).text == "Ok."
    (call,) = model.requests[-1]["messages"][2]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"slug": content}


async def test_words_beyond_the_limit_are_not_even_told(settings: Settings) -> None:
    """Agent: also where they come at once."""
    bound = Settings(**{**settings.model_dump(), "chat_max_tokens": 5})
    async with fake_model(in_turn(words("x" * 10_000))) as model:
        response = await ask(model, bound)
    assert response.text.count("x") <= 100
    assert "has reached its limit of 5 tokens" in response.text


async def test_a_compressed_answer_is_not_unpacked(settings: Settings) -> None:
    """Agent: a small one can be a huge one, and none was asked for."""
    packed = gzip.compress(b"data: " + b"x" * 50_000_000)
    headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
    async with fake_model(lambda _: Response(packed, headers=headers)) as model:
        response = await ask(model, settings)
    assert response.status_code == 502
    assert UNREADABLE in response.json()["detail"]


async def test_a_question_goes_to_no_other_server(settings: Settings) -> None:
    """Agent: whoever runs the service has named one."""
    elsewhere = RedirectResponse("/v1/chat/completions?again", 307)
    async with fake_model(lambda _: elsewhere) as model:
        response = await ask(model, settings)
    assert response.status_code == 503
    assert "check OPENAI_BASE_URL" in response.json()["detail"]
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "40"},
        {"retry-after-ms": "40000"},
        {"retry-after": "Wed, 01 Jan 2200 00:00:00 GMT"},
    ],
    ids=str,
)
async def test_who_asks_does_not_wait_for_as_long_as_the_models_server_likes(
    settings: Settings, headers: dict[str, str]
) -> None:
    """Agent: an error at once is worth more than one in a minute."""
    async with fake_model(lambda _: JSONResponse({}, 429, headers=headers)) as model:
        response = await ask(model, settings)
    assert response.status_code == 503
    assert "asked too often" in response.json()["detail"]
    assert len(model.requests) == 1


AFTER_THE_END: dict[str, list[Item]] = {
    "nothing, for ever": [anyio.Event()],
    "no JSON": ["data: {nope\n\n"],
    "an error": [{"error": {"message": "Oh"}}],
    "the connection is lost": [RuntimeError("cut")],
}


@pytest.mark.parametrize("kind", AFTER_THE_END)
async def test_what_follows_the_end_of_a_turn_is_nothing(
    settings: Settings, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agent: the model has said that this is all; some servers forget to say it too."""
    monkeypatch.setattr("mock_api.model.AFTERWARDS", 0.05)
    asked = [*calls(TIME)[:-2], *AFTER_THE_END[kind]]
    answer = [*words("Ok.")[:-1], *AFTER_THE_END[kind]]
    async with fake_model(in_turn(asked, answer)) as model:
        assert (await ask(model, settings)).text == "Ok."


async def test_a_character_that_comes_in_two_halves_is_put_together(settings: Settings) -> None:
    """Agent: and half of one alone is not sent on."""
    pieces = words("\ud83d", "\ude00 ", "\ude00", "\ud83dx", "\ud83d")
    async with fake_model(in_turn(pieces)) as model:
        assert (await ask(model, settings)).text == "😀 \ufffd\ufffdx"


async def test_why_a_request_was_refused_is_in_the_log_only(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Agent: whoever runs the service must see that a model has no tools; the key nobody sees."""
    said = {"error": {"message": f"qwen0 does not support tools\n{KEY}"}}
    async with fake_model(lambda _: JSONResponse(said, 400)) as model:
        response = await ask(model, settings)
    assert "finds the reason in its log" in response.json()["detail"]
    assert "qwen0" not in response.text
    warned = [each for each in caplog.records if each.name == "mock_api.model"]
    assert "qwen0 does not support tools" in warned[0].getMessage()
    assert "\n" not in warned[0].getMessage()
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "a\n\nevent: error\ndata: b\n\n",
        "a\rb\r\nc\r\revent: error\r\rdata: d",
        "a\u2028event: error\u2029\x85\x0b\x0c\x1c: b",
        ": comment\nid: 7\nretry: 1",
        "\0\ufeff",
    ],
    ids=ascii,
)
async def test_no_words_of_a_model_break_out_of_their_event(settings: Settings, text: str) -> None:
    """Agent: read as the specification of Server-Sent Events says, they are data."""
    async with fake_model(in_turn(words("So: ", text, "."))) as model:
        response = await ask(model, settings, "text/event-stream")
    fields: list[tuple[str, str]] = []
    events: list[str] = []
    for line in re.split("\r\n|\r|\n", response.content.decode()):
        name, _, value = line.partition(":")
        if line:
            fields.append((name, value.removeprefix(" ")))
        elif fields:
            assert {name for name, _ in fields} == {"data"}
            events.append("\n".join(value for _, value in fields))
            fields.clear()
    # Nor are control characters and the like words.
    said = "".join(
        c for c in text if c == "\n" or unicodedata.category(c)[0] not in "CZ" or c == " "
    )
    assert "".join(events) == f"So: {said}."


async def test_no_words_of_a_model_are_unseen_or_turned(settings: Settings) -> None:
    """Agent: but for what makes the letters of some languages, and emoji."""
    every = map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)])
    hidden = [c for c in every if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"}]
    letters = "می\u200cشود 👩\u200d💻 ❤️ \u0600٣ \u06dd \u070f e\u0301\n\t"
    # Signs of these scripts can be seen, and the end of a verse is one of them.
    seen = re.compile("ARABIC [^L]|SYRIAC|KAITHI|EGYPTIAN|ZERO WIDTH (NON-)?JOINER")
    text = "".join(c for c in hidden if c not in "\n\t" and not seen.match(unicodedata.name(c, "")))
    assert len(text) > 200
    assert {"\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041"} < {*text}
    async with fake_model(in_turn(words(text, letters, text))) as model:
        assert (await ask(model, settings)).text == letters


async def test_a_refusal_is_a_line_that_a_terminal_does_not_obey(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Agent: it ends a text that has begun, and stands in the log."""
    refusal = chunk({"refusal": "No.\x1b[2J\n2026-11-22 ERROR \u202eforged\x9b31m"})
    async with fake_model(in_turn([chunk({"content": "Well"}), refusal, *words()])) as model:
        told = (await ask(model, settings)).text
    reason = "The model refuses to answer: No.[2J 2026-11-22 ERROR forged31m"
    assert told == f"Well\n\n[The answer ends here: {reason}]\n"
    assert f"No answer of the model: {reason}" in caplog.messages


async def test_a_model_is_offered_no_more_tools_than_it_takes() -> None:
    """Agent: another server can list a thousand, which every round would send anew."""
    server = FastMCP[None]("many")
    for number in range(200):
        hints = {"readOnlyHint": number % 2 == 0}
        server.tool(name=f"tool_{number}", annotations=hints)(lambda: None)
    async with Client(server) as client:
        found = await offered(client, writing=False)
        assert [*found] == [f"tool_{number}" for number in range(0, 200, 2)]
        assert len(await offered(client, writing=True)) == MOST_OFFERED


async def test_arguments_may_be_a_number_of_any_size(settings: Settings) -> None:
    """Agent: JSON has no largest one."""
    numbers = [f'{{"q": "a", "limit": {each}}}' for each in ("9" * 4_000, "-1", "1e308", "1e999")]
    asked: list[tuple[str, object]] = [("search_articles", each) for each in numbers]
    async with fake_model(in_turn(calls(*asked), words("Ok."))) as model:
        assert (await ask(model, settings)).text == "Ok."
    assert all(each.startswith("Error: ") for each in model.outputs)
    assert all(json.dumps(each) for each in model.outputs)


@pytest.mark.parametrize(
    "arguments",
    [dict.fromkeys(map(str, range(12_000)), 1), {"body": "\u200b" * 128_000}],
    ids=["names", "unseen"],
)
def test_telling_of_a_change_costs_no_more_than_what_is_told(arguments: dict[str, object]) -> None:
    """Agent: what is cut off is not looked at, on the event loop: it took 55 ms."""
    tool = Tool(name="create_article", input_schema={})
    started = time.thread_time()
    told = agent._told(tool, arguments)  # noqa: SLF001 - through a chat it is lost in the rest
    assert time.thread_time() - started < 0.015
    assert len(told) <= agent.LONGEST_TOLD + 2
