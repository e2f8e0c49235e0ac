"""Where the endpoint is, and that nothing else of the app changes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.testclient import TestClient
from fastmcp import FastMCP
from starlette.applications import Starlette
from starlette.staticfiles import StaticFiles

from mcp_mount import TOOL_KEY, MountError, mount_mcp
from tests.starting import started
from tests.support import ERAS, Era, call, http, tools


def items_app(**options: Any) -> FastAPI:
    """Return an app with one route and error handlers of its own."""
    app = FastAPI(title="Items", **options)

    @app.get("/items/{item_id}")
    async def get_item(item_id: int) -> dict[str, int]:
        return {"id": item_id}

    @app.exception_handler(404)
    async def not_found(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"lost": request.url.path}, 404)

    return app


async def ask(app: FastAPI, *requests: tuple[str, str]) -> list[tuple[int, bytes, str | None]]:
    """Send plain requests; return status, body and ``Location`` of each answer."""
    answers = []
    async with http(app) as client:
        for method, path in requests:
            answer = await client.request(method, path)
            answers.append((answer.status_code, answer.content, answer.headers.get("location")))
    return answers


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_the_endpoint_answers_with_and_without_a_slash(era: Era, path: str) -> None:
    """M1: no redirect, which would lose the body or the scheme behind a proxy."""
    app = items_app()
    mount_mcp(app)
    reply = await call(app, "get_item", {"item_id": 3}, era=era, path=path)
    assert reply.status == 200
    assert reply.result["structuredContent"] == {"id": 3}


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_without_sessions_only_post_is_served(path: str) -> None:
    """M1: there is no stream to GET and nothing to DELETE; the answer names what there is."""
    app = items_app()
    mount_mcp(app)
    async with http(app) as client:
        for method in ("GET", "DELETE", "PUT", "HEAD"):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
            assert "location" not in answer.headers


UNTOUCHED = [
    *(("GET", "/nowhere"), ("POST", "/items/3"), ("GET", "/items/three"), ("GET", "/items/3/")),
    *(("GET", "/docs"), ("GET", "/redoc"), ("GET", "/openapi.json"), ("GET", "/")),
    *(("GET", "/mcp/nowhere"), ("GET", "/mcpx"), ("POST", "/mcp/x/"), ("GET", "/docs/")),
]


async def test_the_rest_of_the_app_is_what_it_was_byte_for_byte() -> None:
    """M1: its 404 and 405 bodies, its docs, its OpenAPI document, its redirects."""
    app = items_app()
    mount_mcp(app)
    assert await ask(app, *UNTOUCHED) == await ask(items_app(), *UNTOUCHED)


def test_the_endpoint_has_no_name_and_is_in_no_document() -> None:
    """M1."""
    app = items_app()
    mount_mcp(app)
    assert app.openapi() == items_app().openapi()
    assert app.url_path_for("get_item", item_id=3) == "/items/3"


def catch_all(app: FastAPI) -> None:
    @app.get("/{path:path}", include_in_schema=False)
    async def everything(path: str) -> PlainTextResponse:
        return PlainTextResponse(f"caught {path}")


def mounted_at_root(app: FastAPI) -> None:
    async def site(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("site")(scope, receive, send)

    app.mount("/", site)


def static_files(app: FastAPI) -> None:
    app.mount("/", StaticFiles(directory=Path(__file__).parent, html=True))


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("greedy", [catch_all, mounted_at_root, static_files])
@pytest.mark.parametrize("first", [True, False])
async def test_a_route_for_everything_takes_nothing_from_the_endpoint(
    era: Era, greedy: Callable[[FastAPI], None], *, first: bool
) -> None:
    """M1: whether it is added before or after, and it keeps everything else."""
    app, plain = items_app(), items_app()
    if first:
        greedy(app)
    mount_mcp(app)
    if not first:
        greedy(app)
    greedy(plain)
    for path in ("/mcp", "/mcp/"):
        reply = await call(app, "get_item", {"item_id": 3}, era=era, path=path)
        assert reply.result["structuredContent"] == {"id": 3}
    requests = (("GET", "/nowhere"), ("GET", "/test_mounting.py"), ("GET", "/"), ("PUT", "/x"))
    assert await ask(app, *requests) == await ask(plain, *requests)


@pytest.mark.parametrize(
    "path", ["", "mcp", "/", "/mcp/", "/{id}", "//mcp", "/mcp?x", "/a b", "/a%20b"]
)
def test_a_path_that_cannot_be_the_endpoint_is_refused(path: str) -> None:
    """M1: the error says how to write it."""
    with pytest.raises(MountError, match="path= must be a path written like '/mcp'"):
        mount_mcp(FastAPI(), path=path)


def other_server(path: str) -> Starlette:
    """Return an MCP server of somebody else's, that serves at a path."""
    return FastMCP("Other").http_app(path=path)


