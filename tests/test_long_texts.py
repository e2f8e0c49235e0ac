"""A long streamed text is read back from a temporary file, and is the same as ever."""

import itertools
import logging
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
from mcp_types import TextContent
from starlette.types import Message

from mcp_mount import Limits, mount_mcp
from mcp_mount.conversion.content import Result
from mcp_mount.conversion.spooled import SpooledText
from mcp_mount.tools.context import to_tool_result
from tests.lanes import Visit, called, closed, request_of, scope_of
from tests.support import ERAS, Era, call, read_messages

LONG = 3 * 1024 * 1024
ODD = 'Grüße, 日本 🚀!\r\n\u2028"\\/\x7f\t'

eras = pytest.mark.parametrize("era", ERAS)
lanes = pytest.mark.parametrize("lane", [True, False])
with_progress = pytest.mark.parametrize("token", [None, "p"])
pytestmark = pytest.mark.usefixtures("either_caller", "short_grace")


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes here do not listen."""
    monkeypatch.setattr("mcp_mount.backends.app_call.GRACE", 0.01)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which temporary files are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no place for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))


def open_in(folder: Path) -> int:
    """Return how many files of a folder, with a name or without, this process has open."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += entry.readlink().is_relative_to(folder)
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


def mounted_on(app: FastAPI, *, lane: bool = True, **limits: Any) -> FastAPI:
    """Mount with these limits, and none on the message that ends a stream."""
    mounted = mount_mcp(app, limits=Limits(max_event_bytes=1_000_000_000, **limits))
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

    return mounted_on(app, lane=lane, **limits)


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
async def test_every_character_of_ascii_is_escaped(era: Era) -> None:
    """S1, S2: in the progress and in the result, where much is written at once."""
    text = "".join(map(chr, range(128))) * 1_000
    reply = await call(text_app(text), "get_text", era=era, token="p")
    assert "".join(reply.progress) == text
    assert reply.text_content == text


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


@pytest.mark.faults
@lanes
@eras
async def test_a_long_text_that_breaks_off_or_is_late_is_kept(
    era: Era, folder: Path, *, lane: bool
) -> None:
    """C6: as a short one is, and its file is closed."""
    app = FastAPI()

    async def broken() -> AsyncIterator[bytes]:
        async for chunk in sent(cut("x" * LONG)):
            yield chunk
        raise ValueError("secret")

    async def late() -> AsyncIterator[bytes]:
        async for chunk in sent(cut("x" * LONG)):
            yield chunk
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
        # What is late may not have come as a whole.
        assert kept["text"] == "x" * len(kept["text"])
        assert len(kept["text"]) > LONG / 2
        assert note in told["text"]
        assert open_in(folder) == 0


@pytest.mark.faults
@lanes
@eras
@pytest.mark.usefixtures("no_folder")
async def test_nothing_is_lost_without_a_place_for_files(
    era: Era, caplog: pytest.LogCaptureFixture, *, lane: bool
) -> None:
    """S2: the text stays in memory, and the log tells why."""
    text = ODD * 150_000
    app = text_app(text, lane=lane)
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


@pytest.mark.faults
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
@pytest.mark.usefixtures("no_folder")
async def test_a_short_text_needs_no_file(
    era: Era, caplog: pytest.LogCaptureFixture, *, lane: bool
) -> None:
    """S3: there is no place for one, which nobody notices."""
    text = ODD * 10_000
    app = text_app(text, lane=lane)
    assert (await call(app, "get_text", era=era)).text_content == text
    assert not [each for each in caplog.records if each.name == "mcp_mount"]


class LongVisit(Visit):
    """A client that is shown the text as it comes, and counts the files once enough has come."""

    def __init__(self, era: Era, tool: str, folder: Path) -> None:
        super().__init__(era, tool, token="p")
        self._folder = folder
        self.enough = anyio.Event()
        self.seen = 0

    async def _send(self, message: Message) -> None:
        if self.gone.is_set():
            # As uvicorn does it: what is sent to nobody is lost.
            return
        await super()._send(message)
        if len(self.body) > LONG / 2 and not self.enough.is_set():
            self.seen = open_in(self._folder)
            self.enough.set()


def endless_app(*, lane: bool, timeout: float = 60) -> FastAPI:
    """Return an app with the tool ``endless``, which streams a long text and then waits."""
    app = FastAPI()

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in sent(cut("x" * LONG)):
            yield chunk
        await anyio.sleep_forever()

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        return StreamingResponse(chunks(), media_type="text/plain")

    return mounted_on(app, lane=lane, timeout=timeout)


