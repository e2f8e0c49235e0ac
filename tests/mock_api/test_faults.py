"""What the service says, and where, when the file of the knowledge base cannot be used."""

# ruff: noqa: ASYNC221, ASYNC240 - in a test, no other task is held up

import logging
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI

from mock_api.app import create_app
from mock_api.errors import StorageBusy, StorageError, StorageFull
from mock_api.faults import explained
from mock_api.models import NewArticle
from mock_api.settings import Settings
from mock_api.store import Store
from tests.mock_api.conftest import http_client
from tests.mock_api.streaming import streamed

SLUG = "/articles/preferences"


@pytest.fixture
def file(settings: Settings) -> Path:
    assert settings.kb_database is not None
    return settings.kb_database


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "mock_api")
    return caplog


def problems(log: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in log.records if each.levelno >= logging.ERROR]


def remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


async def test_a_deleted_file_is_told_and_takes_no_writes(
    client: httpx.AsyncClient, file: Path, log: pytest.LogCaptureFixture
) -> None:
    assert (await client.get(SLUG)).status_code == 200
    remove(file)
    for response in (
        await client.get(SLUG),
        await client.patch(SLUG, json={"title": "lost"}),
        await client.get("/articles"),
        await client.get("/export"),
        await client.get("/changes"),
    ):
        assert response.status_code == 503
        assert "file is gone" in response.json()["detail"]
        assert str(file) not in response.text
    health = await client.get("/health")
    assert health.status_code == 503
    assert health.json()["status"] == "failing"
    assert "file is gone" in health.json()["detail"]
    # Of reading and of writing, once.
    assert len(problems(log)) == 2
    assert all(str(file) in each and "restart the service" in each for each in problems(log))
    assert not file.exists()


async def test_a_file_that_is_put_back_is_used_again(
    client: httpx.AsyncClient, app: FastAPI, file: Path, log: pytest.LogCaptureFixture
) -> None:
    await client.patch(SLUG, json={"title": "kept"})
    backup = file.with_suffix(".backup")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)
    remove(file)
    assert (await client.get(SLUG)).status_code == 503
    backup.rename(file)
    assert (await client.get(SLUG)).json()["title"] == "kept"
    assert (await client.get("/health")).json()["status"] == "ok"
    assert "can be used again" in log.text


async def test_another_file_in_its_place_is_read_from_then_on(
    client: httpx.AsyncClient, file: Path, tmp_path: Path
) -> None:
    assert (await client.get(SLUG)).status_code == 200
    other = Store(tmp_path / "other.sqlite3")
    other.delete("preferences")
    other.close()
    remove(file)
    (tmp_path / "other.sqlite3").rename(file)
    assert (await client.get(SLUG)).status_code == 404


def test_a_new_file_has_nothing_of_the_one_that_was_deleted(tmp_path: Path) -> None:
    file = tmp_path / "kb.sqlite3"
    store = Store(file)
    store.delete("preferences")
    # Its log of changes stays, as when somebody deletes the one file that they know of.
    file.unlink()
    assert Path(f"{file}-wal").exists()
    new = Store(file)
    assert new.get("preferences").slug == "preferences"
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    new.close()
    store.close()


