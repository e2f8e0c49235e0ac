"""What an app may do with ASGI, and what it may not, seen from its caller."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Response
from starlette.types import Message, Receive, Scope, Send

from mcp_mount import Limits, mount_mcp
from tests.support import ERAS, Era, Reply, call

TEXT = [(b"content-type", b"text/plain")]
START: Message = {"type": "http.response.start", "status": 200, "headers": TEXT}
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def part(body: Any, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def answer(run: Callable[[Send], Awaitable[None]], era: Era, **options: Any) -> Reply:
    """Call a tool whose route's response does as `run`."""
    app = FastAPI()

    class Odd(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
            await run(send)

    @app.get("/odd")
    async def odd() -> Odd:
        return Odd()

    mount_mcp(app, **options)
    with anyio.fail_after(30):
        return await call(app, "odd", era=era)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([START, part(memoryview(b"ab")), part(bytearray(b"cd")), END], "abcd"),
        ([START, part(b"a"), part(b""), part(b"b", more=False)], "ab"),
        ([START, {"type": "http.response.body", "body": b"a"}], "a"),
        ([START, {"type": "http.response.body"}], "200 OK"),
        ([{"type": "http.response.early_hint", "links": []}, START, part(b"a", more=False)], "a"),
        ([START, part(b"a", more=False), {"type": "http.response.trailers"}], "a"),
        ([{"type": "http.response.start", "status": 204}, END], "204 No Content"),
        ([{"type": "http.response.start", "status": 304}, END], "304 Not Modified"),
        ([{**START, "headers": [*TEXT, (b"x-odd", b"\xff\x80")]}, part(b"a", more=False)], "a"),
    ],
)
async def test_whatever_asgi_allows_is_read(messages: list[Message], text: str, era: Era) -> None:
    """C8: any buffer, an empty part, absent keys, hints, trailers and odd header bytes."""

    async def run(send: Send) -> None:
        for message in messages:
            await send(message)

    reply = await answer(run, era)
    assert not reply.is_error
    assert reply.text_content == text


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("messages", "kept"),
    [
        ([], ""),
        ([END], ""),
        ([START], ""),
        ([START, part(b"half")], "half"),
        ([START, part(b"half"), START, END], "half"),
        ([part(b"early"), START, END], ""),
    ],
)
async def test_an_app_that_leaves_its_response_undone_has_failed(
    messages: list[Message], kept: str, era: Era
) -> None:
    """C6: at once, not at the deadline; with what had arrived."""

    async def run(send: Send) -> None:
        for message in messages:
            await send(message)

    reply = await answer(run, era, limits=Limits(timeout=600))
    assert reply.is_error
    assert kept in reply.text_content
    assert "limit" not in reply.text_content


@pytest.mark.parametrize("era", ERAS)
async def test_nothing_arrives_after_the_end(era: Era) -> None:
    """C6: a route that sends on after it was told is told again, and writes into no result."""
    told: list[str] = []

    async def run(send: Send) -> None:
        await send(START)
        await send(part(b"x"))
        for _ in range(3):
            with pytest.raises(OSError, match="gone"):
                await send(part(b"y"))
            told.append("told")
        # There is nothing to stop any more, so this is no error.
        await send(part(b"z", more=False))
        told.append("done")

    reply = await answer(run, era, limits=Limits(max_bytes=1))
    assert reply.text_content == (
        "x\n[Ended at the limit of 1 bytes (max_bytes). There may be more.]"
    )
    assert told == ["told", "told", "told", "done"]


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize("era", ERAS)
async def test_a_response_that_goes_on_after_its_end_has_ended(
    era: Era, caplog: pytest.LogCaptureFixture, *, more: bool
) -> None:
    """C6: it neither takes the slot again nor keeps it, and the app is told, as by a server."""
    app = FastAPI()

    class Longer(Response):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
            for message in (START, part(b"whole", more=False), part(b"late", more=more)):
                await send(message)
            await anyio.sleep_forever()

    @app.get("/longer")
    async def longer() -> Longer:
        return Longer()

    mount_mcp(app, limits=Limits(max_concurrency=1))
    with anyio.fail_after(30):
        for _ in range(2):
            assert (await call(app, "longer", era=era)).text_content == "whole"
    assert "went on after its last part" in caplog.text
