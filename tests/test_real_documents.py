"""Documents as tools and people write them: what was found in the wild, in small."""

from typing import Any

from mcp_mount import proxy_app
from tests.api import api
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
