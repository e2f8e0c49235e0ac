"""A response that breaks off after it began, or never began: what is told of it."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Limits, mount_mcp
from tests.support import ERAS, Era, Reply, call

pytestmark = pytest.mark.usefixtures("either_caller")

SECRET = "postgres://user:hunter2@db/prod"


class Item(BaseModel):
    id: int


def leaks(reply: Reply) -> bool:
    """Whether the answer holds exception text, a traceback, or a path of this machine."""
    signs = ("hunter2", "Traceback", "RuntimeError", 'File "', str(Path(__file__).parent))
    return any(sign in reply.text for sign in signs)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("debug", [False, True])
async def test_a_text_that_breaks_off_is_kept_and_is_an_error(*, era: Era, debug: bool) -> None:
    """R3: what arrived is of use, but not the whole; nothing is said of a time limit."""
    app = FastAPI(debug=debug)

    async def chunks() -> AsyncIterator[str]:
        yield "first "
        raise RuntimeError(SECRET)

    @app.get("/text", response_class=PlainTextResponse)
    async def text() -> StreamingResponse:
        return StreamingResponse(chunks(), media_type="text/plain")

    mount_mcp(app)
    reply = await call(app, "text", era=era)
    assert reply.is_error
    assert [block["text"] for block in reply.result["content"]] == [
        "first ",
        "[The response broke off here: the API failed while it was answering.]",
    ]
    assert not leaks(reply)


@pytest.mark.parametrize("era", ERAS)
async def test_items_that_break_off_are_kept_and_are_an_error(era: Era) -> None:
    """R3."""
    app = FastAPI()

    @app.get("/numbers")
    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise RuntimeError(SECRET)

    mount_mcp(app)
    reply = await call(app, "numbers", era=era)
    assert reply.is_error
    structured = reply.result["structuredContent"]
    assert structured["result"] == [1, 2]
    assert "broke off" in structured["ended"]
    assert reply.text_content == f"1\n2\n{structured['ended']}"
    assert not leaks(reply)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("media_type", ["application/json", "image/png"])
async def test_a_document_that_breaks_off_is_an_error(era: Era, media_type: str) -> None:
    """R3: half of a picture is none; half of a JSON text can still be read."""
    app = FastAPI()

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"a":'
        raise RuntimeError(SECRET)

    @app.get("/half", response_class=Response)
    async def half() -> StreamingResponse:
        return StreamingResponse(chunks(), media_type=media_type)

    mount_mcp(app)
    reply = await call(app, "half", era=era)
    assert reply.is_error
    assert [block["type"] for block in reply.result["content"]][-1] == "text"
    assert "broke off" in reply.text_content
    assert reply.text_content.startswith('{"a":') == (media_type == "application/json")
    assert not leaks(reply)


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_an_app_that_answers_nothing_is_an_error_at_once(era: Era) -> None:
    """R3, C6: a middleware that forgets to answer is no reason to wait for the time limit."""
    app = FastAPI()

    @app.get("/items")
    async def items() -> Item:
        return Item(id=1)

    mount_mcp(app, limits=Limits(timeout=3_600))

    class Silent:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] != "/items":
                await self.app(scope, receive, send)

    app.add_middleware(Silent)
    reply = await call(app, "items", era=era)
    assert reply.is_error
    assert reply.text_content == "The API gave no answer before it failed. The call was ended."


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
async def test_what_a_route_raises_because_it_was_left_is_no_failure(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """C7: its client was gone; Starlette's answer to the exception changes nothing about that."""
    app = FastAPI()

    @app.get("/waiting")
    async def waiting(request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        raise RuntimeError("Nobody is there any more.")

    mount_mcp(app, limits=Limits(timeout=0.05))
    with caplog.at_level(logging.DEBUG, "mcp_mount"):
        assert (await call(app, "waiting", era=era)).is_error
    told = {each.levelno for each in caplog.records if each.name == "mcp_mount"}
    assert told == {logging.DEBUG}
