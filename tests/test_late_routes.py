"""Routes that are added while the app runs: what they cost everybody else."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import anyio
import pytest
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from mcp_mount import Mounted, Operation, mount_mcp
from tests.raw import send_raw
from tests.starting import started
from tests.support import ERAS, Era, call, envelope, tools

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


@eras
@pytest.mark.in_process
@pytest.mark.parametrize("method", ["tools/list", "tools/call"])
async def test_routes_that_are_late_while_a_body_comes_are_read_in_a_thread(
    era: Era, method: str
) -> None:
    """M4, S3: they were on the event loop, 1.2 s of 300 operations."""
    threads: list[int] = []

    def is_seen(_: Operation) -> bool:
        threads.append(threading.get_ident())
        return True

    app, _ = app_with_one_route(include=[is_seen])
    headers, message = envelope(era, method, {"name": "late", "arguments": {}})
    whole = json.dumps(message).encode()

    def chunks() -> Iterator[bytes]:
        yield whole[:20]
        app.add_api_route("/late", lambda: "late", operation_id="late")
        yield whole[20:]

    async with started(app) as served:
        threads.clear()
        reply = await send_raw(served, chunks(), headers)
    assert "late" in str(reply.answer["result"])
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


class Unwritable(BaseModel):
    """A model of which no schema can be made."""

    attempts: ClassVar[list[int]] = []

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> dict[str, Any]:
        cls.attempts.append(threading.get_ident())
        raise ValueError("no schema")


@eras
async def test_what_is_wrong_with_a_late_route_is_looked_for_once_and_in_a_thread(era: Era) -> None:
    """M4, S3: a document that cannot be made takes as long as one that can."""
    app, _ = app_with_one_route()
    async with started(app) as served:
        Unwritable.attempts.clear()
        routes = [*app.router.routes]
        app.add_api_route("/late", lambda: None, response_model=Unwritable)
        for _ in range(3):
            assert "error" in (await call(served, "add_part", {"name": "a"}, era=era)).answer
        assert len({*Unwritable.attempts}) == len(Unwritable.attempts) == 1
        assert threading.get_ident() not in Unwritable.attempts
        app.router.routes[:] = routes
        app.add_api_route("/mended", lambda: 1, operation_id="mended")
        assert {*await tools(served, era=era)} == {"add_part", "mended"}


async def test_a_document_that_the_app_writes_itself_is_tried_again_in_a_thread() -> None:
    """M4: what it lacked may be there the next time."""
    app, _ = app_with_one_route()
    made, threads, lacking = app.openapi(), list[int](), [True]

    def write() -> dict[str, Any]:
        threads.append(threading.get_ident())
        if lacking:
            raise OSError("not yet")
        return made

    async with started(app) as served:
        app.openapi = write  # type: ignore[method-assign]
        assert "error" in (await call(served, "add_part", {"name": "a"})).answer
        lacking.clear()
        assert not (await call(served, "add_part", {"name": "a"})).is_error
    assert threading.get_ident() not in threads


@eras
@pytest.mark.in_process
async def test_a_document_that_is_long_in_writing_is_written_in_a_thread(era: Era) -> None:
    """M4, S3: by an app that keeps none, 1.3 s of 300 operations with each list and wrong name."""
    app, mounted = app_with_one_route()
    threads, late = list[int](), list[str]()

    @mounted.server.tool
    async def own() -> str:
        return "own"

    def write() -> dict[str, Any]:
        threads.append(threading.get_ident())
        document = get_openapi(title="x", version="1", routes=app.routes)
        for name in late:
            add = document["paths"]["/parts"]["post"]
            document["paths"]["/parts"]["post"] = {**add, "operationId": name}
        begun = time.thread_time()
        while time.thread_time() - begun < 0.05:
            pass
        return document

    app.openapi = write  # type: ignore[method-assign]
    async with started(app) as served:
        await tools(served, era=era)
        threads.clear()
        late.append("listed")
        assert {*await tools(served, era=era)} == {"listed", "own"}
        late.append("called")
        assert not (await call(served, "called", {"name": "a"}, era=era)).is_error
        assert threads
        threads.clear()
        assert not (await call(served, "called", {"name": "a"}, era=era)).is_error
        assert (await call(served, "own", era=era)).text_content == "own"
        assert not threads
        assert "error" in (await call(served, "unknown", era=era)).answer
        assert threads
        assert threading.get_ident() not in threads


@eras
@pytest.mark.in_process
async def test_routes_that_come_while_others_are_read_are_read_in_a_thread(era: Era) -> None:
    """M4, S3."""
    threads: list[int] = []

    class Late(BaseModel):
        @classmethod
        def __get_pydantic_json_schema__(cls, *given: Any) -> dict[str, Any]:
            threads.append(threading.get_ident())
            if len(threads) == 1:
                app.add_api_route("/later", lambda: 1, operation_id="later")
            return {"type": "object"}

    app, _ = app_with_one_route()
    async with started(app) as served:
        app.add_api_route("/late", lambda: None, operation_id="late", response_model=Late)
        assert {*await tools(served, era=era)} == {"add_part", "late", "later"}
    assert threading.get_ident() not in threads
    assert len({*threads}) >= 1
