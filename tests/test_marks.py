"""What `tools=` says of operations by their selectors, and what a mark's `tags` and `meta` do."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from mcp_mount import InvalidMark, InvalidSelector, MountError, mount_mcp, proxy_app
from mcp_mount.flags import read_tools
from tests.support import ERAS, Era, call, rpc, tools

UI = {"ui": {"resourceUri": "ui://parts/table"}}


def parts() -> FastAPI:
    app = FastAPI(title="Parts")
    router = APIRouter(tags=["parts"])

    @router.post("/search", operation_id="search")
    async def search() -> str:
        return "found"

    @router.post(
        "/search/near",
        operation_id="search_near",
        openapi_extra={
            "x-mcp": {"title": "Own", "annotations": {"idempotentHint": True}, "tags": ["near"]}
        },
    )
    async def near() -> str:
        return "near"

    @router.get("/hidden", operation_id="hidden", openapi_extra={"x-mcp": False})
    async def hidden() -> str:
        return "hidden"

    @app.get("/table", operation_id="table", openapi_extra={"x-mcp": {"meta": UI}})
    async def table() -> list[str]:
        return ["a"]

    app.include_router(router)
    return app


@pytest.mark.parametrize("era", ERAS)
async def test_operations_are_marked_in_bulk(era: Era) -> None:
    """Key by key, before the operation's own mark, and the last one that matches."""
    app = parts()
    marks: dict[Any, dict[str, Any]] = {
        "POST /search*": {"annotations": {"readOnlyHint": True}, "title": "Search"},
        "search_near": {"title": "Search near", "name": "near", "description": "Look around."},
    }
    mount_mcp(app, tools=marks)
    listed = await tools(app, era=era)
    assert {*listed} == {"search", "near", "table"}
    assert listed["search"]["title"] == "Search"
    assert listed["search"]["annotations"]["readOnlyHint"] is True
    assert listed["near"]["title"] == "Search near"
    assert listed["near"]["description"] == "Look around."
    assert listed["near"]["annotations"]["readOnlyHint"] is True
    assert listed["near"]["annotations"]["idempotentHint"] is True
    assert (await call(app, "near", era=era)).text_content == '"near"'


async def test_a_tag_of_a_mark_is_one_that_selectors_know() -> None:
    app = parts()
    mount_mcp(app, tools={"/search": {"tags": ["public"]}}, include=["tag:public", "tag:near"])
    assert {*await tools(app)} == {"search", "search_near"}
    app = parts()
    server = mount_mcp(app, tools={"tag:near": {"name": "nearby"}}, include=["nearby"]).server
    (tool,) = await server.list_tools()
    assert (tool.name, tool.tags) == ("nearby", {"parts", "near"})


async def test_a_callable_selects_what_gets_limits() -> None:
    app = parts()
    mount_mcp(app, tools={lambda each: each.path == "/search": {"limits": {"max_bytes": 3}}})
    assert "limit of 3 bytes" in (await call(app, "search")).text_content


@pytest.mark.parametrize("era", ERAS)
async def test_meta_makes_an_app_of_a_route(era: Era) -> None:
    """MCP Apps: `_meta.ui` names the resource that shows the tool's result."""
    app = parts()
    mounted = mount_mcp(app, tools={"search": {"meta": {"x": 1}}, "/search": {"meta": UI}})

    @mounted.server.resource("ui://parts/table", mime_type="text/html;profile=mcp-app")
    def page() -> str:
        return "<table></table>"

    listed = await tools(app, era=era)
    assert listed["table"]["_meta"] == UI
    assert listed["search"]["_meta"] == {"x": 1, **UI}
    assert "_meta" not in listed["search_near"]
    uri = "ui://parts/table"
    read = await rpc(app, era, "resources/read", {"uri": uri}, headers={"mcp-name": uri})
    (content,) = read.result["contents"]
    assert content["mimeType"] == "text/html;profile=mcp-app"
    assert content["text"] == "<table></table>"


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({"search": {"titel": "x"}}, "tools= says of 'search' cannot be read.*`titel`.*title"),
        ({"search": False}, "tools= says of 'search' cannot be read: Expected `object`"),
        (
            {"search": {"meta": {"x": "y" * 100_000}}},
            "'search' is too large: .* 100,000 characters",
        ),
        ({"search": {"name": "a b"}}, "tools= says of 'search' names the tool 'a b'. Use letters"),
        ({"search": {"limits": {"timeout": -1}}}, "tools= says of 'search' is no limit: "),
        ({"search": {"meta": {"x": {1}}}}, "tools= says of 'search' cannot be read: .*set"),
        (["search"], "tools= must be a mapping such as"),
    ],
)
def test_a_wrong_mark_is_refused_where_it_is_given(marks: Any, message: str) -> None:
    with pytest.raises(MountError, match=message):
        mount_mcp(parts(), tools=marks)


@pytest.mark.parametrize("selector", ["serach", "hidden"])
def test_a_selector_of_marks_that_matches_nothing_is_refused(selector: str) -> None:
    """A hidden operation stays hidden, and is not there to be marked."""
    app = parts()
    mount_mcp(app, tools={selector: {"title": "x"}})
    with (
        pytest.raises(InvalidSelector, match=f"{selector!r} matches no operation"),
        TestClient(app),
    ):
        pytest.fail("it has started")


def test_a_mark_that_is_no_json_is_refused() -> None:
    with pytest.raises(InvalidMark, match="cannot be read"):
        mount_mcp(parts(), tools={"search": {"meta": {"x": float("nan")}}})


async def test_a_proxy_reads_marks_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tools.json"
    file.write_text(json.dumps({"/table": {"title": "Table"}}), "utf-8")
    app = proxy_app(parts().openapi(), "http://localhost:9", tools=read_tools(file))
    assert (await tools(app))["table"]["title"] == "Table"
    assert read_tools(None) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "cannot be read: No such file"), ("{", "is no JSON"), ("[]", "holds no mapping")],
)
def test_a_file_of_marks_that_cannot_be_used_says_so(
    tmp_path: Path, text: str | None, message: str
) -> None:
    file = tmp_path / "tools.json"
    if text is not None:
        file.write_text(text, "utf-8")
    with pytest.raises(MountError, match=message):
        read_tools(file)
