"""What a caller learns of a failure: all that the API says, and nothing that it did not say."""

import logging
from pathlib import Path

import anyio
import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel

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
async def test_a_refusal_is_a_tool_error_with_status_and_the_apis_own_body(era: Era) -> None:
    """R3."""
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def get_item(item_id: int) -> Item:
        raise HTTPException(404, {"code": "unknown", "id": item_id})

    mount_mcp(app)
    reply = await call(app, "get_item", {"item_id": 3}, era=era)
    assert reply.status == 200
    assert reply.is_error
    assert reply.text_content == '404 Not Found\n{"detail":{"code":"unknown","id":3}}'
    assert "structuredContent" not in reply.result


@pytest.mark.parametrize("era", ERAS)
async def test_a_validation_error_tells_the_model_what_to_change(era: Era) -> None:
    """R3: 422 with FastAPI's list of what is wrong, and where."""
    app = FastAPI()

    @app.post("/items")
    async def create(item: Item) -> Item:
        return item

    mount_mcp(app)
    reply = await call(app, "create", {"id": "one"}, era=era)
    assert reply.is_error
    assert reply.text_content.startswith("422 Unprocessable")
    assert '"loc":["body","id"]' in reply.text_content


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("status", "headers", "lines"),
    [
        (429, {"Retry-After": "30"}, ["429 Too Many Requests", "Retry-After: 30"]),
        (503, {"Retry-After": "5"}, ["503 Service Unavailable", "Retry-After: 5"]),
        (
            401,
            {"WWW-Authenticate": 'Bearer realm="kb"'},
            ["401 Unauthorized", 'WWW-Authenticate: Bearer realm="kb"'],
        ),
        (409, {"Location": "/items/1"}, ["409 Conflict", "Location: /items/1"]),
        (499, {}, ["499"]),
    ],
)
async def test_headers_that_say_how_to_go_on_are_reported(
    era: Era, status: int, headers: dict[str, str], lines: list[str]
) -> None:
    """R3."""
    app = FastAPI()

    @app.get("/answer", response_class=PlainTextResponse)
    async def answer() -> PlainTextResponse:
        return PlainTextResponse("Not now.", status, {**headers, "Set-Cookie": "a=hunter2"})

    mount_mcp(app)
    reply = await call(app, "answer", era=era)
    assert reply.is_error
    assert reply.text_content.splitlines() == [*lines, "Not now."]
    assert not leaks(reply)


@pytest.mark.parametrize("era", ERAS)
async def test_a_redirect_to_elsewhere_is_reported_and_not_an_error(era: Era) -> None:
    """R3: never fetched; where it leads is for the model to say."""
    app = FastAPI()

    @app.get("/away", status_code=302)
    async def away() -> Response:
        return Response(status_code=302, headers={"Location": "https://example.com/x"})

    mount_mcp(app)
    reply = await call(app, "away", era=era)
    assert not reply.is_error
    assert reply.text_content == "302 Found\nLocation: https://example.com/x"


async def test_redirects_have_one_time_limit_together() -> None:
    """C6: a route that leads to itself, slowly, takes no longer than any other."""
    app = FastAPI()
    visits: list[int] = []

    @app.get("/again", status_code=307)
    async def again() -> Response:
        visits.append(1)
        await anyio.sleep(0.3)
        return Response(status_code=307, headers={"Location": "/again"})

    mount_mcp(app, limits=Limits(timeout=0.5))
    reply = await call(app, "again")
    assert "within 0.5 seconds" in reply.text_content
    assert len(visits) == 2


@pytest.mark.parametrize("era", ERAS)
async def test_an_exception_shows_what_it_shows_over_rest(era: Era) -> None:
    """R3: without a handler that is Starlette's sentence, and the log has the traceback."""
    app = FastAPI()

    @app.get("/boom")
    async def boom() -> Item:
        raise RuntimeError(SECRET)

    mount_mcp(app)
    reply = await call(app, "boom", era=era)
    assert reply.is_error
    assert reply.text_content == "500 Internal Server Error\nInternal Server Error"
    assert not leaks(reply)


@pytest.mark.in_process
async def test_an_exception_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """R3: who runs the server sees what the caller does not."""
    app = FastAPI()

    @app.get("/boom")
    async def boom() -> Item:
        raise RuntimeError(SECRET)

    mount_mcp(app)
    await call(app, "boom")
    errors = [record for record in caplog.records if record.name == "mcp_mount"]
    assert [record.levelno for record in errors] == [logging.ERROR]
    assert SECRET in caplog.text


@pytest.mark.parametrize("era", ERAS)
async def test_the_apps_own_handlers_have_the_last_word(era: Era) -> None:
    """R3: as over REST, for `Exception` and for an exception of the app's own."""
    app = FastAPI()

    class Busy(Exception):
        pass

    @app.exception_handler(Exception)
    async def any_exception(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "E-17"}, 500)

    @app.exception_handler(Busy)
    async def busy_exception(request: Request, error: Busy) -> JSONResponse:
        return JSONResponse({"error": "busy"}, 503)

    @app.get("/boom")
    async def boom() -> Item:
        raise RuntimeError(SECRET)

    @app.get("/busy")
    async def busy() -> Item:
        raise Busy

    @app.get("/said")
    async def said() -> Item:
        raise HTTPException(500, "The disk is full.")

    mount_mcp(app)
    replies = {name: await call(app, name, era=era) for name in ("boom", "busy", "said")}
    assert {name: reply.text_content for name, reply in replies.items()} == {
        "boom": '500 Internal Server Error\n{"error":"E-17"}',
        "busy": '503 Service Unavailable\n{"error":"busy"}',
        "said": '500 Internal Server Error\n{"detail":"The disk is full."}',
    }
    assert all(reply.is_error for reply in replies.values())
    assert not any(map(leaks, replies.values()))


@pytest.mark.in_process
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("accept", ["text/html", "text/plain", "*/*"])
async def test_debug_mode_shows_no_traceback(
    era: Era, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    """R3: over REST a developer sees it; over MCP a model, and whoever reads the conversation."""
    app = FastAPI(debug=True)

    @app.get("/boom", response_class=Response, responses={200: {"content": {accept: {}}}})
    async def boom() -> Response:
        raise RuntimeError(SECRET)

    mount_mcp(app)
    reply = await call(app, "boom", era=era)
    assert reply.is_error
    assert not leaks(reply)
    assert "debug mode" in reply.text_content
    assert SECRET in caplog.text


async def test_debug_mode_shows_every_other_error() -> None:
    """R3."""
    app = FastAPI(debug=True)

    @app.get("/refused")
    async def refused() -> Item:
        raise HTTPException(503, "Later.")

    mount_mcp(app)
    reply = await call(app, "refused")
    assert reply.text_content == '503 Service Unavailable\n{"detail":"Later."}'
