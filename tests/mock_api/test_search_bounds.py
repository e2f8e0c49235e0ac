"""What a search may take, whatever the articles say. Promise F2."""

import sqlite3
import threading
import time
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx
import pytest
from fastapi import FastAPI

from mock_api import search
from mock_api.errors import SearchTooLong
from mock_api.models import NewArticle, SearchPage
from mock_api.store import Store

SOON = 1.0
"""Seconds of the processor; each of these takes less than a fifth of it."""

WORDS = (
    "zebra okapi gnu lemur tapir ibex yak emu kiwi lynx puma koala panda sloth otter mole vole"
    " shrew stoat ferret badger hare rabbit mouse rat bat owl hawk kite wren finch robin"
)


def article(body: str) -> NewArticle:
    return NewArticle(slug="long", title="A long one", body=body[:100_000])


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (WORDS, f"{WORDS}\n\n" * 600),
        ("zebra okapi", "zebra okapi " * 9_000),
        ('x "x x" "x x x"', "x " * 50_000),
        ("zebra okapi", "zebra " * 16_000 + "okapi"),
    ],
)
def test_an_article_that_repeats_the_query_is_found_as_soon(
    tmp_path: Path, query: str, body: str
) -> None:
    store = Store(tmp_path / "kb.sqlite3")
    store.create(article(body))
    started = time.thread_time()
    page = store.search(query)
    assert time.thread_time() - started < SOON
    assert page.items[0].slug == "long"
    assert 0 < len(page.items[0].snippet) < 2_000
    store.close()


def test_a_snippet_is_the_passage_with_most_of_the_words(tmp_path: Path) -> None:
    store = Store(tmp_path / "kb.sqlite3")
    filler = "Nothing of note stands here, nor there. " * 20
    body = f"{filler}A zebra ran.\n\n{filler}The okapis met a zebra. {filler}"
    store.create(article(body))
    snippet = store.search("zebra okapi").items[0].snippet
    assert snippet.startswith("…The **okapis** met a **zebra**. Nothing")
    assert snippet.endswith("…")
    # Without a word in the text, its beginning.
    assert store.search("long").items[0].snippet.startswith("Nothing of note")
    store.close()


async def test_a_search_that_takes_too_long_is_ended(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Store = app.state.store
    store.count()
    with monkeypatch.context() as patched:
        patched.setattr(search, "SECONDS", -1.0)
        patched.setattr(search, "STEPS", 1)
        response = await client.get("/articles", params={"q": "structure"})
        with pytest.raises(SearchTooLong):
            store.search("structure")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert "fewer words" in response.json()["detail"]
    # What comes after it on the same connection is not.
    assert (await client.get("/articles", params={"q": "structure"})).json()["total"]
    assert (await client.get("/health")).json()["status"] == "ok"


def test_the_passages_of_a_page_are_not_searched_for_beyond_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is soon found, and a hundred of them took forty seconds."""
    store = Store(tmp_path / "kb.sqlite3")
    for number in range(12):
        body = "x " * 50_000
        store.create(NewArticle(slug=f"x-{number}", title="A long one", body=body))
    assert store.search("x", limit=1).total == 12
    # All together take 2 seconds, and the ranking before them some milliseconds.
    monkeypatch.setattr(search, "SECONDS", 0.2)
    with pytest.raises(SearchTooLong):
        store.search("x", limit=12)
    store.close()


def test_other_errors_of_the_database_pass(tmp_path: Path) -> None:
    with (
        sqlite3.connect(tmp_path / "empty.sqlite3") as db,
        pytest.raises(sqlite3.OperationalError, match="no such table"),
    ):
        search.search(db, "structure", (), 1, 0)


async def test_who_searches_much_keeps_nobody_from_reading(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search took a thread, and so many all of those that the other operations need."""
    release, running = threading.Event(), [0]

    def search(*_: object, **__: object) -> SearchPage:
        running[0] += 1
        release.wait(20)
        return SearchPage(items=(), total=0, offset=0, limit=10)

    monkeypatch.setattr(app.state.store, "search", search)
    monkeypatch.setattr("mock_api.searching.SECONDS", 0.3)
    found: list[int] = []

    async def look() -> None:
        found.append((await client.get("/articles", params={"q": "zebra"})).status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(look)
        with anyio.fail_after(5):
            while len(found) < 96:
                await anyio.lowlevel.checkpoint()
            assert (await client.get("/articles/preferences")).status_code == 200
        release.set()
    # Those of one caller, and what waited for its turn in vain.
    assert (running[0], found.count(200), found.count(503)) == (4, 4, 96)