def test_a_path_at_which_another_app_is_mounted_is_refused() -> None:
    """M1, M8: the endpoint comes first, and would hide it."""
    app = items_app()
    app.mount("/mcp", other_server("/"))
    with pytest.raises(MountError, match=r"mounted something at '/mcp'.* choose another path="):
        mount_mcp(app)
    mount_mcp(app, path="/tools", sse_path=None)
    with pytest.raises(MountError, match=r"mounted something at '/mcp'.* choose another sse_path="):
        mount_mcp(app, path="/more", sse_path="/mcp")


def test_a_mount_at_the_path_that_comes_later_stops_the_start() -> None:
    """M1, M8."""
    app = items_app()
    mount_mcp(app)
    app.mount("/mcp", other_server("/"))
    with pytest.raises(MountError, match="mounted something at '/mcp'"), TestClient(app):
        pass


@pytest.mark.parametrize(
    ("at", "inner", "path", "is_hidden"),
    [
        ("/", "/mcp", "/mcp", True),
        ("/ai", "/mcp", "/ai/mcp", True),
        ("/", "/other", "/mcp", False),
        ("/mcp/files", "/", "/mcp", False),
        ("/mcpx", "/", "/mcp", False),
    ],
)
async def test_a_mount_that_serves_the_same_path_is_told_of_once(
    at: str,
    inner: str,
    path: str,
    is_hidden: bool,  # noqa: FBT001
    caplog: pytest.LogCaptureFixture,
) -> None:
    """M8: before it or behind it, the endpoint comes first, and what it hides stands in the log."""
    app = items_app()
    app.mount(at, other_server(inner))
    mount_mcp(app, path=path)
    async with started(app):
        assert set(await tools(app, path=path)) == {"get_item"}
    hidden = [each.message for each in caplog.records if "hides what is mounted" in each.message]
    assert [f"mounted at {at!r}" in message for message in hidden] == [True] * is_hidden


def test_a_path_is_taken_once() -> None:
    """M1."""
    app = FastAPI()
    mount_mcp(app)
    mount_mcp(app, path="/other")
    with pytest.raises(MountError, match=r"'/mcp' already"):
        mount_mcp(app)


async def test_an_app_that_has_started_is_refused() -> None:
    """M1: its middleware could no longer be changed."""
    app = items_app()
    await ask(app, ("GET", "/"))
    with pytest.raises(MountError, match="already started"):
        mount_mcp(app)


@pytest.mark.parametrize("era", ERAS)
async def test_two_endpoints_offer_each_their_own_choice(era: Era) -> None:
    """M1: and no tool calls an endpoint, which is no operation."""
    app = items_app()

    @app.get("/health")
    async def health() -> str:
        return "ok"

    mount_mcp(app)
    mount_mcp(app, path="/tools/mcp", include=["health"])
    assert set(await tools(app, era=era)) == {"get_item", "health"}
    assert set(await tools(app, era=era, path="/tools/mcp")) == {"health"}


