"""Questions and answers, in three representations."""

import json
import re
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from mock_api.about import answer_about_service, asks_for_time
from mock_api.answers import search_query, visible
from mock_api.app import create_app
from mock_api.negotiation import negotiate
from mock_api.search import terms
from mock_api.settings import Settings
from mock_api.store import Store
from tests.mock_api.streaming import streamed

QUESTION = {"prompt": "Why can I not edit a released part?"}
OFFERS = ("text/plain", "text/event-stream", "application/json")


async def test_the_answer_has_passages_and_their_slugs(client: httpx.AsyncClient) -> None:
    response = await client.post("/chat", json=QUESTION)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert "Released revisions are frozen." in response.text
    assert "[cannot-edit-a-part]" in response.text
    sources = response.text.rpartition("Sources: ")[2].split(", ")
    for slug in sources:
        assert (await client.get(f"/articles/{slug}")).status_code == 200


async def test_every_representation_says_the_same(client: httpx.AsyncClient) -> None:
    async def ask(accept: str) -> httpx.Response:
        response = await client.post("/chat", json=QUESTION, headers={"Accept": accept})
        assert response.headers["content-type"].partition(";")[0] == accept
        return response

    text = (await ask("text/plain")).text
    assert (await ask("application/json")).json() == {"answer": text}
    events = (await ask("text/event-stream")).text.split("\n\n")
    words = ["\n".join(line[6:] for line in event.split("\n")) for event in events]
    assert "".join(words) == text


@pytest.mark.parametrize("accept", ["text/plain", "text/event-stream"])
async def test_words_are_sent_one_by_one_and_stop_when_the_client_goes(
    settings: Settings, accept: str
) -> None:
    # The second word is an hour away: the first one is not waiting for it.
    slow = create_app(settings.model_copy(update={"chat_pace": 3_600}))
    async with streamed(slow, "POST", "/chat", QUESTION, headers={"Accept": accept}) as response:
        chunk = await response.chunk()
        assert chunk is not None
        assert chunk.decode().strip().removeprefix("data: ") == "You"
    # The driver has waited for the request to end.


async def test_at_no_pace_words_are_still_chunks_of_their_own(app: FastAPI) -> None:
    async with streamed(app, "POST", "/chat", {"prompt": "zymurgy"}) as response:
        chunks = [await response.chunk() for _ in range(4)]
    assert chunks == [b"You ", b"asked: ", b"zymurgy\n\n", b"The "]


async def test_where_there_is_nothing_the_question_is_repeated(client: httpx.AsyncClient) -> None:
    for prompt in ("zymurgy", "Tell me a joke", "¿Qué?", "???", "the capital of France"):
        text = (await client.post("/chat", json={"prompt": prompt})).text
        assert text.startswith(f"You asked: {prompt}\n\nThe knowledge base has nothing on this.")


async def test_message_is_another_name_for_prompt(client: httpx.AsyncClient) -> None:
    for body in (
        {"message": "hello"},
        {"prompt": " ", "message": "hello"},
        {"prompt": "hello", "message": "other"},
        {"prompt": "hello", "message": None},
        {"prompt": None, "message": "hello"},
    ):
        assert "You asked: hello\n" in (await client.post("/chat", json=body)).text


@pytest.mark.parametrize(
    "body",
    [
        *(
            {},
            {"prompt": ""},
            {"prompt": " ", "message": "\n"},
            {"prompt": None},
            {"message": None},
        ),
        *({"prompt": 1}, {"prompt": "x" * 4_001}, {"message": "x" * 4_001}),
    ],
)
async def test_a_question_that_says_nothing_is_422(
    client: httpx.AsyncClient, body: dict[str, object]
) -> None:
    response = await client.post("/chat", json=body)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["body", "prompt"]


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain"])
async def test_who_forgets_to_say_that_it_is_json_is_told(
    client: httpx.AsyncClient, kind: str | None
) -> None:
    """What `curl -d` does without a header."""
    headers = {"Content-Type": kind} if kind else {}
    response = await client.post("/chat", content=b'{"prompt": "hello"}', headers=headers)
    assert response.status_code == 422
    assert "'Content-Type: application/json'" in response.json()["detail"][0]["msg"]


async def test_text_that_is_no_unicode_is_422(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    lone = await client.post("/chat", content=json.dumps({"prompt": "\ud800"}), headers=headers)
    assert lone.status_code == 422


async def test_a_question_about_the_time_is_answered_with_the_time(
    client: httpx.AsyncClient,
) -> None:
    for response in (
        await client.post("/chat", json={"prompt": "What time is it?"}),
        await client.get("/server-time"),
    ):
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        label, _, time = response.text.rpartition(" ")
        assert label == "[MCP Server Time]"
        assert datetime.fromisoformat(time).tzinfo == UTC
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "question",
    [
        *(
            "What time is it?",
            "what's the time",
            "What\u2019s the current time?",
            "time",
            "Server time?",
        ),
        *("Tell me the time, please.", "Do you know the time?", "what is the MCP server time"),
        *("What is the server's time right now?", "Hi! What time is it on your side?"),
        *("what day is it", "What is the current date and time?", "call get_server_time"),
        *(
            "today's date",
            "What\u2019s today's date?",
            "What is the date today?",
            "What day is today?",
        ),
        *("what is today?", "Which date is it?", "date"),
        *("Give me the date.", "What is the time on the server?", "WHAT TIME IS IT NOW"),
    ],
)
def test_these_ask_for_the_time(question: str) -> None:
    assert asks_for_time(question)


