"""Halves of characters, which JSON can hold and no encoder writes, in what is offered."""

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query

from mcp_mount import API, MountError, gateway_app, mount_mcp, proxy_app
from mcp_mount.openapi.document import load_document
from tests.support import ERAS, LEGACY, Era, connected, rpc
from tests.test_app_commands import Shell
from tests.test_page import findings

HALF = "a\ud800b"
MENDED = "a\ufffdb"
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": HALF, "version": HALF, "description": HALF},
    "paths": {
        "/parts": {
            "get": {
                "operationId": "list_parts",
                "summary": HALF,
                "description": f"Lists \ud83d\ude00 {HALF}.",
                "parameters": [
                    {
                        "name": HALF,
                        "in": "query",
                        "description": HALF,
                        "schema": {"type": "string", "enum": [HALF, "😀"], "default": HALF},
                    }
                ],
                "responses": {},
                "x-mcp": {"meta": {HALF: HALF}},
            }
        }
    },
}
OWN = r"""
from fastapi import FastAPI
from mcp_mount import mount_mcp

app = FastAPI()
mount_mcp(app).server.tool(lambda: "", name="own", description="a\ud800b")
"""


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def saved(folder: Path) -> Path:
    path = folder / "openapi.json"
    path.write_text(json.dumps(DOCUMENT), "utf-8")
    return path


async def check_list(app: FastAPI, era: Era, name: str = "list_parts") -> None:
    async with connected(app, era) as client:
        (found,) = await client.list_tools()
    assert (found.name, found.title) == (name, MENDED)
    assert found.description is not None
    assert found.description.endswith(f"Lists 😀 {MENDED}.")
    (argument,) = found.input_schema["properties"].values()
    assert (argument["enum"], argument["default"]) == ([MENDED, "😀"], MENDED)
    assert found.meta in ({MENDED: MENDED}, {"a": MENDED})


async def check_server(app: FastAPI, era: Era) -> None:
    about = {"clientInfo": {"name": "x", "version": "1"}, "capabilities": {}}
    if era == "modern":
        result = (await rpc(app, era, "server/discover")).result
        server = result["_meta"]["io.modelcontextprotocol/serverInfo"]
    else:
        said = {"protocolVersion": LEGACY, **about}
        result = (await rpc(app, era, "initialize", said)).result
        server = result["serverInfo"]
    assert (server["name"], server["version"]) == (MENDED, MENDED)
    assert result["instructions"] == MENDED


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("is_file", [True, False])
async def test_the_list_of_a_proxy_can_be_read(tmp_path: Path, era: Era, *, is_file: bool) -> None:
    source = saved(tmp_path) if is_file else DOCUMENT
    app = proxy_app(source, "http://localhost:9")
    await check_list(app, era)
    await check_server(app, era)


@pytest.mark.parametrize("era", ERAS)
async def test_the_list_of_a_gateway_can_be_read(era: Era) -> None:
    app = gateway_app([API("shop", openapi=DOCUMENT, upstream="http://localhost:9")])
    await check_list(app, era, "shop_list_parts")


def parts_app() -> FastAPI:
    """Return an app that says halves of characters wherever an app can."""
    app = FastAPI(title=HALF, version=HALF, description=HALF)
    said: dict[str, Any] = {"enum": [HALF, "😀"]}

    @app.get(
        "/parts",
        operation_id="list_parts",
        summary=HALF,
        description=f"Lists \ud83d\ude00 {HALF}.",
        openapi_extra={"x-mcp": {"meta": {"a": HALF}}},
    )
    async def parts(part: Annotated[str, Query(json_schema_extra=said)] = HALF) -> str:
        return part

    return app


@pytest.mark.parametrize("era", ERAS)
async def test_the_list_and_the_page_of_an_app_can_be_read(era: Era) -> None:
    app = parts_app()
    mount_mcp(app)
    await check_list(app, era)
    (found,) = (await findings(app))["tools"]
    assert found["name"] == "list_parts"
    await check_server(app, era)
    async with connected(app, era) as client:
        assert (await client.call_tool("list_parts", {"part": MENDED})).data.result == MENDED
    app.add_api_route("/late", lambda: "", operation_id="late", summary=HALF)
    async with connected(app, era) as client:
        assert [each.title for each in await client.list_tools()] == [MENDED, MENDED]


@pytest.mark.parametrize("era", ERAS)
async def test_a_document_that_an_app_writes_itself_can_be_read(
    monkeypatch: pytest.MonkeyPatch, era: Era
) -> None:
    app = FastAPI()
    mount_mcp(app)
    monkeypatch.setattr(app, "openapi", lambda: json.loads(json.dumps(DOCUMENT)))
    await check_list(app, era)


async def test_the_page_bears_them_in_a_tool_of_somebodys_own() -> None:
    app = FastAPI()
    mount_mcp(app).server.tool(lambda: "", name="own", description=HALF)
    (found,) = (await findings(app))["tools"]
    assert found["name"] == "own"


@pytest.mark.parametrize("command", ["list", "check", "export"])
def test_commands_show_a_tool_of_somebodys_own_with_them(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN, "utf-8")
    ran = shell(command, "own.py")
    assert ran.code in {0, 1}
    assert "own" in ran.out


@pytest.mark.parametrize("era", ERAS)
async def test_a_list_with_what_tools_says_can_be_read(era: Era) -> None:
    app = FastAPI()
    app.add_api_route("/parts", lambda: "", operation_id="list_parts")
    said = {"title": HALF, "description": HALF, "meta": {HALF: (HALF,)}, "tags": (HALF,)}
    mount_mcp(app, tools={"list_parts": said})
    async with connected(app, era) as client:
        (found,) = await client.list_tools()
    assert (found.title, found.description, found.meta) == (MENDED, MENDED, {MENDED: [MENDED]})


def test_halves_of_characters_in_yaml_are_mended_where_they_stand(tmp_path: Path) -> None:
    """Not once for each alias of a text: the document would take more than there is."""
    path = tmp_path / "openapi.yaml"
    long, aliases = "y" * 100_000, ", ".join(["*a"] * 20_000)
    lines = [
        "openapi: 3.1.0",
        rf'"x\ud800": &a "\ud83d\ude00{long}\udc00"',
        f"x-b: [{aliases}]",
        "",
    ]
    path.write_text("\n".join(lines), "utf-8")
    document = load_document(path)
    assert document["x\ufffd"] == f"😀{long}\ufffd"
    assert {id(each) for each in document["x-b"]} == {id(document["x\ufffd"])}


def test_a_mapping_that_holds_itself_is_refused() -> None:
    document = {**DOCUMENT}
    document["x-self"] = document
    with pytest.raises(MountError, match="holds itself, or is nested too deeply"):
        load_document(document)


@pytest.mark.parametrize("command", ["list", "check", "export"])
def test_commands_read_documents_with_them(shell: Shell, tmp_path: Path, command: str) -> None:
    ran = shell(command, str(saved(tmp_path)))
    assert ran.code in {0, 1}
    assert "list_parts" in ran.out
