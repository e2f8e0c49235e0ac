"""What is made in threads, while one caller's sync routes have all those of the app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp

from mcp_mount import mount_mcp
from tests.starting import started
from tests.support import ERAS, Era, call, tools
from tests.test_page import findings


def numbers(**options: object) -> FastAPI:
    """Return an app with more tools than are listed, or looked through, in one step."""
    app = FastAPI()

    async def number(number: int) -> int:
        return number

    for count in range(200):
        app.add_api_route(f"/{count}/{{number}}", number, operation_id=f"number_{count}")
    mount_mcp(app, **options)  # type: ignore[arg-type]
    return app


@asynccontextmanager
async def without_threads(app: FastAPI) -> AsyncIterator[ASGIApp]:
    """Start an app whose routes have all the threads that there are for them."""
    async with started(app) as running, anyio.create_task_group() as tasks:
        limiter = anyio.to_thread.current_default_thread_limiter()
        for taken in range(int(limiter.available_tokens)):
            limiter.acquire_on_behalf_of_nowait(taken)
        with anyio.fail_after(20):
            yield running
        for taken in range(int(limiter.total_tokens)):
            limiter.release_on_behalf_of(taken)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("era", ERAS)
async def test_tools_are_listed(era: Era) -> None:
    """F1: sixty calls of a sync route that waited locked everybody out of the first list."""
    async with without_threads(numbers()) as app:
        assert len(await tools(app, era=era)) == 200


async def test_tools_are_found() -> None:
    """F1."""
    async with without_threads(numbers(surface="search")) as app:
        found = await call(app, "search_tools", {"query": "number 7"})
    assert "number_7" in found.text_content


async def test_late_routes_are_offered() -> None:
    """F1."""
    app = numbers()
    async with without_threads(app) as running:

        @app.get("/late", operation_id="late")
        async def late() -> str:
            return "here"

        assert (await call(running, "late")).text_content == '"here"'


async def test_the_page_tells_what_is_wrong_with_tools() -> None:
    """F1."""
    async with without_threads(numbers()) as app:
        assert len((await findings(app))["tools"]) == 200
