"""What is published of the models of an app, and that they come back as they were meant."""

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar
from uuid import UUID

import pytest
from fastapi import Body, FastAPI, File, Form, Query, UploadFile
from fastapi import __version__ as fastapi_version
from packaging.version import Version
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    RootModel,
    StringConstraints,
    computed_field,
)
from typing_extensions import TypedDict

from mcp_mount import mount_mcp
from tests.profile import check_list, check_tool, schemas_in
from tests.support import ERAS, Era, call, tools


class Node(BaseModel):
    value: int
    children: list["Node"] = []
    parent: Optional["Node"] = None


class Left(BaseModel):
    right: Optional["Right"] = None


class Right(BaseModel):
    left: Left | None = None
    label: str = "r"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    items: list[Item]
    total: int = Field(ge=0)


class Ids(RootModel[list[int]]):
    pass


class Tree(RootModel[dict[str, "Tree"]]):
    pass


class Families(BaseModel):
    node: Node
    trees: dict[str, Tree]


class Odd(BaseModel):
    top: int = Field(alias="$top")
    name: str = Field(alias="filter[name]")
    kind: str = Field("x", alias="@type")
    size: str = Field("x", alias="größe")
    empty: str = Field("x", alias="###")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    known: int


class Optionals(BaseModel):
    number: int | None = None
    text: str | None = None
    pet: Pet | None = None
    color: Color | None = None
    choice: Literal["a", 1] | None = "a"
    many: list[Color | None] | None = None


class Constrained(BaseModel):
    number: int = Field(3, ge=1, lt=10, multiple_of=1)
    text: str = Field("a-1", pattern=r"^\w+-\d$", min_length=1, max_length=9)
    rust: str = Field("a", pattern=r"(?i)^[\w.-]+\z")
    unique: set[int] = set()
    few: Annotated[list[int], Field(max_length=3)] = []
    keys: dict[Annotated[str, StringConstraints(pattern=r"^a\z")], int] = {}
    words: dict[Annotated[str, StringConstraints(pattern=r"^a$")], int] = {}


class Scalars(BaseModel):
    amount: Decimal = Decimal("1.5")
    id: UUID = UUID(int=1)
    at: datetime = datetime.fromisoformat("2026-01-02T03:04:05")
    day: date = date(2026, 1, 2)
    span: timedelta = timedelta(seconds=1)
    pair: tuple[int, str] = (1, "a")
    anything: Any = None
    data: bytes = b"a"
    level: Level = Level.LOW


class Computed(BaseModel):
    side: int
    secret: str = Field("s", json_schema_extra={"writeOnly": True})
    made: str = Field("m", json_schema_extra={"readOnly": True})

    @computed_field
    def area(self) -> int:
        return self.side**2


class Keyed(TypedDict, total=False):
    x: int
    y: str


@dataclass
class Plain:
    x: int
    y: str = "a"


class Deep(BaseModel):
    pages: dict[str, Page[Page[dict[str, list[tuple[Cat, Pet]]]]]]


ZOO: dict[str, tuple[Any, Any]] = {
    "recursive": (Node, {"value": 1, "children": [{"value": 2, "parent": {"value": 3}}]}),
    "mutual": (Left, {"right": {"left": {"right": None}, "label": "x"}}),
    "union": (Cat | Dog | int, {"kind": "dog", "barks": True}),
    "union_of_scalars": (int | str, "a"),
    "discriminated": (Pet, {"kind": "cat", "lives": 1}),
    "optional_union": (Cat | Dog | None, None),
    "enumeration": (Color, "red"),
    "number_enumeration": (Level, 2),
    "literal": (Literal["a", 1], "a"),
    "root_list": (Ids, [1, 2]),
    "root_recursive": (Tree, {"a": {"b": {}}, "c": {}}),
    "families": (Families, {"node": {"value": 1}, "trees": {"a": {"b": {}}}}),
    "generic": (Page[Cat], {"items": [{"kind": "cat"}], "total": 1}),
    "mapping": (dict[str, Cat], {"x": {"kind": "cat", "lives": 2}}),
    "models": (list[Cat], [{"kind": "cat", "lives": 2}]),
    "pair": (tuple[int, Cat], [1, {"kind": "cat", "lives": 3}]),
    "deep": (
        Deep,
        {
            "pages": {
                "a": {
                    "total": 1,
                    "items": [
                        {
                            "total": 0,
                            "items": [{"k": [[{"kind": "cat"}, {"kind": "dog", "barks": False}]]}],
                        }
                    ],
                }
            }
        },
    ),
    "opened": (Open, {"known": 1, "other": [2]}),
    "closed": (Closed, {"known": 1}),
    "optionals": (Optionals, {"number": 1, "many": ["red", None], "pet": {"kind": "cat"}}),
    "constrained": (Constrained, {"number": 4, "rust": "A.b", "keys": {"a": 1}, "unique": [2]}),
    "scalars": (Scalars, {"amount": "2.50", "pair": [2, "b"], "anything": {"x": [1]}, "level": 2}),
    "typed_dict": (Keyed, {"x": 1}),
    "data_class": (Plain, {"x": 2}),
    "anything": (Any, [1, {"a": None}]),
    "number": (int, 3),
}
# These are not the one argument `body`, but an argument for each property.
SPREAD = {
    *(
        "recursive",
        "mutual",
        "families",
        "generic",
        "deep",
        "closed",
        "optionals",
        "constrained",
        "scalars",
    ),
    *("typed_dict", "data_class"),
}


