"""What other packages drop, rename or leave out between the app and its tools."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastmcp.utilities.asgi_transport import run_asgi_lifespan
from pydantic import BaseModel

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, call, connected, tools


class Options(BaseModel):
    color: str | None = "red"
    size: int | None = None


def options_app() -> FastAPI:
    """Return an app that answers with what it was really sent."""
    app = FastAPI()

    @app.post("/options")
    async def choose(options: Options) -> dict[str, Any]:
        return options.model_dump(exclude_unset=True)

    @app.patch("/options")
    async def change(options: Options) -> dict[str, Any]:
        return options.model_dump(exclude_unset=True)

    mount_mcp(app)
    return app


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["choose", "change"])
async def test_an_explicit_null_is_sent(era: Era, tool: str) -> None:
    """C5: it was dropped, and the default took its place."""
    reply = await call(options_app(), tool, {"color": None}, era=era)
    assert reply.result["structuredContent"] == {"color": None}


@pytest.mark.parametrize("era", ERAS)
async def test_a_body_of_defaults_is_sent_empty(era: Era) -> None:
    """C5: no body was sent at all, and the route answered 422."""
    reply = await call(options_app(), "choose", era=era)
    assert reply.result["structuredContent"] == {}


@pytest.mark.parametrize("era", ERAS)
async def test_unknown_arguments_are_refused_with_the_known_ones(era: Era) -> None:
    """C5, X3: they were dropped without a word, and the model believed that they counted."""
    reply = await call(options_app(), "choose", {"colour": "blue"}, era=era)
    assert reply.is_error
    assert reply.text_content == "Unknown argument 'colour'. The tool takes: 'color', 'size'."


@pytest.mark.parametrize("era", ERAS)
async def test_names_are_kept_whole(era: Era) -> None:
    """P2: names were cut at `__`, told apart by `_2`, or came out empty."""
    app = FastAPI()
    for name in ("get_user__post", "orders__list", "orders__create", "__private"):

        async def answer(name: str = name) -> str:
            return name

        app.get(f"/{name}", operation_id=name)(answer)

    mount_mcp(app)
    listed = await tools(app, era=era)
    assert set(listed) == {"get_user__post", "orders__list", "orders__create", "private"}
    async with connected(app, era) as client:
        for name in listed:
            result = await client.call_tool(name)
            assert result.structured_content is not None
            assert result.structured_content["result"].strip("_") == name


@pytest.mark.parametrize("era", ERAS)
async def test_names_that_clash_are_told_apart_by_their_path_in_any_order(era: Era) -> None:
    """P2: the second of two was `_2`, whichever came second."""

    def router(prefix: str) -> APIRouter:
        made = APIRouter(prefix=prefix)

        @made.get("")
        async def find() -> str:
            return prefix

        return made

    seen = []
    for order in (("/users", "/orders"), ("/orders", "/users")):
        app = FastAPI()
        for prefix in order:
            app.include_router(router(prefix))
        mount_mcp(app)
        seen.append(set(await tools(app, era=era)))
    assert seen[0] == seen[1] == {"find_users", "find_orders"}


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")
@pytest.mark.parametrize("era", ERAS)
async def test_head_and_options_are_no_tools(era: Era) -> None:
    """P2: each of them became one."""
    app = FastAPI()

    @app.api_route("/item", methods=["GET", "HEAD", "OPTIONS"])
    async def item() -> str:
        return "item"

    @app.head("/ping")
    @app.options("/ping")
    async def ping() -> None: ...

    mount_mcp(app)
    assert [*await tools(app, era=era)] == ["item"]


@pytest.mark.parametrize("era", ERAS)
async def test_routes_added_later_appear_and_can_be_called(era: Era) -> None:
    """M4: the list was that of the moment of mounting."""
    app = FastAPI()
    mount_mcp(app)
    async with run_asgi_lifespan(app):
        assert not await tools(app, era=era)

        @app.get("/late")
        async def late() -> str:
            return "late"

        assert [*await tools(app, era=era)] == ["late"]
        reply = await call(app, "late", era=era)
    assert reply.result["structuredContent"] == {"result": "late"}
