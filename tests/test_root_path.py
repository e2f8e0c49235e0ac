"""M5: where the app is served below a prefix, by whichever convention, its URLs are right."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, call, http, tools

Writing = Literal["whole path", "stripped path"]
WRITINGS: tuple[Writing, ...] = ("whole path", "stripped path")


def urls_app(**options: Any) -> FastAPI:
    """Return an app whose tools tell which URLs they see and make."""
    app = FastAPI(**options)
    router = APIRouter(prefix="/v1")

    @router.get("/items/{item_id}")
    async def get_item(request: Request, item_id: int) -> dict[str, str]:
        return {
            "own": str(request.url),
            "other": str(request.url_for("get_item", item_id=item_id + 1)),
            "base": str(request.base_url),
            "root_path": request.scope["root_path"],
        }

    @router.get("/latest", status_code=307)
    async def latest(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("get_item", item_id=9))

    @router.get("/slash/", operation_id="slash")
    async def slash() -> str:
        return "slash"

    app.include_router(router)
    mount_mcp(app)
    return app


def behind(app: ASGIApp, root_path: str, writing: Writing) -> ASGIApp:
    """Serve `app` at `root_path` as servers do: with the prefix in ``path``, or cut from it."""

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "root_path": root_path}
            if writing == "stripped path":
                scope["path"] = scope["path"].removeprefix(root_path)
                scope["raw_path"] = scope["raw_path"].removeprefix(root_path.encode())
        await app(scope, receive, send)

    return server


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("path", ["/api/mcp", "/api/mcp/"])
async def test_a_server_that_gives_the_whole_path(era: Era, path: str) -> None:
    """M5: `uvicorn --root-path /api` behind a proxy that keeps the prefix."""
    app = behind(urls_app(), "/api", "whole path")
    reply = await call(app, "get_item", {"item_id": 3}, era=era, path=path)
    assert reply.result["structuredContent"] == {
        "own": "http://localhost:8000/api/v1/items/3",
        "other": "http://localhost:8000/api/v1/items/4",
        "base": "http://localhost:8000/api/",
        "root_path": "/api",
    }


# Newer releases of FastAPI want the server to tell it.
@pytest.mark.filterwarnings("ignore::fastapi.exceptions.FastAPIDeprecationWarning")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_a_root_path_of_the_apps_own_behind_a_proxy_that_strips_it(
    era: Era, path: str
) -> None:
    """M5: `FastAPI(root_path="/api")`; links hold the prefix though the request does not."""
    app = urls_app(root_path="/api")
    reply = await call(app, "get_item", {"item_id": 3}, era=era, path=path)
    assert reply.result["structuredContent"]["other"] == "http://localhost:8000/api/v1/items/4"
    assert reply.result["structuredContent"]["root_path"] == "/api"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("writing", WRITINGS)
async def test_the_route_sees_what_it_sees_over_rest(era: Era, writing: Writing) -> None:
    """M5: whatever the server's convention, the inner request follows it."""
    app = behind(urls_app(), "/api", writing)
    async with http(app) as client:
        over_rest = (await client.get("/api/v1/items/3")).json()
    reply = await call(app, "get_item", {"item_id": 3}, era=era, path="/api/mcp")
    assert reply.result["structuredContent"] == over_rest


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("root_path", ["", "/api", "/api/v1"])
async def test_redirects_below_a_prefix_are_followed(
    era: Era, writing: Writing, root_path: str
) -> None:
    """M5: absolute ones, made with `url_for`."""
    app = behind(urls_app(), root_path, writing)
    reply = await call(app, "latest", era=era, path=f"{root_path}/mcp")
    assert not reply.is_error
    assert '"own":"http://localhost:8000' in reply.text_content
    assert "/v1/items/9" in reply.text_content


@pytest.mark.parametrize("era", ERAS)
async def test_a_sub_application_keeps_its_parents_middleware(era: Era) -> None:
    """M5, C2: mounted in a parent, the endpoint and the tools are behind what guards the mount."""
    sub = urls_app()
    parent = FastAPI()
    seen = []

    class Guard:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                seen.append(scope["path"])
            await self.app(scope, receive, send)

    parent.add_middleware(Guard)
    parent.mount("/sub", sub)
    reply = await call(parent, "get_item", {"item_id": 3}, era=era, path="/sub/mcp")
    assert reply.result["structuredContent"] == {
        "own": "http://localhost:8000/sub/v1/items/3",
        "other": "http://localhost:8000/sub/v1/items/4",
        "base": "http://localhost:8000/sub/",
        "root_path": "/sub",
    }
    assert seen == ["/sub/mcp"]
    assert not (await call(parent, "latest", era=era, path="/sub/mcp")).is_error


@pytest.mark.parametrize("era", ERAS)
async def test_a_sub_application_with_a_lifespan_that_is_never_run_works(era: Era) -> None:
    """M5, M3: Starlette runs no lifespan of what is mounted."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runs.append("sub")
        yield

    runs: list[str] = []
    parent = FastAPI()
    sub = urls_app(lifespan=lifespan)
    parent.mount("/sub", sub)
    async with parent.router.lifespan_context(parent):
        assert "get_item" in await tools(parent, era=era, path="/sub/mcp")
        assert not (await call(parent, "slash", era=era, path="/sub/mcp/")).is_error
    assert runs == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_parents_endpoint_leaves_a_mounted_one_alone(era: Era) -> None:
    """M5: each offers its own operations."""
    parent = FastAPI()

    @parent.get("/health")
    async def health() -> str:
        return "ok"

    mount_mcp(parent)
    parent.mount("/sub", urls_app())
    assert set(await tools(parent, era=era)) == {"health"}
    assert set(await tools(parent, era=era, path="/sub/mcp")) == {"get_item", "latest", "slash"}


@pytest.mark.parametrize("era", ERAS)
async def test_nested_routers_with_prefixes_and_dependencies(era: Era) -> None:
    """M5: and a router's dependencies hold for its tools."""

    def key(x_api_key: str = Header()) -> None:
        if x_api_key != "right":
            raise HTTPException(401, "No.")

    inner = APIRouter(prefix="/{tenant}")
    outer = APIRouter(prefix="/tenants", dependencies=[Depends(key)])

    @inner.get("/parts/{part_id}")
    async def get_part(tenant: str, part_id: int) -> str:
        return f"{tenant}/{part_id}"

    outer.include_router(inner)
    app = FastAPI()
    app.include_router(outer, prefix="/api")
    mount_mcp(app)
    arguments = {"tenant": "acme", "part_id": 3}
    refused = await call(app, "get_part", arguments, era=era, headers={"x-api-key": "wrong"})
    assert refused.text_content.startswith("401 Unauthorized")
    allowed = await call(app, "get_part", arguments, era=era, headers={"x-api-key": "right"})
    assert allowed.text_content == '"acme/3"'
