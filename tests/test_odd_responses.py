"""Responses as many routes send them, although no standard says so."""

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
import pytest
from fastapi import Depends, FastAPI, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.security import APIKeyQuery
from starlette.testclient import TestClient

from mcp_mount import Limits, MountError, mount_mcp
from tests.support import ERAS, Era, call, tools

pytestmark = pytest.mark.usefixtures("either_caller")


async def words(*pieces: str | bytes) -> AsyncIterator[str | bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("era", ERAS)
async def test_an_event_stream_of_bare_text_is_not_lost(era: Era) -> None:
    """S2: blocks without `data:` are events of their text; comments and empty blocks are none."""
    app = FastAPI()

    @app.get("/bare")
    async def bare() -> StreamingResponse:
        return StreamingResponse(
            words("Hello\n\n", ": ping\n\n", "two: lines\nof text\n\n", "data: real\nbare\n\n"),
            media_type="text/event-stream",
        )

    mount_mcp(app)
    reply = await call(app, "bare", era=era, token="t")
    assert reply.result["structuredContent"] == {"text": "Hello\ntwo: lines\nof text\nreal"}
    assert reply.progress == ["Hello", "two: lines\nof text", "real"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_stream_without_a_type_is_text_if_it_reads_like_text(era: Era) -> None:
    """S1, R2: `StreamingResponse(words())` says nothing of its type."""
    app = FastAPI()

    @app.get("/words")
    async def untyped_words() -> StreamingResponse:
        return StreamingResponse(words("Zür", b"ich \xe2\x82", b"\xac"))

    @app.get("/bytes")
    async def untyped_bytes() -> StreamingResponse:
        return StreamingResponse(words(b"\x89PNG\r\n\x1a\n\x00", b"text"))

    @app.get("/declared")
    async def declared_bytes() -> Response:
        return Response(b"text", media_type="application/octet-stream")

    mount_mcp(app)
    reply = await call(app, "untyped_words", era=era, token="t")
    assert reply.text_content == "Zürich €"
    assert reply.progress == ["Zür", "ich ", "€"]
    for name in ("untyped_bytes", "declared_bytes"):
        block = (await call(app, name, era=era)).result["content"][0]
        assert block["resource"]["mimeType"] == "application/octet-stream"


@pytest.mark.parametrize("era", ERAS)
async def test_a_text_of_known_length_is_sent_once(era: Era) -> None:
    """S1: it is not produced piece by piece, so there is no progress to show."""
    app = FastAPI()

    @app.get("/text", response_class=PlainTextResponse)
    async def text() -> str:
        return "whole"

    mount_mcp(app)
    reply = await call(app, "text", era=era, token="t")
    assert (reply.text_content, reply.progress) == ("whole", [])


@pytest.mark.parametrize("number", [0.00001, 1e17, -2.5e-7, 0.5, 3])
async def test_a_number_in_a_path_has_no_exponent(number: float) -> None:
    """C5: the pattern of a float in a path takes digits and a point only."""
    app = FastAPI()

    @app.get("/square/{x:float}" if number >= 0 else "/square/{x}")
    async def square(x: float) -> float:
        return x

    mount_mcp(app)
    reply = await call(app, "square", {"x": number})
    assert reply.result["structuredContent"] == {"result": number}


@pytest.mark.in_process
async def test_a_key_in_the_query_is_taken_from_the_callers_own() -> None:
    """C4: it is no argument, and nothing else of that query goes along."""
    app = FastAPI()

    @app.get("/keyed")
    async def keyed(
        key: Annotated[str, Depends(APIKeyQuery(name="api_key"))], q: str = "", other: str = ""
    ) -> list[str]:
        return [key, q, other]

    mount_mcp(app)
    assert set((await tools(app))["keyed"]["inputSchema"]["properties"]) == {"q", "other"}
    path = "/mcp?other=outer&api_key=s%26t"
    reply = await call(app, "keyed", {"q": "a"}, path=path)
    assert reply.result["structuredContent"] == {"result": ["s&t", "a", ""]}
    assert (await call(app, "keyed", {"q": "a"})).text_content.startswith("401 ")


def test_a_started_app_is_called_from_another_event_loop() -> None:
    """M3: a test client that runs the app, and a test that calls it from its own loop."""
    app = FastAPI()

    @app.get("/one")
    async def one() -> int:
        return 1

    mount_mcp(app).server.tool(lambda: "own", name="own")

    async def called() -> list[str]:
        return [
            (await call(app, name, era=era)).text_content for name in ("one", "own") for era in ERAS
        ]

    with TestClient(app):
        assert anyio.run(called) == ["1", "1", "own", "own"]


@pytest.mark.in_process
def test_a_document_that_cannot_be_made_stops_the_start_with_advice() -> None:
    """M2: the app's own `/openapi.json` fails too, but only when somebody asks."""
    app = FastAPI()

    def openapi() -> dict[str, object]:
        raise TypeError("Cannot generate a JsonSchema for Callable")

    app.openapi = openapi  # type: ignore[method-assign]
    mount_mcp(app, limits=Limits())
    with pytest.raises(MountError, match="include_in_schema=False"), TestClient(app):
        pass
