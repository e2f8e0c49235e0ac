"""Documents as tools and people write them: what was found in the wild, in small."""

from typing import Any

import pytest

from mcp_mount import MountError, proxy_app
from tests.api import api, ok, sent_to
from tests.profile import check_list
from tests.support import call, tools

TEXT = {"type": "string"}


def document(path: str, method: str = "get", **operation: Any) -> dict[str, Any]:
    """A document with one operation, of which nothing is said but what is given."""
    return {"openapi": "3.0.3", "paths": {path: {method: operation}}}


async def test_a_tool_of_which_nothing_is_said_says_what_it_calls() -> None:
    """P1, P3, proxy: some documents have neither summaries nor descriptions."""
    described = document("/items/{id}", operationId="item", description=" \n")
    described["paths"]["/items"] = {"get": {"deprecated": True}}
    listed = await tools(proxy_app(described, "http://localhost:9"))
    check_list(listed)
    assert listed["item"]["description"] == "GET /items/{id}"
    assert listed["get_items"]["description"] == "Deprecated. GET /items"


async def test_a_parameter_without_a_name_is_left_out() -> None:
    """C5, proxy: a tool that imports requests writes the empty rows of their forms, too."""
    rows = [{"name": "", "in": "header"}, {"in": "query"}, {"name": "q", "in": "query"}]
    async with api() as said:
        app = proxy_app(document("/items", operationId="find", parameters=rows), said.url)
        assert {*(await tools(app))["find"]["inputSchema"]["properties"]} == {"q"}
        assert (await call(app, "find", {"q": "x"})).text_content == "here"
    assert said.lines == ["GET /items?q=x"]


@pytest.mark.parametrize("other", ["/rest?method=drop", "/rest#method=drop"])
async def test_operations_that_only_a_query_tells_apart_are_not_offered(other: str) -> None:
    """C5, proxy: any of them could be called as another one, which may be left out."""
    paths = {
        "/rest": {"get": {"operationId": "rest"}},
        other: {"get": {"operationId": "drop"}},
        "/start": {"get": {"operationId": "start"}},
        "/items{?page}": {"get": {"operationId": "items"}},
    }
    described = {"openapi": "3.0.3", "paths": paths}
    for left_out in ("drop", "rest"):
        with pytest.raises(MountError, match=r"/rest.*only a query .* exclude=\['GET /rest"):
            proxy_app(described, "http://localhost:9", exclude=[left_out])
    async with api(sent_to(other), ok()) as said:
        app = proxy_app(described, said.url, exclude=["drop", "rest"])
        assert [*await tools(app)] == ["start", "items"]
        assert "302" in (await call(app, "start")).text_content
    assert said.lines == ["GET /start"]


@pytest.mark.parametrize(
    ("body", "required"),
    [({}, ["name"]), ({"required": True}, ["name"]), ({"required": False}, None)],
)
async def test_what_a_body_needs_is_said_where_a_document_forgets_that_it_is_needed(
    body: dict[str, Any], required: list[str] | None
) -> None:
    """P1, C5, proxy: one document in five says nothing of bodies that no call can do without."""
    model = {"type": "object", "required": ["name"], "properties": {"name": TEXT, "note": TEXT}}
    content = {"application/json": {"schema": model}}
    described = document(
        "/items", "post", operationId="add", requestBody={**body, "content": content}
    )
    async with api() as said:
        app = proxy_app(described, said.url)
        assert (await tools(app))["add"]["inputSchema"].get("required") == required
        reply = await call(app, "add")
        # By the letter nothing is needed, so that the API decides.
        assert reply.is_error == ("required" in body and body["required"])
    assert len(said.requests) == 1 - reply.is_error


async def test_a_body_that_has_a_default_is_not_asked_for() -> None:
    """C5: FastAPI writes the default of a route's body into its schema."""
    model = {"required": ["name"], "properties": {"name": TEXT}, "default": {"name": "x"}}
    body = {"content": {"application/json": {"schema": model}}}
    described = document("/items", "post", operationId="add", requestBody=body)
    listed = await tools(proxy_app(described, "http://localhost:9"))
    assert "required" not in listed["add"]["inputSchema"]


@pytest.mark.parametrize(
    ("media_type", "value", "query"),
    [
        (
            "application/x-www-form-urlencoded",
            {"q": "a b&c", "tag": ["x", 1], "at": {"x": True}, "no": None},
            "q=a%20b%26c&tag=x&tag=1&at=%7B%22x%22%3Atrue%7D",
        ),
        ("application/x-www-form-urlencoded", {}, ""),
        ("application/json", {"q": ["a"]}, "%7B%22q%22%3A%5B%22a%22%5D%7D"),
        ("text/plain", "a=b&c", "a%3Db%26c"),
    ],
)
async def test_the_whole_query_may_be_one_value(media_type: str, value: Any, query: str) -> None:
    """C5, proxy: OpenAPI 3.2 §4.12.1."""
    content = {media_type: {"schema": {"description": "What to find."}}}
    rows = [{"in": "querystring", "name": "filter", "required": True, "content": content}]
    async with api() as said:
        app = proxy_app(document("/items", operationId="find", parameters=rows), said.url)
        schema = (await tools(app))["find"]["inputSchema"]
        assert schema["properties"]["filter"]["description"] == "What to find."
        assert (await call(app, "find", {"filter": value})).text_content == "here"
    assert said.lines == [f"GET /items?{query}".rstrip("?")]


async def test_a_method_may_be_any() -> None:
    """P2, P3, proxy: OpenAPI 3.2 has a place for those that it does not know."""
    others = {
        "COPY": {"operationId": "copy"},
        "head": {},
        "CONNECT": {},
        "x-more": {},
        "LOCK": None,
    }
    described = document("/items", "additionalOperations", **others)
    async with api() as said:
        app = proxy_app(described, said.url)
        listed = await tools(app)
        check_list(listed)
        assert [*listed] == ["copy"]
        assert listed["copy"]["annotations"]["readOnlyHint"] is False
        assert (await call(app, "copy")).text_content == "here"
    assert said.lines == ["COPY /items"]
    described["paths"]["/items"]["additionalOperations"] = {"A B": {}}
    with pytest.raises(MountError, match=r"/items: no request can have the method 'A B'"):
        proxy_app(described, "http://localhost:9")


async def test_an_example_stands_where_nothing_else_is_said() -> None:
    """P4, proxy: of many values it is all that a document tells a model."""
    code = {**TEXT, "example": "BE-7"}
    model = {
        "type": "object",
        "properties": {
            "code": code,
            "codes": {"type": "array", "items": {"type": "integer", "examples": [7, 8]}},
            "said": {**code, "description": "Its code."},
            "known": {**code, "enum": ["BE-7", "BE-8"]},
            "long": {**TEXT, "example": "x" * 100},
            "whole": {"type": "object", "example": {"a": 1}},
        },
    }
    described = document(
        "/items",
        "post",
        operationId="add",
        parameters=[{"name": "q", "in": "query", "schema": TEXT, "example": "é"}],
        requestBody={"content": {"application/json": {"schema": model}}},
    )
    listed = await tools(proxy_app(described, "http://localhost:9"))
    check_list(listed)
    assert listed["add"]["inputSchema"]["properties"] == {
        "q": {**TEXT, "description": 'For example "é".'},
        "code": {**TEXT, "description": 'For example "BE-7".'},
        "codes": {"type": "array", "items": {"type": "integer", "description": "For example 7."}},
        "said": {**TEXT, "description": "Its code."},
        "known": {**TEXT, "enum": ["BE-7", "BE-8"]},
        "long": TEXT,
        "whole": {"type": "object"},
    }
