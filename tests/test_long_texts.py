"""A long streamed text is read back from a temporary file, and is the same as ever."""

import itertools
import json
import logging
import os
import resource
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from mcp_mount import Limits, mount_mcp
from mcp_mount.pieces import Pieces
from tests.lanes import Visit, called, closed, request_of, scope_of
from tests.support import ERAS, Era, call

LONG = 3 * 1024 * 1024
ODD = 'Grüße, 日本 🚀!\r\n\u2028"\\/\x7f\t'

eras = pytest.mark.parametrize("era", ERAS)
lanes = pytest.mark.parametrize("lane", [True, False])
with_progress = pytest.mark.parametrize("token", [None, "p"])
pytestmark = pytest.mark.usefixtures("either_caller", "short_grace")


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes here do not listen."""
    monkeypatch.setattr("mcp_mount.running.GRACE", 0.01)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which temporary files are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def open_in(folder: Path) -> int:
    """Return how many files of a folder, with a name or without, this process has open."""
    count = 0
    for entry in os.scandir("/proc/self/fd"):
        try:
            count += os.readlink(entry.path).startswith(f"{folder}/")
        except FileNotFoundError:
            # It is of the listing itself, or another thread has just closed it.
            continue
    return count


def cut(text: str, *, size: int = 50_001, charset: str = "utf-8") -> Iterator[bytes]:
    body = text.encode(charset)
    return (body[at : at + size] for at in range(0, len(body), size))


async def sent(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
        await anyio.lowlevel.checkpoint()


def mounted_on(app: FastAPI, *, lane: bool = True, **options: Any) -> FastAPI:
    mounted = mount_mcp(app, **options)
    if not lane:
        closed(mounted)
    return app


def text_app(
    text: str, charset: str = "utf-8", *, size: int = 50_001, lane: bool = True, **limits: Any
) -> FastAPI:
    """Return an app whose tool ``text`` streams a text in parts of so many bytes."""
    app = FastAPI()

    @app.get("/text")
    async def get_text() -> StreamingResponse:
        chunks = sent(cut(text, size=size, charset=charset))
        return StreamingResponse(chunks, media_type=f"text/plain; charset={charset}")

    return mounted_on(app, lane=lane, limits=Limits(**limits))


@lanes
@eras
@with_progress
@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
async def test_a_long_text_is_the_same_however_it_is_cut(
    charset: str, token: str | None, era: Era, folder: Path, *, lane: bool
) -> None:
    """S2: characters over the borders of chunks, slices and the file are put together."""
    text = "".join(f"{number} {ODD}" for number in range(80_000))
    reply = await call(text_app(text, charset, lane=lane), "get_text", era=era, token=token)
    assert reply.result["content"] == [{"type": "text", "text": text}]
    assert "".join(reply.progress) == (text if token else "")
    assert open_in(folder) == 0


@eras
@with_progress
async def test_a_long_text_at_its_limit_is_kept_up_to_there(
    token: str | None, era: Era, folder: Path
) -> None:
    """S4: what had arrived is kept, and the note comes after it."""
    app = text_app("x" * (LONG + 100_000), max_bytes=LONG)
    reply = await call(app, "get_text", era=era, token=token)
    first, note = reply.result["content"]
    assert first["text"] == "x" * LONG
    assert "max_bytes" in note["text"]
    assert not reply.is_error
    assert open_in(folder) == 0


@lanes
@eras
async def test_a_long_text_that_breaks_off_or_is_late_is_kept(
    era: Era, folder: Path, *, lane: bool
) -> None:
    """C6: as a short one is, and its file is closed."""
    app = FastAPI()
    seen: list[int] = []

    async def broken() -> AsyncIterator[bytes]:
        async for chunk in sent(cut("x" * LONG)):
            yield chunk
        raise ValueError("secret")

    async def late() -> AsyncIterator[bytes]:
        async for chunk in sent(cut("x" * LONG)):
            yield chunk
        seen.append(open_in(folder))
        await anyio.sleep_forever()

    @app.get("/broken")
    async def get_broken() -> StreamingResponse:
        return StreamingResponse(broken(), media_type="text/plain")

    @app.get("/late", openapi_extra={"x-mcp": {"limits": {"timeout": 1}}})
    async def get_late() -> StreamingResponse:
        return StreamingResponse(late(), media_type="text/plain")

    mounted_on(app, lane=lane)
    for tool, note in (("get_broken", "broke off"), ("get_late", "1 seconds")):
        reply = await call(app, tool, era=era)
        kept, told = reply.result["content"]
        assert kept["text"] == "x" * LONG
        assert note in told["text"]
        assert open_in(folder) == 0
    assert seen == [1]


@lanes
@eras
async def test_nothing_is_lost_without_a_place_for_files(
    era: Era, folder: Path, caplog: pytest.LogCaptureFixture, *, lane: bool
) -> None:
    """S2: the text stays in memory, and the log tells why."""
    text = ODD * 150_000
    app = text_app(text, lane=lane)
    folder.rmdir()
    reply = await call(app, "get_text", era=era)
    assert reply.text_content == text
    (record,) = (each for each in caplog.records if each.name == "mcp_mount")
    assert record.levelno == logging.WARNING
    assert "No such file" in record.getMessage()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let this process write files of so many bytes: the last write is cut, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100_001])
@eras
async def test_nothing_is_lost_where_the_disk_is_full(era: Era, size: int, folder: Path) -> None:
    """S2: what the file took is read from there; the rest, from within a slice on, from memory."""
    text = ODD * 150_000
    app = text_app(text)
    with files_of_at_most(size):
        reply = await call(app, "get_text", era=era)
    assert reply.text_content == text
    assert open_in(folder) == 0


@lanes
@eras
async def test_a_short_text_needs_no_file(
    era: Era, folder: Path, caplog: pytest.LogCaptureFixture, *, lane: bool
) -> None:
    """S3: there is no place for one, which nobody notices."""
    text = ODD * 10_000
    app = text_app(text, lane=lane)
    folder.rmdir()
    assert (await call(app, "get_text", era=era)).text_content == text
    assert not [each for each in caplog.records if each.name == "mcp_mount"]


@lanes
@eras
async def test_the_file_is_closed_when_the_client_goes(
    era: Era, folder: Path, *, lane: bool
) -> None:
    """C7: modern, at once; in the handshake versions at the deadline, at the latest."""
    app, begun, seen = FastAPI(), anyio.Event(), list[int]()

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in sent(cut("x" * LONG)):
            yield chunk
        seen.append(open_in(folder))
        begun.set()
        for chunk in itertools.repeat(b"x" * 100_000):
            yield chunk
            await anyio.sleep(0.01)

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        return StreamingResponse(chunks(), media_type="text/plain")

    mounted_on(app, lane=lane, limits=Limits(timeout=60 if era == "modern" else 1))
    visit = Visit(era, "endless")
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.run, app)
            await begun.wait()
            visit.gone.set()
    assert seen == [1]
    assert open_in(folder) == 0


@lanes
@eras
async def test_the_file_is_closed_when_the_request_is_cancelled(
    era: Era, folder: Path, *, lane: bool
) -> None:
    """C7: by whatever runs the server, at any time."""
    app, begun = FastAPI(), anyio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in sent(cut("x" * LONG)):
            yield chunk
        begun.set()
        await anyio.sleep_forever()

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        return StreamingResponse(chunks(), media_type="text/plain")

    mounted_on(app, lane=lane, limits=Limits(timeout=2))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Visit(era, "endless").run, app)
            await begun.wait()
            assert open_in(folder) == 1
            tasks.cancel_scope.cancel()
    assert open_in(folder) == 0


@lanes
@eras
async def test_the_file_is_closed_when_the_answer_cannot_be_sent(
    era: Era, folder: Path, *, lane: bool
) -> None:
    """C7: a server may raise in the middle of an answer whose reader has gone."""
    app = text_app("x" * LONG, lane=lane)
    headers, body = request_of(era, "tools/call", {"name": "get_text", "arguments": {}})
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client has gone")

    with anyio.fail_after(10):
        try:
            await app(scope_of(headers), receive, send)
        except* OSError:
            pass
    assert open_in(folder) == 0


@lanes
@eras
async def test_the_text_at_the_end_of_a_redirect_is_closed_too(
    era: Era, folder: Path, *, lane: bool
) -> None:
    """R3: redirects are followed, and what they lead to may be long."""
    app, seen = FastAPI(), list[int]()

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in sent(cut("x" * LONG)):
            yield chunk
        seen.append(open_in(folder))

    @app.get("/first")
    async def first() -> Response:
        return RedirectResponse("/second")

    @app.get("/second")
    async def second() -> StreamingResponse:
        return StreamingResponse(chunks(), media_type="text/plain")

    mounted_on(app, lane=lane)
    assert (await call(app, "first", era=era)).text_content == "x" * LONG
    assert (seen, open_in(folder)) == ([1], 0)


@pytest.mark.in_process
@pytest.mark.parametrize("tool", ["first", "second"])
@lanes
@eras
async def test_the_file_is_not_kept_for_background_tasks(
    era: Era, tool: str, folder: Path, *, lane: bool
) -> None:
    """C8: they may take long after the answer."""
    app, seen = FastAPI(), list[int]()

    async def later() -> None:
        await anyio.wait_all_tasks_blocked()
        seen.append(open_in(folder))

    @app.get("/first")
    async def first() -> Response:
        return RedirectResponse("/second")

    @app.get("/second")
    async def second(tasks: BackgroundTasks) -> StreamingResponse:
        tasks.add_task(later)
        chunks = sent(cut("x" * LONG))
        return StreamingResponse(chunks, media_type="text/plain", background=tasks)

    mounted_on(app, lane=lane)
    answer = await called(app, era, tool)
    assert answer.text == "x" * LONG
    assert seen == [0]


@pytest.mark.in_process
@eras
@with_progress
async def test_a_streamed_text_of_64_mb_takes_a_few_mb_of_memory(
    token: str | None, era: Era, folder: Path
) -> None:
    """S3: memory stays bounded whatever the route sends."""
    app, chunk, count = FastAPI(), b"x" * 49_999 + b"\n", 1_280

    @app.get("/text")
    async def get_text() -> StreamingResponse:
        return StreamingResponse(sent(itertools.repeat(chunk, count)), media_type="text/plain")

    mounted_on(app, limits=Limits(max_bytes=100_000_000))
    await call(app, "get_text", era=era)
    headers, body = request_of(
        era, "tools/call", {"name": "get_text", "arguments": {}}, token=token
    )
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    size = 0

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        return waiting.pop()

    async def send(message: Message) -> None:
        nonlocal size
        size += len(message.get("body", b""))

    tracemalloc.start()
    try:
        await app(scope_of(headers), receive, send)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > len(chunk) * count * (2 if token else 1)
    assert peak < 5_000_000
    assert open_in(folder) == 0


CHARACTERS = st.text(st.characters(codec=None, exclude_categories=()), min_size=1, max_size=20)


@pytest.mark.in_process
@given(texts=st.lists(CHARACTERS, max_size=30), room=st.integers(0, 50), full=st.booleans())
def test_any_pieces_are_the_text_that_was_put_together(
    texts: list[str], room: int, *, full: bool
) -> None:
    """S2: half characters too, wherever they are kept."""
    pieces = Pieces()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcp_mount.pieces.SLICE", 7)
        patch.setattr("mcp_mount.pieces._MOST_IN_MEMORY", room)
        pieces = Pieces()
        with files_of_at_most(40 if full else 1_000_000):
            for text in texts:
                pieces.append(text)
        whole = pieces.text()
        assert "".join(whole) == "".join(texts)
        assert json.dumps("".join(whole)) == json.dumps("".join(texts))
        pieces.append("x" * 100)
        pieces.close()
        pieces.append("x" * 100)
        assert "".join(pieces) == ""
