"""What other packages break on the way from a model to a route, and this one does not."""

from base64 import b64decode, b64encode
from typing import Annotated, Any, Literal

import pytest
from fastapi import Body, FastAPI, Request, Response, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import BlobResourceContents, EmbeddedResource, ImageContent, TextContent
from pydantic import BaseModel
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mcp_mount import mount_mcp
from tests.support import ERAS, MODERN, Era, call, connected, http, rpc, tools


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_neither_form_of_the_path_is_redirected_behind_tls(era: Era, path: str) -> None:
    """M1: `/mcp` or `/mcp/` answered 307, and behind TLS sent the caller to `http://`."""
    app = FastAPI()

    @app.get("/item")
    async def get_item() -> dict[str, int]:
        return {"id": 3}

    mount_mcp(app)
    # The proxy speaks TLS; the server itself is reached over plain HTTP.
    reply = await call(app, "get_item", era=era, path=path, headers={"host": "api.example"})
    assert reply.status == 200
    assert "location" not in reply.headers
    assert reply.result["structuredContent"] == {"id": 3}


async def test_the_apps_own_404_and_405_stay_its_own() -> None:
    """M1: a mount at the root swallowed them."""
    app = FastAPI()

    @app.get("/item")
    async def get_item() -> dict[str, int]:
        return {"id": 3}

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def lost(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"lost": request.url.path}, getattr(error, "status_code", 0))

    mount_mcp(app)
    async with http(app) as client:
        missing, refused = await client.get("/nowhere"), await client.post("/item")
    assert (missing.status_code, missing.json()) == (404, {"lost": "/nowhere"})
    assert (refused.status_code, refused.json()) == (405, {"lost": "/item"})


@pytest.mark.parametrize("era", ERAS)
async def test_middleware_that_checks_host_and_scheme_sees_the_callers(era: Era) -> None:
    """C2: with an invented host and scheme, these two made every call fail."""
    app = FastAPI()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["api.example"])
    app.add_middleware(HTTPSRedirectMiddleware)

    @app.get("/url")
    async def url(request: Request) -> str:
        return str(request.url)

    mount_mcp(app)
    reply = await call(app, "url", era=era, base_url="https://api.example")
    assert not reply.is_error
    assert reply.text_content == '"https://api.example/url"'


@pytest.mark.parametrize("era", ERAS)
async def test_tools_say_what_they_do_and_the_server_is_the_app(era: Era) -> None:
    """P3: no annotations, no word of deprecation, and another version than the app's."""
    app = FastAPI(title="Items", version="4.5.6", description="Sells items.")

    @app.get("/items", summary="List items")
    async def list_items() -> list[str]:
        return []

    @app.delete("/items/{item_id}", deprecated=True, description="Remove an item.")
    async def remove(item_id: int) -> None: ...

    mount_mcp(app)
    listed = await tools(app, era=era)
    hints = {name: tool["annotations"] for name, tool in listed.items()}
    assert hints["list_items"]["readOnlyHint"]
    assert not hints["remove"]["readOnlyHint"]
    assert (hints["remove"]["destructiveHint"], hints["remove"]["idempotentHint"]) == (True, True)
    assert not any(hint["openWorldHint"] for hint in hints.values())
    assert listed["list_items"]["title"] == "List items"
    assert listed["remove"]["description"].startswith("Deprecated. ")
    about = await server_info(app, era)
    assert (about["name"], about["version"]) == ("Items", "4.5.6")


async def server_info(app: FastAPI, era: Era) -> dict[str, Any]:
    """Return what the server says it is: on opening, or with each result."""
    if era == "modern":
        listed = await rpc(app, era, "tools/list")
        found: dict[str, Any] = listed.result["_meta"]["io.modelcontextprotocol/serverInfo"]
        return found
    async with connected(app, era) as client:
        assert client.session.server_info is not None
        return client.session.server_info.model_dump()


PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)
PDF = b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n"