@pytest.mark.parametrize("era", ERAS)
async def test_routes_added_later_are_in_the_next_list(era: Era) -> None:
    """M4: routes, and routes of routers that were included before."""
    app = items_app()
    router = APIRouter(prefix="/parts")
    app.include_router(router)
    mount_mcp(app)
    assert set(await tools(app, era=era)) == {"get_item"}

    @app.get("/health")
    async def health() -> str:
        return "ok"

    assert set(await tools(app, era=era)) == {"get_item", "health"}

    @router.get("/{part_id}")
    async def get_part(part_id: int) -> int:
        return part_id

    assert set(await tools(app, era=era)) == {"get_item", "health", "get_part"}
    assert (await call(app, "get_part", {"part_id": 1}, era=era)).text_content == "1"

    late = APIRouter()
    late.add_api_route("/late", health, operation_id="late")
    app.include_router(late)
    assert (await call(app, "late", era=era)).text_content == '"ok"'


CURATED: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "9", "description": "What is for sale."},
    "paths": {
        "/items/{item_id}": {
            "get": {
                "operationId": "look_up_item",
                "summary": "Look up an item by its number.",
                "parameters": [
                    {
                        "name": "item_id",
                        "in": "path",
                        "required": True,
                        "schema": {"type": "integer", "maximum": 99},
                    }
                ],
                "responses": {},
            }
        },
        "/orders/{order_id}": {"get": {"operationId": "get_order", "responses": {}}},
    },
}


@pytest.fixture(params=["mapping", "path", "text"])
def curated(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(CURATED), "utf-8")
    return {"mapping": CURATED, "path": file, "text": str(file)}[request.param]


@pytest.mark.parametrize("era", ERAS)
async def test_a_document_of_ones_own_describes_the_apps_routes(era: Era, curated: Any) -> None:
    """M1, C1: its words and its choice of operations; the calls stay in process."""
    app = items_app()

    @app.middleware("http")
    async def mark(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        if (tool := request.scope.get(TOOL_KEY)) is not None:
            response.headers["etag"] = f'"{tool}"'
        return response

    @app.get("/secret")
    async def secret() -> None: ...

    server = mount_mcp(app, openapi=curated).server
    assert (server.name, server.version, server.instructions) == ("Shop", "9", "What is for sale.")
    listed = await tools(app, era=era)
    assert set(listed) == {"look_up_item", "get_order"}
    assert listed["look_up_item"]["description"] == "Look up an item by its number."
    assert listed["look_up_item"]["inputSchema"]["properties"]["item_id"]["maximum"] == 99
    reply = await call(app, "look_up_item", {"item_id": 3}, era=era)
    assert reply.text_content == '{"id":3}'
    assert '"look_up_item"' in str(reply.result["_meta"])


async def test_operations_of_ones_own_document_that_are_no_routes_are_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """M8: at the start, as for a document that the app writes itself."""
    app = items_app()
    mount_mcp(app, openapi=CURATED)
    async with started(app):
        pass
    (warning,) = [each.message for each in caplog.records if "no routes" in each.message]
    assert "are no routes of the app: 1, e.g. GET /orders/{order_id}." in warning


async def test_a_route_that_is_added_later_is_noticed_beside_ones_own_document() -> None:
    """C5: it takes a path from an operation of the document, whose values lead there no more."""
    app = FastAPI()
    router = APIRouter(prefix="/items")

    @router.get("/{item_id}")
    async def get_item(item_id: str) -> dict[str, str]:
        return {"id": item_id}

    first = APIRouter(prefix="/items")
    app.include_router(first)
    app.include_router(router)
    document = json.loads(json.dumps(CURATED))
    (item_id,) = document["paths"]["/items/{item_id}"]["get"]["parameters"]
    item_id["schema"] = {"type": "string"}
    mount_mcp(app, openapi=document)
    assert (await call(app, "look_up_item", {"item_id": "all"})).text_content == '{"id":"all"}'

    @first.get("/all", include_in_schema=False)
    async def everything() -> str:
        return "not meant"

    refused = await call(app, "look_up_item", {"item_id": "all"})
    assert refused.is_error
    assert "leads to another operation" in refused.text_content
