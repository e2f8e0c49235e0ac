"""What a question may take, whatever the articles say. Promises F1 and F2."""

import sqlite3
import time
from contextlib import closing
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastmcp import Client, FastMCP
from fastmcp.tools.base import ToolResult

from mock_api import answers
from mock_api.about import answer_about_service
from mock_api.errors import Unavailable
from mock_api.models import NewArticle
from mock_api.settings import Settings
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


async def test_an_article_that_is_too_large_for_a_tool_is_told_in_a_sentence(
    app: FastAPI, client: httpx.AsyncClient, settings: Settings
) -> None:
    """Such as one of a file from before an article's attachments were bounded."""
    store: Store = app.state.store
    store.create(NewArticle(slug="zebras", title="Zebras", body="zebra okapi"))
    assert settings.kb_database is not None
    with closing(sqlite3.connect(settings.kb_database)) as db, db:
        db.execute(
            "WITH RECURSIVE numbers(n) AS"
            " (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)"
            " INSERT INTO attachments (article_id, filename, media_type, data)"
            " SELECT id, n, 'text/plain', x'' FROM numbers, articles WHERE slug = 'zebras'"
        )
    response = await client.post("/chat", json={"prompt": "zebra okapi"})
    assert response.status_code == 503
    assert response.json()["detail"].startswith("What get_article has answered cannot be read")


HIT: dict[str, Any] = {
    "slug": "a",
    "title": "zebra",
    "summary": None,
    "tags": [],
    "score": 1,
    "snippet": "",
}
PAGE = {"items": [{**HIT, "updated": "2026-01-01T00:00:00Z"}], "total": 1, "limit": 3, "offset": 0}


@pytest.mark.parametrize(
    ("tool", "page", "article"),
    [
        ("search_articles", None, None),
        ("search_articles", {"undocumented": "[]"}, None),
        ("search_articles", {**PAGE, "items": [{"slug": None}]}, None),
        ("get_article", PAGE, None),
        ("get_article", PAGE, {"undocumented": "{}"}),
        ("get_article", PAGE, {"slug": "a", "body": ["zebra"]}),
    ],
)
async def test_what_a_tool_answers_otherwise_than_it_says_cannot_be_read(
    tool: str, page: dict[str, Any] | None, article: dict[str, Any] | None
) -> None:
    server: FastMCP[Any] = FastMCP("odd")

    @server.tool
    def search_articles(q: str, limit: int) -> ToolResult:
        return ToolResult(f"{q} {limit}", structured_content=page)

    @server.tool
    def get_article(slug: str) -> ToolResult:
        return ToolResult(slug, structured_content=article)

    async def say(piece: str) -> None:
        pytest.fail(piece)

    async with Client(server) as client:
        with pytest.raises(Unavailable, match=f"^What {tool} has answered cannot be read"):
            await answers.answer(client, "zebra", say, pace=0)


def test_a_very_polite_question_does_not_hold_up_others() -> None:
    question = f"{'ok ' * 650}thanks{' again' * 330} x"
    assert len(question) < 4_000
    started = time.thread_time()
    assert answer_about_service(question) is None
    # It took 1.8 seconds.
    assert time.thread_time() - started < 0.1
    assert answer_about_service("ok ok, thanks again, thanks") is None
    assert answer_about_service("ok ok, thanks a lot again") is not None