@pytest.mark.faults
@lanes
@eras
async def test_the_file_is_closed_when_the_client_goes(
    era: Era, folder: Path, *, lane: bool
) -> None:
    """C7: modern, at once; in the handshake versions at the deadline, at the latest."""
    app = endless_app(lane=lane, timeout=60 if era == "modern" else 1)
    visit = LongVisit(era, "endless", folder)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.run, app)
            await visit.enough.wait()
            visit.gone.set()
    assert visit.seen == 1
    assert open_in(folder) == 0


@pytest.mark.faults
@lanes
@eras
async def test_the_file_is_closed_when_the_request_is_cancelled(
    era: Era, folder: Path, *, lane: bool
) -> None:
    """C7: by whatever runs the server, at any time."""
    visit = LongVisit(era, "endless", folder)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visit.run, endless_app(lane=lane, timeout=2))
            await visit.enough.wait()
            tasks.cancel_scope.cancel()
    assert visit.seen == 1
    assert open_in(folder) == 0


@pytest.mark.faults
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

    with anyio.fail_after(30):
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
    app = FastAPI()

    @app.get("/first")
    async def first() -> Response:
        return RedirectResponse("/second")

    @app.get("/second")
    async def second() -> StreamingResponse:
        return StreamingResponse(sent(cut("x" * LONG)), media_type="text/plain")

    visit = LongVisit(era, "first", folder)
    with anyio.fail_after(30):
        await visit.run(mounted_on(app, lane=lane))
    answer = read_messages(visit.content_type, visit.body.decode())[-1]
    assert answer["result"]["content"][0]["text"] == "x" * LONG
    assert visit.seen == 1
    assert open_in(folder) == 0


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


@with_progress
async def test_a_streamed_text_of_64_mb_takes_a_few_mb_of_memory(
    token: str | None, folder: Path
) -> None:
    """S3: memory stays bounded whatever the route sends."""
    app, chunk, count = FastAPI(), b"x" * 49_999 + b"\n", 1_280

    @app.get("/text")
    async def get_text() -> StreamingResponse:
        return StreamingResponse(sent(itertools.repeat(chunk, count)), media_type="text/plain")

    mounted_on(app, max_bytes=100_000_000)
    headers, body = request_of(
        "modern", "tools/call", {"name": "get_text", "arguments": {}}, token=token
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


WORDS = st.text(st.sampled_from('a"\né日🚀\ud83d\ude80'), min_size=1, max_size=20)


@pytest.mark.in_process
@given(texts=st.lists(WORDS, max_size=30), room=st.integers(0, 50), full=st.booleans())
def test_any_pieces_are_the_text_that_was_put_together(
    texts: list[str], room: int, *, full: bool
) -> None:
    """S2: half characters too, wherever they are kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mcp_mount.conversion.spooled.SLICE", 7)
        patch.setattr("mcp_mount.conversion.spooled._MOST_IN_MEMORY", room)
        pieces = SpooledText()
        with files_of_at_most(40 if full else 1_000_000):
            for text in texts:
                pieces.append(text)
        assert "".join(pieces.text()) == "".join(texts)
        pieces.append("x" * 100)
        pieces.close()
        pieces.append("x" * 100)
        assert "".join(pieces) == ""


def test_many_texts_at_once_go_into_files_sooner() -> None:
    """X5, S3: what a thousand readers of long texts hold in memory is bounded for all of them."""
    texts = [SpooledText() for _ in range(150)]
    tracemalloc.start()
    try:
        for number in range(90):
            for text in texts:
                text.append(f"{number:010000}")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 80 * 1024 * 1024
    whole = "".join(f"{number:010000}" for number in range(90))
    assert all("".join(text) == whole for text in (texts[0], texts[-1]))
    for text in texts:
        text.close()
    alone = SpooledText()
    alone.append(whole)
    assert alone.text() == whole
    alone.close()


def test_a_text_in_memory_is_given_to_fastmcp_as_it_is() -> None:
    """Joined of its characters, one of 9 MB holds the event loop for a tenth of a second."""
    text = "x" * 1_000_000
    (block,) = to_tool_result(Result((text,))).content
    assert isinstance(block, TextContent)
    assert block.text is text