@pytest.mark.parametrize("era", ERAS)
async def test_images_documents_and_old_charsets_arrive(era: Era) -> None:
    """R2: each of them answered that UTF-8 cannot decode it."""
    app = FastAPI()

    @app.get("/image")
    async def image() -> Response:
        return Response(PNG, media_type="image/png")

    @app.get("/document")
    async def document() -> Response:
        return Response(PDF, media_type="application/pdf")

    @app.get("/text")
    async def text() -> Response:
        return Response("Käse".encode("latin-1"), media_type="text/plain; charset=latin-1")

    mount_mcp(app)
    async with connected(app, era) as client:
        (shown,) = (await client.call_tool("image")).content
        (given,) = (await client.call_tool("document")).content
        (read,) = (await client.call_tool("text")).content
    assert isinstance(shown, ImageContent)
    assert (shown.mime_type, b64decode(shown.data)) == ("image/png", PNG)
    assert isinstance(given, EmbeddedResource)
    assert isinstance(given.resource, BlobResourceContents)
    assert (given.resource.mime_type, b64decode(given.resource.blob)) == ("application/pdf", PDF)
    assert isinstance(read, TextContent)
    assert read.text == "Käse"


@pytest.mark.parametrize("era", ERAS)
async def test_files_can_be_uploaded(era: Era) -> None:
    """C5, R2: there was no way to send one."""
    app = FastAPI()

    @app.post("/scans")
    async def scan(pages: list[UploadFile], note: Annotated[str, Body()]) -> dict[str, Any]:
        sizes = [[page.filename, page.content_type, len(await page.read())] for page in pages]
        return {"pages": sizes, "note": note}

    mount_mcp(app)
    files = [
        {"filename": "a.png", "media_type": "image/png", "base64": b64encode(PNG).decode()},
        {"filename": "b.txt", "media_type": "text/plain", "text": "Käse"},
    ]
    reply = await call(app, "scan", {"pages": files, "note": "two"}, era=era)
    pages = [["a.png", "image/png", len(PNG)], ["b.txt", "text/plain", 5]]
    assert reply.result["structuredContent"] == {"pages": pages, "note": "two"}


class Tree(BaseModel):
    label: str
    branches: list["Tree"] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int | str = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    owner: str | None = None


@pytest.mark.parametrize("era", ERAS)
async def test_recursive_models_start_and_round_trip(era: Era) -> None:
    """P5: recursion ended the start-up."""
    app = FastAPI()

    @app.post("/trees")
    async def plant(tree: Tree) -> Tree:
        return tree

    mount_mcp(app)
    tree = {"label": "a", "branches": [{"label": "b", "branches": [{"label": "c"}]}]}
    async with connected(app, era) as client:
        result = await client.call_tool("plant", tree)
    assert result.structured_content == Tree.model_validate(tree).model_dump()


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "pet",
    [
        {"kind": "cat", "lives": 7},
        {"kind": "cat", "lives": "seven"},
        {"kind": "dog", "owner": None},
        {"kind": "dog", "owner": "Ann"},
    ],
)
async def test_unions_and_optional_values_arrive_as_they_are(era: Era, pet: dict[str, Any]) -> None:
    """P5, C5: they were refused, or lost on the way."""
    app = FastAPI()

    @app.post("/pets")
    async def adopt(
        pet: Annotated[Cat | Dog, Body(discriminator="kind", embed=True)],
        room: int | None = None,
    ) -> dict[str, Any]:
        return {"pet": pet, "room": room}

    mount_mcp(app)
    for room in (None, 12):
        arguments = {"pet": pet} if room is None else {"pet": pet, "room": room}
        reply = await call(app, "adopt", arguments, era=era)
        assert reply.result["structuredContent"] == {"pet": pet, "room": room}


@pytest.mark.parametrize("mode", [MODERN, "legacy"])
async def test_plain_text_is_accepted_by_a_client_that_checks_schemas(mode: str) -> None:
    """R1, P1: a schema was declared, and a text without structured content sent."""
    app = FastAPI()

    @app.get("/motd", response_class=PlainTextResponse)
    async def motd() -> str:
        return "Hello."

    @app.get("/undocumented")
    async def undocumented() -> Any:
        return PlainTextResponse("Hello.")

    mount_mcp(app)
    transport = streamable_http_client
    async with (
        http(app) as sender,
        Client(transport("http://localhost:8000/mcp", http_client=sender), mode=mode) as client,
    ):
        await client.list_tools()
        for name in ("motd", "undocumented"):
            result = await client.call_tool(name)
            assert not result.is_error
            assert result.content == [TextContent(type="text", text="Hello.")]
