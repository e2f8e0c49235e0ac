"""A route that calls tools of its own server."""

import asyncio
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request
from fastmcp import Client

from mcp_mount import Limits, mount_mcp
from tests.support import ERAS, Era, call


@pytest.mark.parametrize("era", ERAS)
async def test_a_route_may_call_tools_itself_and_acts_for_its_caller(era: Era) -> None:
    """C1, C8: through the mounted server, also in work that outlives the request."""
    app = FastAPI()
    answers: list[Any] = []
    mounted = mount_mcp(app)
    replied = anyio.Event()
    later: set[asyncio.Task[None]] = set()

    @app.get("/who")
    async def who(request: Request) -> str:
        return request.headers.get("x-caller", "nobody")

    async def ask() -> Any:
        async with Client(mounted.server) as client:
            return (await client.call_tool("who")).structured_content

    async def ask_later() -> None:
        await replied.wait()
        answers.append(await ask())

    @app.get("/outer")
    async def outer() -> Any:
        later.add(asyncio.create_task(ask_later()))
        return await ask()

    with anyio.fail_after(30):
        reply = await call(app, "outer", era=era, headers={"x-caller": "alice"})
        assert "alice" in reply.text_content
        replied.set()
        await asyncio.gather(*later)
    assert answers == [{"result": "alice"}]


@pytest.mark.parametrize("era", ERAS)
async def test_a_route_can_give_up_a_call_of_its_own(era: Era) -> None:
    """C7, C8: cancelling a nested call cancels it, also where a lost connection would not."""
    app = FastAPI()
    mounted = mount_mcp(app, limits=Limits(timeout=60))
    log: list[str] = []

    @app.get("/slow")
    async def slow() -> str:
        try:
            await anyio.sleep_forever()
        finally:
            log.append("closed")
        return "never"

    @app.get("/outer")
    async def outer() -> str:
        async with Client(mounted.server) as client:
            with anyio.move_on_after(0.05):
                await client.call_tool("slow")
        return "gave up"

    with anyio.fail_after(30):
        reply = await call(app, "outer", era=era)
    assert reply.result["structuredContent"] == {"result": "gave up"}
    assert log == ["closed"]