@pytest.mark.parametrize(
    "question",
    [
        *("Tell me a joke", "How long time does an upgrade take?", "how much time is needed"),
        *("What is the time limit of a ticket?", "Which task comes first in time?"),
        *("What happens to a workflow the first time?", "Show me the release date of 4711"),
        *("Set the hard time-out", "What is a date effectivity?", "Why is it slow at this time?"),
        *("What are real-time checks", "downtime", "what is the time-out of the server manager"),
    ],
)
def test_these_do_not_ask_for_the_time(question: str) -> None:
    assert not asks_for_time(question)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("help", "Ask in plain words"),
        ("Help!", "Ask in plain words"),
        ("Can you help me, please?", "Ask in plain words"),
        ("What can you do?", "Ask in plain words"),
        ("Hi, what can I ask you?", "Ask in plain words"),
        ("How can you help me?", "Ask in plain words"),
        ("Who are you?", "I am the answerer"),
        ("what's your name", "I am the answerer"),
        ("Are you an AI?", "I am the answerer"),
        ("thanks", "You are welcome"),
        ("Thank you very much!", "You are welcome"),
        ("OK, thanks for your help.", "You are welcome"),
        ("hello", "Hello!"),
    ],
)
async def test_questions_about_the_service_get_an_answer_about_it(
    client: httpx.AsyncClient, question: str, answer: str
) -> None:
    text = (await client.post("/chat", json={"prompt": question})).text
    asked, _, said = text.partition("\n\n")
    assert asked == f"You asked: {question}"
    assert said.startswith(answer) or answer in said
    assert "Sources:" not in text


@pytest.mark.parametrize(
    "question",
    [
        *("help with a stuck workflow", "Who are you allowed to share data with?"),
        *("What can you do about slow searches?", "thanks, but why is it slow?"),
        *("What do you know about baselines?", "What is a revision?", "hi-res previews"),
    ],
)
def test_these_are_not_about_the_service(question: str) -> None:
    assert answer_about_service(question) is None


async def test_a_source_is_one_that_the_answer_quotes_and_that_fits(
    client: httpx.AsyncClient,
) -> None:
    for prompt, source in [
        ("How do I configure SSO?", "single-sign-on"),
        ("My workflow hangs", "stuck-workflows"),
        ("How do I baseline a structure?", "baseline-a-structure"),
    ]:
        text = (await client.post("/chat", json={"prompt": prompt})).text
        sources = text.rpartition("Sources: ")[2].split(", ")
        assert sources[0] == source
        assert sources == re.findall(r"^.+ \[([a-z0-9-]+)\]$", text, re.MULTILINE)
    # Nothing else is about it as much.
    assert (await client.post("/chat", json={"prompt": "fast track"})).text.endswith(
        "Sources: fast-track-changes"
    )


async def test_a_terminal_obeys_nothing_that_an_article_says(client: httpx.AsyncClient) -> None:
    body = "A zorgblat\x1b[2J has\u202e a\x9b31m flumox.\r\nSo it is.\x00"
    article = {"slug": "zorgblat", "title": "Zorgblat\x1b]0;mine\x07", "body": body}
    assert (await client.post("/articles", json=article)).status_code == 201
    text = (await client.post("/chat", json={"prompt": "zorgblat flumox"})).text
    assert "Zorgblat]0;mine [zorgblat]\nA zorgblat[2J has a31m flumox.\nSo it is.\n" in text
    assert text.replace("\n", "").isprintable()


async def test_a_client_that_accepts_nothing_on_offer_is_told_what_there_is(
    client: httpx.AsyncClient,
) -> None:
    response = await client.post("/chat", json=QUESTION, headers={"Accept": "image/png"})
    assert response.status_code == 406
    assert response.json() == {
        "detail": "An answer can be had as text/plain, text/event-stream, application/json."
    }


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "text/plain"),
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("text/*", "text/plain"),
        ("text/*;q=0.5, application/json;q=0.4", "text/plain"),
        ("application/json, text/plain;q=0.9", "application/json"),
        ("text/event-stream, */*", "text/event-stream"),
        ("text/plain;q=0, */*", "text/event-stream"),
        ("*/*;q=0.1, application/json", "application/json"),
        ("application/json;q=0.5, text/plain;q=0.5", "text/plain"),
        ("text/plain;q=nan", None),
        ("text/plain;q=2", None),
        ("*/*;q=0", None),
        ("image/png", None),
        ("text", None),
        (",;,", "text/plain"),
    ],
)
def test_the_representation_is_the_one_that_weighs_most(
    accept: str | None, chosen: str | None
) -> None:
    assert negotiate(accept, OFFERS) == chosen


@given(st.text('textplain/*,;=q0.1 "evr-sm', max_size=40))
def test_any_accept_header_is_understood(accept: str) -> None:
    assert negotiate(accept, OFFERS) in {None, *OFFERS}


@given(st.text(st.characters(codec="latin-1"), max_size=80))
def test_any_question_is_searched_for_with_its_words(store: Store, question: str) -> None:
    query = search_query(question)
    assert terms(query) == terms(question)
    store.search(query)


@given(st.text(max_size=4_000))
def test_no_question_is_too_long_to_search_for(question: str) -> None:
    assert len(search_query(question)) <= 500


@pytest.mark.parametrize("question", ['"', "NOT", "a" * 501, "x OR (", "\0", '"revision rule" how'])
async def test_any_question_has_an_answer(client: httpx.AsyncClient, question: str) -> None:
    response = await client.post("/chat", json={"prompt": question})
    assert response.status_code == 200
    assert response.text.startswith(f"You asked: {visible(question[:300])}")


async def test_a_very_long_question_is_repeated_in_part(client: httpx.AsyncClient) -> None:
    text = (await client.post("/chat", json={"prompt": "zymurgy " * 400})).text
    assert re.match(r"You asked: (zymurgy )+zymu…\n\n", text)
    assert len(text) < 600
