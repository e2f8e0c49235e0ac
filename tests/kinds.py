"""An app with every kind of tool: what they take, what they answer, and how that ends."""

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import Body, Cookie, FastAPI, File, Form, Header, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel

from mcp_mount import Mounted, mount_mcp
from mcp_mount.backends.request import TOOL_KEY


class Item(BaseModel):
    name: str
    count: int = 0


class Teapot(Exception):
    """The app has a handler for it."""


def every_kind(**options: Any) -> tuple[FastAPI, Mounted]:
    """Return the app, and what was mounted on it with these options."""
    app = FastAPI()
    for add in (add_raw, add_takers, add_streams, add_failures, add_limited):
        add(app)
    return app, mount_mcp(app, **options)


def answer(media_type: str, body: str, status: int, extra: str = "") -> Response:
    headers = dict(line.split(": ", 1) for line in extra.split("\n") if line)
    return Response(b64decode(body), status, headers={**headers, "content-type": media_type})


def add_raw(app: FastAPI) -> None:
    """Add tools that answer the bytes that they are given, whatever they document."""

    @app.post("/raw", response_class=Response)
    async def raw(media_type: str, body: str, status: int = 200, extra: str = "") -> Response:
        return answer(media_type, body, status, extra)

    @app.post("/raw-object", response_model=dict[str, Any])
    async def raw_object(media_type: str, body: str, status: int = 200) -> Response:
        return answer(media_type, body, status)

    @app.post("/raw-list", response_model=list[int])
    async def raw_list(media_type: str, body: str, status: int = 200) -> Response:
        return answer(media_type, body, status)

    @app.post("/raw-optional", response_model=Item | None)
    async def raw_optional(media_type: str, body: str, status: int = 200) -> Response:
        return answer(media_type, body, status)


def add_takers(app: FastAPI) -> None:
    """Add tools that take every kind of argument."""

    @app.post("/any")
    async def anything(value: Annotated[Any, Body()] = None) -> Any:
        return value

    @app.put("/items/{item_id}")
    async def put_item(item_id: str, item: Item, x_note: Annotated[str, Header()] = "") -> Item:
        return Item(name=f"{item.name} {item_id} {x_note}", count=item.count)

    @app.get("/seen/{text}")
    async def seen(text: str, request: Request, crumb: Annotated[str, Cookie()] = "") -> list[str]:
        headers = map(str, request.headers.raw)
        scope = request.scope
        own = [scope["method"], scope["path"], scope["query_string"], scope["client"]]
        return [text, crumb, *map(str, own), scope[TOOL_KEY], *headers]

    @app.post("/upload")
    async def upload(
        files: Annotated[list[UploadFile], File()], note: Annotated[str, Form()] = ""
    ) -> list[str]:
        return [note, *[f"{file.filename} {len(await file.read())}" for file in files]]

    @app.post("/form")
    async def form(name: Annotated[str, Form()], count: Annotated[int, Form()] = 1) -> Item:
        return Item(name=name, count=count)


def add_streams(app: FastAPI) -> None:

    @app.get("/lines")
    async def lines(count: int = 2) -> AsyncIterator[Item]:
        for number in range(count):
            yield Item(name="line", count=number)

    @app.get("/events", response_class=EventSourceResponse)
    async def events(count: int = 2) -> AsyncIterator[Item]:
        for number in range(count):
            yield Item(name="event", count=number)


def add_failures(app: FastAPI) -> None:
    """Add tools that fail, or lead elsewhere, or answer nothing."""

    @app.exception_handler(Teapot)
    async def teapot(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"short": "stout"}, 418, headers={"Retry-After": "7"})

    @app.get("/fails")
    async def fails(how: str = "") -> Item:
        if how == "http":
            raise HTTPException(403, detail={"no": how}, headers={"WWW-Authenticate": "Basic"})
        if how == "teapot":
            raise Teapot
        raise RuntimeError("postgres://root:hunter2@db/prod")

    @app.get("/redirect")
    async def redirect(to: str, status: int = 307) -> Item:
        return RedirectResponse(to, status)  # type: ignore[return-value]

    @app.get("/nothing", status_code=204)
    async def nothing() -> None:
        return None


def add_limited(app: FastAPI) -> None:
    """Add tools that reach a limit."""

    @app.get("/slow", openapi_extra={"x-mcp": {"limits": {"timeout": 0.01}}})
    async def slow() -> Item:
        await anyio.sleep_forever()
        return Item(name="never")

    @app.get("/dribble", openapi_extra={"x-mcp": {"limits": {"timeout": 0.01}}})
    async def dribble(media_type: str = "text/plain") -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b'["one",'
            await anyio.sleep_forever()

        return StreamingResponse(chunks(), media_type=media_type)

    @app.get("/capped", openapi_extra={"x-mcp": {"limits": {"max_bytes": 9, "max_items": 2}}})
    async def capped(media_type: str = "application/json", text: str = "12345\n") -> Response:
        return Response(text * 3, media_type=media_type)