@pytest.mark.parametrize("content", [b"This is a text, and no database." * 40, None])
async def test_a_foreign_file_is_refused_and_left_alone(
    settings: Settings, file: Path, log: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    if content is None:
        with closing(sqlite3.connect(file)) as other:
            other.execute("CREATE TABLE theirs (a)")
    else:
        file.write_bytes(content)
    before = file.read_bytes()
    async with http_client(create_app(settings)) as client:
        for path in (SLUG, "/health"):
            response = await client.get(path)
            assert response.status_code == 503
            assert "not one of this release" in response.json()["detail"]
    assert [str(file) in each and "KB_DATABASE" in each for each in problems(log)] == [True]
    assert file.read_bytes() == before


async def test_a_folder_in_the_place_of_the_file_is_told(settings: Settings, file: Path) -> None:
    file.mkdir()
    async with http_client(create_app(settings)) as client:
        response = await client.get("/health")
    assert response.status_code == 503
    assert "cannot be opened" in response.json()["detail"]


async def test_a_damaged_file_is_told(client: httpx.AsyncClient, app: FastAPI, file: Path) -> None:
    store: Store = app.state.store
    store.open()
    store.close()
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    file.write_bytes(data)
    response = await client.get("/articles")
    assert response.status_code == 503
    assert "damaged" in response.json()["detail"]


async def test_a_watcher_waits_until_the_file_is_back(app: FastAPI, file: Path) -> None:
    store: Store = app.state.store
    store.open()
    store.close()
    away = file.with_suffix(".away")
    async with streamed(app, "GET", "/changes?since=0") as watched:
        store.open()
        file.rename(away)
        with pytest.raises(StorageError):
            await anyio.to_thread.run_sync(store.count)
        for is_listening in (False, True, False, True):
            with anyio.fail_after(30):
                while bool(store.feed.listeners) is not is_listening:
                    await anyio.lowlevel.checkpoint()
        away.rename(file)
        await anyio.to_thread.run_sync(store.delete, "preferences")
        assert (await watched.event())["event"] == "deleted"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_who_finds_the_file_locked_is_told_when_to_come_back(
    client: httpx.AsyncClient, app: FastAPI, file: Path, log: pytest.LogCaptureFixture
) -> None:
    app.state.store = Store(file, patience=0.01)
    app.state.store.open()
    with locked(file):
        response = await client.patch(SLUG, json={"title": "later"})
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0
        assert "nothing was changed" in response.json()["detail"]
        # Reading goes on.
        assert (await client.get(SLUG)).status_code == 200
        assert (await client.get("/health")).json()["status"] == "degraded"
    assert (await client.get("/health")).json()["status"] == "ok"
    assert (await client.patch(SLUG, json={"title": "later"})).status_code == 200
    assert [str(file) in each for each in problems(log)] == [True]
    app.state.store.close()


def test_each_error_of_sqlite_has_its_fault(tmp_path: Path) -> None:
    file = tmp_path / "small.sqlite3"
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE t (a)")
        db.execute("PRAGMA max_page_count = 3")
        with pytest.raises(StorageFull, match="full") as full, explained(file):
            db.execute("INSERT INTO t VALUES (zeroblob(100000))")
        assert str(file) in full.value.advice
        assert full.value.status == 507
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        with pytest.raises(StorageError, match="read-only") as read_only, explained(file):
            db.execute("INSERT INTO t VALUES (1)")
        assert "write" in read_only.value.advice
        with pytest.raises(sqlite3.OperationalError, match="no such table"), explained(file):
            db.execute("SELECT * FROM nowhere")
    busy = pytest.raises(StorageBusy)
    with locked(file), closing(sqlite3.connect(file, timeout=0)) as db, busy, explained(file):
        db.execute("BEGIN IMMEDIATE")


def test_what_a_killed_start_has_left_is_removed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(30)
    host = socket.gethostname()
    dead = tmp_path / f".building-{host}-{process.pid}-abc"
    alive = tmp_path / f".building-{host}-{os.getppid()}-abc"
    elsewhere = tmp_path / ".building-other-host-1-abc"
    old = tmp_path / ".building-abc"
    for folder in (dead, alive, elsewhere, old):
        folder.mkdir()
        (folder / "kb.sqlite3").write_bytes(b"half")
    os.utime(old, (0, 0))
    store = Store(tmp_path / "kb.sqlite3")
    store.open()
    store.close()
    left = {each.name for each in tmp_path.iterdir()}
    assert left == {"kb.sqlite3", alive.name, elsewhere.name}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB; root is needed to make one."""
    mount = shutil.which("mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    if mount is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607 - as mount


@pytest.mark.faults
async def test_a_full_disk_changes_nothing_and_is_told_until_there_is_room(
    settings: Settings, small_disk: Path, log: pytest.LogCaptureFixture
) -> None:
    file = small_disk / "kb.sqlite3"
    app = create_app(settings.model_copy(update={"kb_database": file}))
    draft = {"title": "T", "body": "b" * 50_000}
    async with http_client(app) as client:
        before = (await client.get("/health")).json()["articles"]
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(b"x" * 4_000_000)
        response = await client.post("/articles", json={"slug": "new", **draft})
        assert response.status_code == 507
        assert "disk" in response.json()["detail"]
        health = await client.get("/health")
        assert health.status_code == 200
        assert health.json()["status"] == "degraded"
        assert health.json()["articles"] == before
        assert (await client.get("/articles/new")).status_code == 404
        ballast.unlink()
        assert (await client.get("/health")).json() == {"status": "ok", "articles": before}
        assert (await client.post("/articles", json={"slug": "new", **draft})).status_code == 201
    assert [str(file) in each for each in problems(log)] == [True]
    app.state.store.close()


@pytest.mark.faults
async def test_a_start_on_a_full_disk_is_told_and_leaves_nothing(
    settings: Settings, small_disk: Path
) -> None:
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(b"x" * 4_000_000)
    store = Store(small_disk / "kb.sqlite3")
    with pytest.raises(StorageFull):
        store.open()
    assert [each.name for each in small_disk.iterdir()] == ["ballast"]


@pytest.mark.faults
async def test_a_read_only_disk_can_be_read(settings: Settings, small_disk: Path) -> None:
    file = small_disk / "kb.sqlite3"
    app = create_app(settings.model_copy(update={"kb_database": file}))
    async with http_client(app) as client:
        assert (await client.patch(SLUG, json={"title": "before"})).status_code == 200
        app.state.store.close()
        mount = ["mount", "-o", "remount,ro", str(small_disk)]
        subprocess.run(mount, check=True)
        response = await client.patch(SLUG, json={"title": "after"})
        assert response.status_code == 503
        assert "read-only" in response.json()["detail"] or "opened" in response.json()["detail"]
    app.state.store.close()


@pytest.mark.faults
def test_a_start_that_is_killed_leaves_a_folder_that_the_next_one_removes(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from mock_api.building import build;"
        "build(Path(sys.argv[1]), lambda db: os.kill(os.getpid(), signal.SIGKILL))"
    )
    file = tmp_path / "kb.sqlite3"
    subprocess.run([sys.executable, "-c", script, str(file)], check=False, timeout=60)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".building-")
    store = Store(file)
    store.create(NewArticle(slug="new", title="T", body="b"))
    store.close()
    assert [each.name for each in tmp_path.iterdir()] == ["kb.sqlite3"]
