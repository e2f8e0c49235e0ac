"""An app with a tool of each kind that clients differ in, and how each is called."""

from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NamedTuple

from fastapi import Body, FastAPI, File, HTTPException, Response, UploadFile
from fastmcp.tools import ToolResult
from mcp_types import TextContent
from pydantic import AnyUrl, BaseModel, Field, create_model

from mcp_mount import mount_mcp

PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


class Kind(NamedTuple):
    """The call of a tool, and what its model must then be shown."""

    arguments: dict[str, Any]
    shows: str


CALLS: Final = {
    "no_arguments": Kind({}, "nothing-taken"),
    "many_arguments": Kind({f"option_{n}": n for n in range(20)}, "taken-190"),
    "nested": Kind({"customer": {"name": "Ada"}, "note": "n"}, "ordered-by-Ada"),
    "union": Kind({"body": {"kind": "square", "side": 3}}, "area-9"),
    "recursive": Kind({"name": "root", "children": [{"name": "leaf"}]}, "nodes-2"),
    "null": Kind({"limit": None}, "limit-None"),
    "odd": Kind({"anything": 1}, "anything-1"),
    "mutual": Kind({"left": {"inner": {"text": "x"}}}, "mutual-x"),
    "file": Kind({"document": {"filename": "a.txt", "text": "abc"}}, "bytes-3"),
    "image": Kind({}, ""),
    "error": Kind({}, "no-such-part"),
    "stream": Kind({}, "line-2"),
    "both": Kind({}, ""),
}
"""The calls by tool. `both` answers different words in text and in structure, so that one can see
which of them a client shows its model."""

IN_TEXT, IN_STRUCTURE = "said-in-text", "said-in-structure"


class Answer(BaseModel):
    said: str


class Customer(BaseModel):
    name: str
    tags: list[str] = []


class Order(BaseModel):
    customer: Customer
    express: bool = False


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


class Node(BaseModel):
    name: str
    children: list["Node"] = []

    def count(self) -> int:
        return 1 + sum(child.count() for child in self.children)


class Expression(BaseModel):
    """Leads back to itself through another model only."""

    left: "Operand | None" = None
    text: str = ""


class Operand(BaseModel):
    inner: Expression


class Limit(BaseModel):
    limit: int | None = 10


class Odd(BaseModel):
    """What readers of schemas are known to stumble over."""

    anything: Any
    fixed: Literal["v1"] = "v1"
    mixed: Literal["a", 1] = "a"
    maybe: Literal["a", "b"] | None = None
    when: datetime | None = None
    took: timedelta = timedelta(0)
    link: AnyUrl | None = None
    exact: Decimal | None = None
    code: Annotated[str, Field(json_schema_extra={"pattern": "^(?!x)[a-z]+$"})] = "a"
    pointer: Annotated[str, Field(json_schema_extra={"format": "json-pointer"})] = "/"
    table: dict[str, list[float]] = {}
    grid: list[list[int]] = []
    whatever: list[Any] = []
    pair: tuple[str, int] = ("a", 1)
    labels: dict[str, Customer | str] = {}


Many: type[BaseModel] = create_model("Many", **{f"option_{n}": (int, n) for n in range(20)})  # type: ignore[call-overload]


def interop_app() -> FastAPI:
    app = FastAPI(title="Interop")
    add_takers(app)
    add_answers(app)
    server = mount_mcp(app).server

    @server.tool(output_schema=Answer.model_json_schema())
    def both() -> ToolResult:
        """Say one thing in text and another in structure."""
        content = [TextContent(text=IN_TEXT)]
        return ToolResult(content=content, structured_content={"said": IN_STRUCTURE})

    return app


def add_takers(app: FastAPI) -> None:
    """Add tools that differ in what they take."""

    @app.get("/no-arguments")
    async def no_arguments() -> Answer:
        """Take nothing."""
        return Answer(said="nothing-taken")

    @app.post("/many-arguments")
    async def many_arguments(options: Annotated[Many, Body()]) -> Answer:  # type: ignore[valid-type]
        """Take twenty options."""
        return Answer(said=f"taken-{sum(options.model_dump().values())}")  # type: ignore[attr-defined]

    @app.post("/nested")
    async def nested(
        order: Order, note: Annotated[str, Field(description="Anything.")] = ""
    ) -> Answer:
        """Take an order of a customer."""
        return Answer(said=f"ordered-by-{order.customer.name}")

    @app.post("/union")
    async def union(
        shape: Annotated[Circle | Square, Field(discriminator="kind")], unit: str = "m"
    ) -> Answer:
        """Take one of two shapes."""
        size = shape.side if isinstance(shape, Square) else shape.radius
        return Answer(said=f"area-{size * size:g}")

    @app.post("/recursive")
    async def recursive(node: Node) -> Node | Answer:
        """Take a tree."""
        return Answer(said=f"nodes-{node.count()}")

    @app.post("/mutual")
    async def mutual(expression: Expression) -> Answer:
        """Take an expression of operands of expressions."""
        left = expression.left
        return Answer(said=f"mutual-{left.inner.text if left is not None else None}")

    @app.post("/odd")
    async def odd(odd: Odd) -> Answer:
        """Take what is unusual."""
        return Answer(said=f"anything-{odd.anything}")

    @app.post("/null")
    async def null(limit: Limit) -> Answer:
        """Take a limit, or null for none."""
        return Answer(said=f"limit-{limit.limit}")

    @app.post("/file")
    async def file(document: Annotated[UploadFile, File()]) -> Answer:
        """Take a file."""
        return Answer(said=f"bytes-{len(await document.read())}")


def add_answers(app: FastAPI) -> None:
    """Add tools that differ in what they answer."""

    @app.get("/image")
    async def image() -> Response:
        """Draw a pixel."""
        return Response(b64decode(PNG), media_type="image/png")

    @app.get("/error")
    async def error() -> Answer:
        """Fail."""
        raise HTTPException(404, "no-such-part")

    @app.get("/stream")
    async def stream() -> AsyncIterator[Answer]:
        """Answer line by line."""
        for number in range(3):
            yield Answer(said=f"line-{number}")
