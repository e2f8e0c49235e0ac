"""No argument changes the method or the path of a call, as some middleware lets a request do."""

from typing import Annotated, Any
from urllib.parse import parse_qs

import pytest
from fastapi import FastAPI, Form, Header, Query
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import mount_mcp
from tests.support import call, tools

OVERRIDES = {
    "x_http_method_override": "x-http-method-override",
    "x_method_override": "x-method-override",
    "x_http_method": "x-http-method",
}


class MethodOverride:
    """Takes the method from a header or the query, as Express, Rails and Symfony can do."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            names = {each.encode() for each in OVERRIDES.values()}
            found = [value.decode() for name, value in scope["headers"] if name in names]
            found += parse_qs(scope["query_string"].decode()).get("_method", [])
            scope = {**scope, "method": found[0] if found else scope["method"]}
        await self.app(scope, receive, send)


def app_with(deleted: list[int]) -> FastAPI:
    """An app that documents its overrides, and whose DELETE is no tool."""
    app = FastAPI()
    app.add_middleware(MethodOverride)

    @app.put("/items/{item}")
    async def update(  # noqa: PLR0917 - that many are there
        item: int,
        name: Annotated[str, Query()] = "",
        x_http_method_override: Annotated[str | None, Header()] = None,
        x_method_override: Annotated[str | None, Header()] = None,
        x_http_method: Annotated[str | None, Header()] = None,
        x_original_url: Annotated[str | None, Header()] = None,
        x_rewrite_url: Annotated[str | None, Header()] = None,
        method: Annotated[str | None, Query(alias="_method")] = None,
    ) -> str:
        return "updated"

    @app.post("/items/{item}")
    async def edit(
        item: int, name: Annotated[str, Form()], method: Annotated[str, Form(alias="_method")] = ""
    ) -> str:
        return f"edited {name}{method}"

    @app.delete("/items/{item}")
    async def remove(item: int) -> None:
        deleted.append(item)

    mount_mcp(app, exclude=["DELETE *"])
    return app


@pytest.mark.parametrize("name", [*OVERRIDES.values(), "_method"])
async def test_an_operation_that_is_left_out_is_not_run_by_another_one(name: str) -> None:
    """C5: what `exclude=` leaves out cannot be reached."""
    deleted: list[int] = []
    app = app_with(deleted)
    reply = await call(app, "update", {"item": 1, name: "DELETE"})
    assert reply.is_error
    assert f"Unknown argument '{name}'" in reply.text_content
    assert (await call(app, "update", {"item": 1})).text_content == '"updated"'
    assert deleted == []


async def test_overrides_of_method_and_path_are_no_arguments() -> None:
    """C4, C5: neither in headers, nor in the query, nor in a form."""
    app = app_with([])
    listed = await tools(app)
    assert {*listed["update"]["inputSchema"]["properties"]} == {"item", "name"}
    assert {*listed["edit"]["inputSchema"]["properties"]} == {"item", "name"}
    assert (await call(app, "edit", {"item": 1, "name": "a"})).text_content == '"edited a"'


FREE: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


@pytest.mark.parametrize(
    "name", ["_method", "_METHOD", ".method", "[method", " .method", "[_method]", "_method]"]
)
async def test_no_object_of_any_names_holds_an_override(name: str) -> None:
    """C5: a filter or a form may have any names but this one, however PHP and Rack may write it."""
    value = {"a": "1", name: "DELETE"}
    app = FastAPI()
    app.add_middleware(MethodOverride)
    deleted: list[int] = []

    @app.get(
        "/items",
        openapi_extra={"parameters": [{"name": "where", "in": "query", "schema": FREE}]},
    )
    async def find() -> str:
        return "found"

    def post(name: str, media_type: str) -> None:
        body = {"content": {media_type: {"schema": FREE}}}

        @app.post(f"/{name}", name=name, openapi_extra={"requestBody": body})
        async def send() -> str:
            return "sent"

    post("form", "application/x-www-form-urlencoded")
    post("parts", "multipart/form-data")

    @app.delete("/items")
    async def remove() -> None:
        deleted.append(1)

    mount_mcp(app, exclude=["DELETE *"])
    for tool, argument in (("find", "where"), ("form", "body"), ("parts", "body")):
        reply = await call(app, tool, {argument: value})
        assert "'_method' cannot be sent" in reply.text_content, tool
    assert (
        await call(app, "find", {"where": {"the_method": "a", "method": "b"}})
    ).text_content == '"found"'
    assert (await call(app, "form", {"body": {"a": "_method=b"}})).text_content == '"sent"'
    assert deleted == []
