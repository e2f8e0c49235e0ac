"""How the database comes into being, and what it stands."""

import logging
import os
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

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


def test_processes_that_start_at_once_build_one_database(tmp_path: Path) -> None:
    file = tmp_path / "kb.sqlite3"
    with get_context("spawn").Pool(3) as processes:
        counts = processes.map(count_articles, [file] * 6)
    assert len(set(counts)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kb.sqlite3"]


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "kb.sqlite3")
    barrier = threading.Barrier(8)

    def write(number: int) -> bool:
        barrier.wait(10)
        store.update("preferences", ArticlePatch(title=f"Title {number}"))
        try:
            store.create(DRAFT)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        created = list(threads.map(write, range(8)))
    assert created.count(True) == 1
    assert store.last_change() == 9
    store.close()


def test_writers_at_once_attach_no_more_than_an_article_may_have(tmp_path: Path) -> None:
    store = Store(tmp_path / "kb.sqlite3")
    for number in range(MOST_ATTACHMENTS - 1):
        store.attach("preferences", f"{number}", b"", None)
    before = store.last_change()
    barrier = threading.Barrier(8)

    def attach(number: int) -> bool:
        barrier.wait(10)
        try:
            store.attach("preferences", f"last-{number}", b"", None)
        except TooManyAttachments:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        attached = list(threads.map(attach, range(8)))
    assert attached.count(True) == 1
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
