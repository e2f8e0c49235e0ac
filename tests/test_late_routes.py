"""Routes that are added while the app runs: what they cost everybody else."""

import threading
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from mcp_mount import Mounted, Operation, mount_mcp
from tests.starting import started
from tests.support import ERAS, Era, call, tools

eras = pytest.mark.parametrize("era", ERAS)


class Part(BaseModel):
    name: str


class Box(BaseModel):
    size: int


def app_with_one_route(**options: Any) -> tuple[FastAPI, Mounted]:
    app = FastAPI()

    @app.post("/parts")
    async def add_part(part: Part) -> Part:
        return part

    return app, mount_mcp(app, **options)


@eras
@pytest.mark.parametrize("first", ["list", "call"])
async def test_the_tools_of_late_routes_are_made_in_a_thread(era: Era, first: str) -> None:
    """M4, S3: the event loop goes on, and whoever comes meanwhile gets the new ones too."""
    threads: list[int] = []

    def never(operation: Operation) -> bool:
        threads.append(threading.get_ident())
        return operation.path == "/nowhere" or len(operation.path) == 1

    app, _ = app_with_one_route(exclude=[lambda operation: never(operation) or is_extra(operation)])
    app.add_api_route("/extra", lambda: "extra")
    async with started(app) as served:
        threads.clear()
        app.add_api_route("/late", lambda: "late", operation_id="late")
        names: list[set[str]] = []

        async def ask() -> None:
            if first == "list":
                names.append({*await tools(served, era=era)})
            else:
                reply = await call(served, "late", era=era)
                names.append({"add_part", reply.result["structuredContent"]["result"]})

        async with anyio.create_task_group() as callers:
            for _ in range(5):
                callers.start_soon(ask)
    assert names == [{"add_part", "late"}] * 5
    assert threads
    assert threading.get_ident() not in threads


def is_extra(operation: Operation) -> bool:
    return operation.path == "/extra"


async def test_a_tool_is_made_anew_only_where_it_is_another() -> None:
    """M4: a route costs what it is, and not what all the others are."""
    app, mounted = app_with_one_route()
    async with started(app) as served:
        before = await mounted.server.get_tool("add_part")
        app.add_api_route("/boxes", lambda: Box(size=1), operation_id="box", response_model=Box)
        assert {*await tools(served)} == {"add_part", "box"}
        assert await mounted.server.get_tool("add_part") is before


async def test_a_tool_is_another_where_its_model_is() -> None:
    """M4: a model of the same name changes what it is called."""
    app, mounted = app_with_one_route()

    class Part(BaseModel):
        number: int

    async with started(app) as served:
        before = await mounted.server.get_tool("add_part")
        app.add_api_route("/other", lambda: Part(number=1), operation_id="o", response_model=Part)
        published = (await tools(served))["add_part"]
        assert await mounted.server.get_tool("add_part") is not before
        assert published["inputSchema"]["properties"].keys() == {"name"}
        assert not (await call(served, "add_part", {"name": "a"})).is_error
