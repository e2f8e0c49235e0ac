"""The server of the tools starts and stops with the app, and inside it."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.testclient import TestClient
from fastmcp import Context, FastMCP

from mcp_mount import MountError, mount_mcp
from tests.starting import started
from tests.support import ERAS, Era, call, envelope, rpc, tools


@contextmanager
def noting(events: list[str], name: str) -> Iterator[None]:
    """Note the beginning and the end of something."""
    events.append(f"{name} starts")
    try:
        yield
    finally:
        events.append(f"{name} stops")


def inner(events: list[str]) -> FastMCP[Any]:
    """Return a FastMCP server of the user's own, with a lifespan, to be mounted in ours."""

    @asynccontextmanager
    async def lifespan(server: FastMCP[Any]) -> AsyncIterator[dict[str, int]]:
        with noting(events, "server"):
            yield {"answer": 42}

    server: FastMCP[Any] = FastMCP("inner", lifespan=lifespan)

    @server.tool
    async def state(context: Context) -> int:
        answer: int = context.lifespan_context["answer"]
        return answer

    return server


def app_with_lifespan(events: list[str], how: str) -> FastAPI:
    """Return a mounted app that declares its lifespan in one of the ways there are."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        with noting(events, "app"):
            yield {"database": "open"}

    router = APIRouter(lifespan=lifespan if how == "router" else None)

    @router.get("/state")
    async def database(request: Request) -> str:
        value: str = request.state.database
        return value

    app = FastAPI(lifespan=lifespan if how == "argument" else None)
    app.include_router(router)
    mounted = mount_mcp(app)
    mounted.server.mount(inner(events))
    if how == "assigned later":
        app.router.lifespan_context = lifespan
    return app


HOWS = ["argument", "router", "assigned later"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("how", HOWS)
async def test_the_server_runs_inside_the_apps_lifespan(era: Era, how: str) -> None:
    """M2: whichever way that is declared; and the tools see the state of the lifespan."""
    events: list[str] = []
    app = app_with_lifespan(events, how)
    async with started(app) as served:
        assert events == ["app starts", "server starts"]
        assert (await call(served, "database", era=era)).text_content == '"open"'
        assert (await call(served, "state", era=era)).text_content == "42"
        assert events == ["app starts", "server starts"]
    assert events == ["app starts", "server starts", "server stops", "app stops"]


@pytest.mark.parametrize("era", ERAS)
async def test_an_app_can_be_started_again(era: Era) -> None:
    """M2."""
    events: list[str] = []
    app = app_with_lifespan(events, "argument")
    for _ in range(2):
        async with started(app) as served:
            assert (await call(served, "state", era=era)).text_content == "42"
    assert events == ["app starts", "server starts", "server stops", "app stops"] * 2


def test_a_failing_start_of_the_app_is_the_apps_own_failure() -> None:
    """M2: the server of the tools is never started."""
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if missing:
            raise ConnectionError("no database")
        yield

    missing = True
    app = FastAPI(lifespan=lifespan)
    mount_mcp(app).server.mount(inner(events))
    with pytest.raises(ConnectionError, match="no database"), TestClient(app):
        pass
    assert events == []


@pytest.mark.parametrize("mistake", ["mark", "selector", "names"])
def test_tools_that_cannot_be_offered_stop_the_start(mistake: str) -> None:
    """M2: loudly, before the first request, and the app's own shutdown is run."""
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with noting(events, "app"):
            yield

    app = FastAPI(lifespan=lifespan)
    extra = {"x-mcp": {"nane": "x"}} if mistake == "mark" else None
    app.add_api_route("/a", lambda: 1, operation_id="same", openapi_extra=extra)
    other = "same" if mistake == "names" else "other"
    if mistake == "names":
        app.add_api_route("/b", lambda: 1, openapi_extra={"x-mcp": {"name": other}})
    mount_mcp(app, exclude=["nothing"] if mistake == "selector" else [])
    with pytest.raises(MountError), TestClient(app):
        pass
    assert events == ["app starts", "app stops"]


