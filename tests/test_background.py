"""A called route behaves as over REST: dependencies, handlers, models and background tasks."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import httpx2
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from pydantic import BaseModel

from mcp_mount import Limits, mount_mcp
from tests.support import ERAS, Era, call, envelope, http


class User(BaseModel):
    name: str
    password: str = "hidden"


class PublicUser(BaseModel):
    name: str


class Teapot(Exception):
    """What the app's own handler answers."""


async def current_user() -> User:
    return User(name="alice")


def build_app() -> FastAPI:
    app = FastAPI()

    @app.get("/async-user", response_model=PublicUser)
    async def get_async(user: Annotated[User, Depends(current_user)]) -> User:
        return user

    @app.get("/sync-user", response_model=PublicUser)
    def get_sync(user: Annotated[User, Depends(current_user)]) -> User:
        return user

    @app.get("/teapot")
    async def teapot() -> str:
        raise Teapot

    @app.get("/missing")
    async def missing() -> str:
        raise HTTPException(404, "No such thing.")

    @app.exception_handler(Teapot)
    async def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"short": "and stout"}, status_code=418)

    return app


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["get_async", "get_sync"])
async def test_dependency_overrides_and_response_models_hold(tool: str, era: Era) -> None:
    """C8: sync and async routes get the overriding dependency, and answer by their model."""
    app = build_app()
    mount_mcp(app)
    reply = await call(app, tool, era=era)
    assert reply.result["structuredContent"] == {"name": "alice"}
    app.dependency_overrides[current_user] = lambda: User(name="bob")
    reply = await call(app, tool, era=era)
    assert reply.result["structuredContent"] == {"name": "bob"}


@pytest.mark.parametrize("era", ERAS)
async def test_exception_handlers_answer(era: Era) -> None:
    """C8: what the app's handlers make of an exception is what the model reads."""
    app = build_app()
    mount_mcp(app)
    reply = await call(app, "teapot", era=era)
    assert reply.text_content == """418 I'm a Teapot\n{"short":"and stout"}"""
    reply = await call(app, "missing", era=era)
    assert reply.text_content == '404 Not Found\n{"detail":"No such thing."}'


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("fails", [False, True])
async def test_dependencies_with_yield_are_closed(era: Era, *, fails: bool) -> None:
    """C8: what a dependency opened is closed, and it sees the route's exception."""
    log: list[str] = []
    app = FastAPI()

    async def session() -> AsyncIterator[str]:
        try:
            yield "session"
        except HTTPException:
            log.append("rolled back")
            raise
        finally:
            log.append("closed")

    @app.get("/use")
    async def use(opened: Annotated[str, Depends(session)]) -> str:
        log.append(opened)
        if fails:
            raise HTTPException(409)
        return "done"

    mount_mcp(app)
    assert (await call(app, "use", era=era)).is_error is fails
    assert log == (["session", "rolled back", "closed"] if fails else ["session", "closed"])


async def reply_to(client: httpx2.AsyncClient, era: Era, tool: str) -> str:
    headers, body = envelope(era, "tools/call", {"name": tool, "arguments": {}})
    reply = await client.post("/mcp", headers=headers, json=body)
    return reply.text


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["whole", "stream", "over_cap"])
async def test_the_result_arrives_before_the_background_task_ends(
    tool: str, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C8: the background task waits for what its caller does after the result, and ends."""
    log: list[str] = []
    received = anyio.Event()
    app = FastAPI()

    async def after() -> None:
        await received.wait()
        # For longer than a route is left that does not listen.
        await anyio.sleep(0.05)
        log.append("done")

    @app.get("/whole")
    async def whole(background: BackgroundTasks) -> str:
        background.add_task(after)
        return "answer"

    @app.get("/stream")
    async def stream(background: BackgroundTasks) -> StreamingResponse:
        background.add_task(after)
        return StreamingResponse("answer", media_type="text/plain", background=background)

    @app.get("/over-cap")
    async def over_cap(background: BackgroundTasks) -> Response:
        background.add_task(after)
        return Response("answer" * 10, media_type="text/plain", background=background)

    monkeypatch.setattr("mcp_mount.backends.app_call.GRACE", 0.01)
    mount_mcp(app, limits=Limits(max_bytes=20))
    with anyio.fail_after(30):
        async with http(app) as client:
            assert "answer" in await reply_to(client, era, tool)
            assert log == []
            received.set()
    assert log == ["done"]


@pytest.mark.parametrize("era", ERAS)
async def test_what_a_background_task_raises_is_logged_and_not_sent(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """C8: the result stands; the exception is in the log, as a server would write it."""
    app = FastAPI()

    async def after() -> None:
        raise ValueError("postgres://u:p@db")

    @app.get("/whole")
    async def whole(background: BackgroundTasks) -> str:
        background.add_task(after)
        return "answer"

    mount_mcp(app)
    with caplog.at_level(logging.ERROR, logger="mcp_mount"):
        reply = await call(app, "whole", era=era)
    assert reply.result["structuredContent"] == {"result": "answer"}
    assert "postgres" not in reply.text
    assert [record.message for record in caplog.records] == ["Exception in ASGI application"]
    assert "postgres://u:p@db" in caplog.text


@pytest.mark.parametrize("era", ERAS)
async def test_a_cancellation_that_a_route_lets_out_ends_its_own_call_only(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """C8: a route that waited for a task which was cancelled is answered, and so are others."""
    app = FastAPI()
    entered = anyio.Event()

    @app.get("/lost")
    async def lost() -> str:
        entered.set()
        task = asyncio.create_task(anyio.sleep_forever())
        task.cancel()
        await task
        return "never"

    @app.get("/other")
    async def other() -> str:
        await entered.wait()
        return "here"

    mount_mcp(app)
    results: dict[str, Any] = {}

    async def ask(tool: str) -> None:
        results[tool] = await call(app, tool, era=era)

    with anyio.fail_after(30):
        async with run_asgi_lifespan(app), anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "other")
            tasks.start_soon(ask, "lost")
    assert results["lost"].is_error
    assert results["other"].result["structuredContent"] == {"result": "here"}
    assert "Exception in ASGI application" in caplog.text
