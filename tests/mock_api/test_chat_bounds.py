"""What a question may take, whatever the articles say. Promises F1 and F2."""

import time

import httpx
from fastapi import FastAPI

from mock_api.about import answer_about_service
from mock_api.models import NewArticle
from mock_api.store import Store

WORDS = (
    "zebra okapi gnu lemur tapir ibex yak emu kiwi lynx puma koala panda sloth otter mole vole"
    " shrew stoat ferret badger hare rabbit mouse rat bat owl hawk kite wren finch robin"
)


async def test_an_article_of_many_paragraphs_does_not_hold_up_others(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    store: Store = app.state.store
    for number in range(3):
        body = ("The zebra.\n\n" + "x\n\n" * 33_000 + WORDS)[:100_000]
        store.create(NewArticle(slug=f"many-{number}", title=WORDS[:190], body=body))
    assert (await client.post("/chat", json={"prompt": "hello"})).status_code == 200
    loop, process = time.thread_time(), time.process_time()
    answer = (await client.post("/chat", json={"prompt": WORDS})).text
    # A twentieth and a tenth of a second, with room; comparing all of it took five.
    assert time.thread_time() - loop < 0.5
    assert time.process_time() - process < 1.5
    # What is compared is the beginning of each.
    assert answer.count("]\nThe zebra.") == 3


async def test_of_a_long_paragraph_the_beginning_is_told(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    store: Store = app.state.store
    store.create(NewArticle(slug="long", title="Zebras", body="zebra okapi " * 8_000))
    answer = (await client.post("/chat", json={"prompt": "zebra okapi"})).text
    assert "okapi zebra…\n\nSources: long" in answer
    assert len(answer) < 2_500


def test_a_very_polite_question_does_not_hold_up_others() -> None:
    question = f"{'ok ' * 650}thanks{' again' * 330} x"
    assert len(question) < 4_000
    started = time.thread_time()
    assert answer_about_service(question) is None
    # It took 1.8 seconds.
    assert time.thread_time() - started < 0.1
    assert answer_about_service("ok ok, thanks again, thanks") is None
    assert answer_about_service("ok ok, thanks a lot again") is not None