def test_a_failing_start_of_the_users_server_stops_the_start() -> None:
    """M2: and the app can be started once what was missing is there."""
    missing = [True]

    @asynccontextmanager
    async def lifespan(server: FastMCP[Any]) -> AsyncIterator[None]:
        if missing:
            raise ConnectionError("no index")
        yield

    app = FastAPI()
    mount_mcp(app).server.mount(FastMCP("inner", lifespan=lifespan))
    with pytest.raises(ConnectionError, match="no index"), TestClient(app):
        pass
    missing.clear()
    with TestClient(app) as client:
        headers, body = envelope("modern", "tools/list")
        assert client.post("/mcp", headers=headers, json=body).status_code == 200


async def test_a_cancelled_lifespan_stops_the_server_before_the_app() -> None:
    """M2: a server that is killed cancels the task; nothing is raised, nothing left running."""
    events: list[str] = []
    app = app_with_lifespan(events, "argument")
    ready = anyio.Event()
    messages = [{"type": "lifespan.startup"}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        ready.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app, {"type": "lifespan", "asgi": {}, "state": {}}, receive, send)
        with anyio.fail_after(30):
            await ready.wait()
        tasks.cancel_scope.cancel()
    assert events == ["app starts", "server starts", "server stops", "app stops"]
    assert (await call(app, "state")).text_content == "42"


async def test_a_server_that_goes_away_while_it_is_told_of_the_start_leaves_nothing() -> None:
    """M2."""
    events: list[str] = []
    app = app_with_lifespan(events, "argument")

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)
    assert events == ["app starts", "server starts", "server stops", "app stops"]


async def test_a_mistake_in_a_late_route_is_told_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """M4: nothing is offered by half, and what to change is said; then all is well again."""
    app = FastAPI()
    app.add_api_route("/one", lambda: 1, operation_id="one")
    mount_mcp(app)
    async with started(app) as served:
        assert set(await tools(served)) == {"one"}
        app.add_api_route("/two", lambda: 2, openapi_extra={"x-mcp": "nonsense"})
        with caplog.at_level(logging.WARNING):
            assert (await rpc(served, "modern", "tools/list")).result["tools"] == []
        assert "'x-mcp' mark of GET /two cannot be read" in caplog.text
        app.router.routes.pop()
        app.openapi_schema = None
        assert set(await tools(served)) == {"one"}


@pytest.mark.parametrize(
    ("count", "warning"),
    [(40, None), (41, "41 tools: models choose badly"), (129, "129 tools: VS Code refuses")],
)
async def test_the_log_tells_at_the_start_when_there_are_too_many_tools(
    count: int, warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """P1."""
    app = FastAPI()
    for number in range(count):
        app.add_api_route(f"/{number}", lambda: 1, operation_id=f"tool_{number}")
    mount_mcp(app)
    async with started(app):
        pass
    records = [record for record in caplog.records if record.name == "mcp_mount"]
    assert [record.levelname for record in records] == (["WARNING"] if warning else [])
    assert (warning or "") in caplog.text


async def test_operations_that_are_no_routes_of_the_app_are_told_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """M5: each call of what only another app's document describes is refused: the log says why."""
    inner, app = FastAPI(), FastAPI()

    @inner.get("/items/{item_id}")
    async def get_item(item_id: str) -> str:
        return item_id

    app.mount("/api", inner)
    app.openapi = inner.openapi  # type: ignore[method-assign]
    mount_mcp(app)
    mount_mcp(inner)
    async with started(app), started(inner):
        pass
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "mcp_mount"]
    assert "are no routes of the app: 1, e.g. GET /items/{item_id}. Every call" in warning
    assert (await call(app, "get_item", {"item_id": "a"})).is_error
    assert not (await call(inner, "get_item", {"item_id": "a"})).is_error