def zoo() -> FastAPI:
    """An app with a route for each model, which answers what it was sent, as the model sees it."""
    app = FastAPI()

    def add(name: str, model: Any) -> None:
        async def echo(value: Any) -> Any:
            return value

        echo.__annotations__ = {"value": Annotated[model, Body()], "return": model}
        app.post(f"/{name}", name=name)(echo)

    for name, (model, _) in ZOO.items():
        add(name, model)

    @app.post("/odd")
    async def odd(value: Odd) -> Odd:
        return value

    @app.post("/computed")
    async def computed(value: Computed) -> Computed:
        return value

    @app.post("/json")
    async def json_in_text(value: Annotated[Json[Node], Form()], other: Json[Any] = None) -> Node:
        return value

    @app.post("/files")
    async def files(
        one: UploadFile,
        two: Annotated[bytes | None, File(description="The second.")] = None,
        more: list[UploadFile] | None = None,
        note: Annotated[str, Form()] = "",
    ) -> str:
        return note

    @app.get("/query")
    async def query(value: Annotated[Optionals, Query()]) -> Optionals:
        return value

    @app.get("/nothing")
    async def nothing() -> None: ...

    mount_mcp(app)
    return app


APP = zoo()


@pytest.mark.parametrize("era", ERAS)
async def test_every_client_accepts_the_whole_list(era: Era) -> None:
    """P1: one bad tool can cost a client the whole list."""
    listed = await tools(APP, era=era)
    assert {*listed} >= {*ZOO, "odd", "computed", "json_in_text", "files", "query", "nothing"}
    check_list(listed)


@pytest.mark.parametrize("name", ZOO)
async def test_a_model_comes_back_as_it_was_meant(name: str) -> None:
    """P5, R1: the route receives what was given, and its answer conforms to what is published."""
    _, value = ZOO[name]
    if value is None and Version(fastapi_version) < Version("0.152"):
        pytest.skip("this FastAPI takes an explicit null for a missing body, over REST too")
    arguments = value if name in SPREAD else {"body": value}
    reply = await call(APP, name, arguments)
    assert not reply.is_error, reply.text_content
    structured = reply.result.get("structuredContent")
    assert json.loads(reply.text_content) in (structured, (structured or {}).get("result"))
    assert _holds(json.loads(reply.text_content), value)


def _holds(found: Any, given: Any) -> bool:
    """Whether all that was given is found; models add their defaults."""
    if isinstance(given, dict):
        return all(key in found and _holds(found[key], value) for key, value in given.items())
    if isinstance(given, list):
        return len(found) == len(given) and all(map(_holds, found, given))
    return type(found) is type(given) and bool(found == given)


async def test_aliases_with_odd_characters_are_mapped_back() -> None:
    """P1, P5: clients accept letters, digits, `_`, `.` and `-` in the names of arguments."""
    schema = (await tools(APP))["odd"]["inputSchema"]
    assert {*schema["properties"]} == {"top", "filter_name", "type", "gr_e", "body"}
    arguments = {"top": 3, "filter_name": "n", "type": "t", "gr_e": "g", "body": "e"}
    reply = await call(APP, "odd", arguments)
    assert json.loads(reply.text_content) == {
        "$top": 3,
        "filter[name]": "n",
        "@type": "t",
        "größe": "g",
        "###": "e",
    }


async def test_a_property_that_goes_one_way_is_published_for_that_way() -> None:
    """P1: and is not required the other way."""
    tool = (await tools(APP))["computed"]
    assert {*tool["inputSchema"]["properties"]} == {"side", "secret"}
    assert {*tool["outputSchema"]["properties"]} == {"side", "made", "area"}


