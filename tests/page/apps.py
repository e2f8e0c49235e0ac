"""Apps for the page: each kind of argument and answer, streams that wait, and hostile words."""

import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum
from threading import Event
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from fastapi import Body, FastAPI, File, UploadFile
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from mcp_mount import mount_mcp

HOSTILE = (
    "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    "<style>*{display:none}</style>{{7*7}} javascript:window.hacked=1 `${window.hacked = 1}`"
)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


class Node(BaseModel):
    name: str
    children: list["Node"] = []


class Order(BaseModel):
    """Everything that a form can hold."""

    title: str
    colour: Colour = Colour.RED
    urgent: bool = False
    tags: list[str] = []
    shape: Annotated[Circle | Square, Field(discriminator="kind")] | None = None
    tree: Node | None = None
    extra: dict[str, int] = {}


@dataclass
class Stream:
    """A stream that stands still after its first part, until it is let go or its reader leaves."""

    first_sent: Event = field(default_factory=Event)
    may_go_on: Event = field(default_factory=Event)
    left: Event = field(default_factory=Event)

    async def parts(self) -> AsyncIterator[str]:
        try:
            yield "first part"
            self.first_sent.set()
            await anyio.to_thread.run_sync(self.may_go_on.wait, abandon_on_cancel=True)
            yield ", second part"
        finally:
            self.left.set()


def workshop(stream: Stream, **options: Any) -> FastAPI:
    """Return an app with a tool for each thing that the page shows."""
    app = FastAPI(title="Workshop", version="2", description="Builds `things`.")

    _add_arguments(app)
    _add_answers(app, stream)
    mounted = mount_mcp(app, **options)

    @mounted.server.resource("data://words", description="All words.")
    def words() -> str:
        return "one two three"

    @mounted.server.resource("data://words/{number}")
    def word(number: str) -> str:
        return f"word {number}"

    @mounted.server.prompt
    def greet(name: str) -> str:
        return f"Greet {name}."

    return app


def _add_arguments(app: FastAPI) -> None:
    @app.get("/parts/{part_id}", tags=["parts"], summary="Get a part")
    async def get_part(part_id: int, full: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """Get one part by its number."""
        return {"id": part_id, "full": full}

    @app.post("/orders", tags=["orders"])
    async def order(order: Order) -> Order:
        return order

    @app.post("/files", tags=["orders"])
    async def upload(file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        return {"name": file.filename, "size": len(await file.read())}

    @app.get("/hidden", openapi_extra={"x-mcp": False})
    async def hidden() -> str:
        return "hidden"


def _add_answers(app: FastAPI, stream: Stream) -> None:
    @app.get("/stream", response_class=StreamingResponse)
    async def stream_words() -> StreamingResponse:
        return StreamingResponse(stream.parts(), media_type="text/plain")

    @app.get("/picture", response_class=Response)
    async def picture() -> Response:
        return Response(_png(), media_type="image/png")

    @app.delete("/parts/{part_id}", tags=["parts"], openapi_extra={"x-mcp": {"confirm": True}})
    async def delete_part(part_id: int) -> str:
        return f"deleted {part_id}"

    @app.get("/hostile", summary=HOSTILE, description=HOSTILE, tags=[HOSTILE])
    async def hostile(word: Annotated[str, Field(description=HOSTILE)] = HOSTILE) -> Any:
        return {HOSTILE: word}

    @app.post("/choice")
    async def choice(value: Annotated[int | list[str], Body()]) -> Any:
        return value


def large(count: int) -> FastAPI:
    """Return an app with many tools."""
    app = FastAPI(title="Large")
    for number in range(count):
        app.get(
            f"/items/{number}/{{item_id}}",
            operation_id=f"get_item_{number}",
            summary=f"Get item {number}",
            description="Return one of the items, with everything that is known of it.",
            tags=[f"group {number // 50}"],
        )(_item)
    mount_mcp(app)
    return app


async def _item(item_id: int, full: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    return {"id": item_id, "full": full}


def _png() -> bytes:
    """Return a picture of 8 by 8 blue points."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + b"\x23\x48\xc9" * 8 for _ in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
