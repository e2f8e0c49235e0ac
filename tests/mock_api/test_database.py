"""How the database comes into being, and what it stands."""

import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

from mock_api import database
from mock_api.building import state_file
from mock_api.errors import AlreadyExists, NotFound, StorageError, TooManyAttachments
from mock_api.models import MOST_ATTACHMENTS, ArticlePatch, NewArticle
from mock_api.settings import Settings
from mock_api.store import Store
from tests.mock_api.conftest import http_client
from tests.mock_api.processes import count_articles

DRAFT = NewArticle(slug="new", title="T", body="b")


async def test_first_requests_at_once_find_one_whole_database(app: FastAPI) -> None:
    totals: set[int] = set()

    async def first(client: httpx.AsyncClient) -> None:
        totals.add((await client.get("/health")).json()["articles"])

    async with http_client(app) as client, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(first, client)
    (total,) = totals
    assert total >= 40


def eight_at_once(act: Callable[[int], bool]) -> list[bool]:
    """Return what eight threads return that begin together, each with its number."""
    barrier = threading.Barrier(8)

    def wait_and_act(number: int) -> bool:
        barrier.wait(10)
        return act(number)

    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(wait_and_act, range(8)))


def test_processes_that_start_at_once_build_one_database(tmp_path: Path) -> None:
    file = tmp_path / "kb.sqlite3"
    with get_context("spawn").Pool(3) as processes:
        counts = processes.map(count_articles, [file] * 6)
    assert len(set(counts)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kb.sqlite3"]


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "kb.sqlite3")

    def write(number: int) -> bool:
        store.update("preferences", ArticlePatch(title=f"Title {number}"))
        try:
            store.create(DRAFT)
        except AlreadyExists:
            return False
        return True

    assert eight_at_once(write).count(True) == 1
    assert store.last_change() == 9
    store.close()


def test_writers_at_once_attach_no_more_than_an_article_may_have(tmp_path: Path) -> None:
    store = Store(tmp_path / "kb.sqlite3")
    for number in range(MOST_ATTACHMENTS - 1):
        store.attach("preferences", f"{number}", b"", None)
    before = store.last_change()

    def attach(number: int) -> bool:
        try:
            store.attach("preferences", f"last-{number}", b"", None)
        except TooManyAttachments:
            return False
        return True

    assert eight_at_once(attach).count(True) == 1
    assert store.last_change() == before + 1
    store.close()


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "kb.sqlite3")
    with pytest.raises(NotFound):
        store.attach("nowhere", "a.png", b"", None)
    store.create(DRAFT)
    with pytest.raises(AlreadyExists):
        store.create(DRAFT)
    assert store.last_change() == 1
    store.close()


def test_a_closed_store_opens_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "kb.sqlite3")
    before = store.count()
    store.close()
    assert store.count() == before
    store.close()


def test_a_file_of_another_release_is_refused_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA user_version = 7")
    with pytest.raises(StorageError, match="not one of this release") as refused:
        Store(file).open()
    assert "name another file in KB_DATABASE" in refused.value.advice
    assert str(file) in refused.value.advice


async def test_the_app_can_be_started_twice(app: FastAPI) -> None:
    for _ in range(2):
        async with app.router.lifespan_context(app), http_client(app) as client:
            assert (await client.get("/health")).status_code == 200


def test_making_an_app_touches_no_database(app: FastAPI, settings: Settings) -> None:
    assert settings.kb_database is not None
    assert not settings.kb_database.exists()


def test_the_default_file_is_in_the_state_directory_and_named_after_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME", str(tmp_path)
    )
    store = Store()
    file = store.open()
    store.close()
    assert file.parent == tmp_path / "teamcenter-kb"
    assert file.name.startswith("kb-")
    assert file == Store().open()


def test_without_a_state_directory_the_file_is_temporary_and_a_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_STATE_HOME", str(in_the_way))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = state_file("kb.sqlite3")
    assert file.parent.parent == tmp_path
    assert "KB_DATABASE" in caplog.text


@contextmanager
def always_read(store: Store) -> Iterator[None]:
    """Have somebody read at each moment: who leaves does so when another one has begun."""
    is_over = threading.Event()

    def read(begun: threading.Event, leave: threading.Event) -> None:
        with store._database.reading() as db:  # noqa: SLF001 - a search ends by itself
            db.execute("SELECT count(*) FROM articles").fetchone()
            begun.set()
            leave.wait(10)

    def hand_over() -> None:
        with ThreadPoolExecutor(2) as threads:
            leave = threading.Event()
            while not is_over.is_set():
                begun, following = threading.Event(), threading.Event()
                threads.submit(read, begun, following)
                begun.wait(10)
                leave.set()
                leave = following
            leave.set()

    thread = threading.Thread(target=hand_over)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_what_was_written_does_not_grow_where_there_is_always_a_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One article, written again and again, filled the disk, and what it took stayed taken."""
    most = 6_000_000
    monkeypatch.setattr(database, "LARGE_JOURNAL", most)
    file = tmp_path / "kb.sqlite3"
    store = Store(file)
    sizes = []
    with always_read(store):
        for _ in range(200):
            store.update("preferences", ArticlePatch(body=os.urandom(37_000).hex()))
            sizes.append(Path(f"{file}-wal").stat().st_size)
    store.close()
    # Without a pause in time it grows to twice that, and without any to 34 MB.
    assert max(sizes) < 2.5 * most


def test_somebody_who_reads_for_ever_holds_up_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "LARGE_JOURNAL", 500_000)
    monkeypatch.setattr(database, "_EMPTYING_SECONDS", 0.5)
    store = Store(tmp_path / "kb.sqlite3")
    with store._database.reading() as db:  # noqa: SLF001 - nothing else reads for ever
        db.execute("SELECT count(*) FROM articles").fetchone()
        took = []
        for _ in range(8):
            started = time.monotonic()
            store.update("preferences", ArticlePatch(body=os.urandom(37_000).hex()))
            took.append(time.monotonic() - started)
    store.close()
    assert 1 <= sum(each > 0.4 for each in took) <= 3
    assert not caplog.records