async def test_a_tool_without_arguments_takes_an_empty_object() -> None:
    """P1: in the one form that all clients take."""
    tool = (await tools(APP))["nothing"]
    expected = {"type": "object", "properties": {}, "additionalProperties": False}
    assert tool["inputSchema"] == expected


async def test_the_schema_says_what_a_model_needs_and_no_more() -> None:
    """P4: no titles, no alternatives to leaving an argument out."""
    properties = (await tools(APP))["optionals"]["inputSchema"]["properties"]
    assert properties["number"] == {"type": "integer"}
    assert properties["text"] == {"type": "string"}
    assert properties["color"] == {"type": "string", "enum": ["red", "blue"]}
    assert [each["properties"]["kind"]["const"] for each in properties["pet"]["anyOf"]] == [
        *("cat", "dog")
    ]
    # Null is not the default here, so that it says something.
    assert properties["choice"] == {
        "anyOf": [{"enum": ["a", 1]}, {"type": "null"}],
        "default": "a",
    }
    assert "required" not in (await tools(APP))["optionals"]["inputSchema"]


async def test_patterns_are_kept_where_clients_compile_them() -> None:
    """P1: and go where they would cost the whole list."""
    properties = (await tools(APP))["constrained"]["inputSchema"]["properties"]
    assert properties["text"]["pattern"] == r"^\w+-\d$"
    assert properties["rust"] == {"type": "string", "default": "a"}
    assert properties["words"]["patternProperties"] == {"^a$": {"type": "integer"}}
    assert not properties["keys"].get("patternProperties")


async def test_a_deprecated_operation_says_so_first_and_long_descriptions_are_cut() -> None:
    """P1, P3: title from the summary, description from both, at most 2,000 characters."""
    app = FastAPI()

    @app.get("/old", summary="Read old things", deprecated=True)
    async def old() -> None:
        """They are very old."""

    @app.delete("/long", description="word " * 1_000)
    async def long() -> None: ...

    @app.post("/added")
    async def add() -> None: ...

    @app.put("/same", summary="Set it", description="Set it for good.")
    async def same() -> None: ...

    mount_mcp(app)
    listed = await tools(app)
    check_list(listed)
    assert listed["old"]["title"] == "Read old things"
    assert listed["old"]["description"] == "Deprecated. Read old things. They are very old."
    assert listed["long"]["description"].endswith("word …")
    assert listed["same"]["description"] == "Set it for good."
    hints = {name: tool["annotations"] for name, tool in listed.items()}
    # What only reads can be repeated, and what is not said can not.
    reads = {"readOnlyHint": True, "destructiveHint": False, "openWorldHint": False}
    destroys = {"readOnlyHint": False, "destructiveHint": True, "openWorldHint": False}
    assert hints["old"] == reads
    assert hints["add"] == destroys
    assert hints["long"] == hints["same"] == {**destroys, "idempotentHint": True}


def nested(levels: int) -> dict[str, Any]:
    """A document whose model ``A0`` has two of ``A1``, which has two of ``A2`` …."""
    models: dict[str, Any] = {
        f"A{level}": {
            "type": "object",
            "properties": {
                side: {"$ref": f"#/components/schemas/A{level + 1}"} for side in ("left", "right")
            },
        }
        for level in range(levels)
    }
    return {**models, f"A{levels}": {"type": "object", "properties": {"x": {"type": "integer"}}}}


async def test_a_schema_that_would_explode_stays_small() -> None:
    """P4: thirty levels of two references each would be a thousand million schemas."""
    app = FastAPI()

    @app.post("/explode")
    async def explode(value: Cat) -> Cat:
        return value

    document = app.openapi()
    document["components"]["schemas"] |= nested(30)
    document["components"]["schemas"]["Cat"] = {"$ref": "#/components/schemas/A0"}
    mount_mcp(app)
    tool = (await tools(app))["explode"]
    check_tool(tool)
    for key in ("inputSchema", "outputSchema"):
        assert 20 < len([*schemas_in(tool[key])]) < 500
        assert len(json.dumps(tool[key])) < 8_000


async def test_a_thousand_routes_publish_a_thousand_small_tools() -> None:
    """P4, X5: the same model in each route is read once for each, not once for each pair."""
    app = FastAPI()
    for index in range(1_000):

        @app.post(f"/r{index}/{{item}}", name=f"route_{index}")
        async def route(item: int, value: Node, page: int = 1) -> Page[Cat]:
            return Page(items=[], total=0)

    mount_mcp(app)
    listed = await tools(app)
    assert len(listed) == 1_000
    check_tool(listed["route_999"])
    assert len([*schemas_in(listed["route_999"]["inputSchema"])]) < 40
    assert len(json.dumps([*listed.values()])) < 2_000_000
