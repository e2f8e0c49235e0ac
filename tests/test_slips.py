"""A string that holds JSON is read as what the schema wants."""

import json
import time
from enum import Enum
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, Form, Query, Request, UploadFile
from pydantic import BaseModel

from mcp_mount import mount_mcp
from mcp_mount.conversion.slips import slip_reader
from mcp_mount.errors import InvalidArguments
from tests.starting import turns_taken
from tests.support import ERAS, Era, call
from tests.test_linear import within_seconds
from tests.ways import Way, either_way, force

pytestmark = pytest.mark.usefixtures("either_caller")
eras = pytest.mark.parametrize("era", ERAS)


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Point(BaseModel):
    x: int
    tags: list[str] = []
    below: "Point | None" = None


DOCUMENT_ANY: dict[str, Any] = {
    "n": {"type": "integer"},
    "ratio": {"type": "number"},
    "flag": {"type": "boolean"},
    "point": {"$ref": "#/components/schemas/Point-Input"},
    "maybe": {
        "anyOf": [{"$ref": "#/components/schemas/Point-Input"}, {"type": "null"}],
        "default": 1,
    },
    "tags": {"type": "array", "items": {"type": "string"}},
    "text": {"type": "string"},
    "either": {"anyOf": [{"type": "object"}, {"type": "string"}]},
    "any": {},
}


def build(way: Way = "quick") -> FastAPI:
    app = FastAPI()
    schema = {"type": "object", "properties": DOCUMENT_ANY}
    body = {"requestBody": {"content": {"application/json": {"schema": schema}}}}

    @app.post("/raw", operation_id="raw", openapi_extra=body)
    async def raw(request: Request) -> Any:
        """Return the body as it came, whatever it is."""
        return await request.json()

    @app.post("/uses")
    async def uses(point: Point) -> Point:
        return point

    @app.post("/list", operation_id="whole")
    async def whole(points: list[Point]) -> list[Point]:
        return points

    @app.get("/query", operation_id="query")
    async def query(
        tags: Annotated[list[str] | None, Query()] = None, n: str = "0", size: Size = Size.SMALL
    ) -> list[Any]:
        return [tags, n, size]

    @app.post("/form", operation_id="form")
    async def form(tags: Annotated[list[str], Form()], n: Annotated[str, Form()] = "") -> list[Any]:
        return [tags, n]

    @app.post("/file", operation_id="file")
    async def file(upload: UploadFile) -> str:
        return (await upload.read()).decode()

    @app.post("/embedded", operation_id="embedded")
    async def embedded(
        sizes: Annotated[list[Size], Body()], table: Annotated[dict[str, int], Body()]
    ) -> list[Any]:
        return [sizes, table]

    force(mount_mcp(app), way)
    return app


@eras
@either_way
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"n": "5"}, {"n": 5}),
        ({"n": "5.0"}, {"n": 5}),
        ({"n": "123456789012345678901234567890"}, {"n": 123456789012345678901234567890}),
        ({"n": "five"}, {"n": "five"}),
        ({"n": "1.5"}, {"n": "1.5"}),
        ({"ratio": "1"}, {"ratio": 1}),
        ({"ratio": "1.5"}, {"ratio": 1.5}),
        ({"flag": "true"}, {"flag": True}),
        ({"flag": "yes"}, {"flag": "yes"}),
        ({"flag": "1"}, {"flag": "1"}),
        ({"point": '{"x": 1}'}, {"point": {"x": 1}}),
        ({"point": {"x": "1"}}, {"point": {"x": 1}}),
        ({"point": {"x": 1, "tags": '["a"]'}}, {"point": {"x": 1, "tags": ["a"]}}),
        ({"point": {"x": 1, "tags": ["1", "[]"]}}, {"point": {"x": 1, "tags": ["1", "[]"]}}),
        (
            {"point": {"x": 1, "below": '{"x": 2}'}},
            {"point": {"x": 1, "below": {"x": 2}}},
        ),
        ({"maybe": "null"}, {"maybe": None}),
        ({"maybe": '{"x": 1}'}, {"maybe": {"x": 1}}),
        ({"tags": '["a", "b"]'}, {"tags": ["a", "b"]}),
        ({"text": '{"a": 1}'}, {"text": '{"a": 1}'}),
        ({"text": "5"}, {"text": "5"}),
        ({"either": "{}"}, {"either": "{}"}),
        ({"any": "[1]"}, {"any": "[1]"}),
    ],
    ids=repr,
)
async def test_what_fits_the_schema_alone_is_what_is_meant(
    given: dict[str, Any], sent: dict[str, Any], way: Way, era: Era
) -> None:
    """A6: and a string stays one where it may be one."""
    reply = await call(build(way), "raw", given, era=era)
    assert reply.result["structuredContent"] == sent


@eras
@pytest.mark.parametrize(
    ("tool", "given", "answer"),
    [
        ("whole", {"body": '[{"x": 1}]'}, [{"x": 1, "tags": [], "below": None}]),
        ("query", {"tags": '["a", "b"]'}, [["a", "b"], "0", 1]),
        ("query", {"tags": "a", "n": "007"}, [["a"], "007", 1]),
        ("query", {"tags": "7"}, [["7"], "0", 1]),
        ("form", {"tags": '["a", "b"]', "n": "[1]"}, [["a", "b"], "[1]"]),
        ("embedded", {"sizes": "[1, 2]", "table": '{"a": 1}'}, [[1, 2], {"a": 1}]),
        ("embedded", {"sizes": ["1"], "table": {}}, [[1], {}]),
    ],
)
async def test_it_is_read_wherever_it_is_sent(
    tool: str, given: dict[str, Any], answer: Any, era: Era
) -> None:
    """A6: what is sent as text stays the text that was given, but for lists and objects."""
    reply = await call(build(), tool, given, era=era)
    assert reply.result["structuredContent"] == {"result": answer}


@pytest.mark.parametrize(
    ("tool", "given", "said"),
    [
        ("raw", {"point": '{"x": 1'}, "'point' must be of the type object, as its schema says"),
        ("raw", {"point": "[1]"}, "the text that was given is JSON of type array"),
        ("raw", {"maybe": "{"}, "must be of the type null or object"),
        ("raw", {"tags": "a, b"}, "'tags' must be of the type array"),
        ("raw", {"point": {"x": 1, "tags": "a"}}, "'point.tags' must be of the type array"),
        ("raw", {"point": {"x": 1, "below": {"tags": "a"}}}, "'point.below.tags' must be"),
        ("whole", {"body": [""]}, "'body' must be of the type object"),
        ("query", {"tags": '["a"'}, "'tags' must be of the type array"),
    ],
)
async def test_what_no_reading_fits_is_refused_in_the_terms_of_the_schema(
    tool: str, given: dict[str, Any], said: str
) -> None:
    """A6."""
    reply = await call(build(), tool, given)
    assert reply.is_error
    assert said in reply.text_content


async def test_a_file_that_is_given_as_text_is_that_text() -> None:
    """A5: whatever it looks like."""
    for text in ("text", '{"text": "a"}'):
        reply = await call(build(), "file", {"upload": text})
        assert reply.result["structuredContent"] == {"result": text}


@eras
@pytest.mark.parametrize(
    ("points", "is_read"),
    [
        (['{"x": 1}'] * 5_000, True),
        ([json.dumps({"x": 1, "tags": ["a"] * 50_000})], True),
        (['{"x": 1}'] * 20_000, False),
        (['{"x": 1, "tags": [' + "[]," * 20_000 + "[]]}"] * 60, False),
        (["{"] * 180_000, False),
    ],
    ids=["many", "long", "too many", "too long", "no JSON"],
)
async def test_the_strings_of_a_call_are_read_as_far_as_that_takes_no_time(
    points: list[str], era: Era, *, is_read: bool
) -> None:
    """F1: four megabytes of them took 1.6 s, each too short to be counted."""
    reply = await call(build(), "whole", {"body": points}, era=era)
    if is_read:
        assert reply.result["structuredContent"]["result"][0]["x"] == 1
    else:
        assert "JSON" in reply.text_content
        assert reply.is_error


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *(("1", 190_000), ("1a", 190_000), ('{"a": []}', 190_000)),
        *(("1e308", 10_000), ("1" * 4_300, 100), (f"0.{'0' * 300}12345678901234567", 1_000)),
    ],
    ids=["numbers", "texts", "objects", "far numbers", "long numbers", "long fractions"],
)
async def test_many_strings_are_soon_too_many(text: str, count: int) -> None:
    """F1: also those that are left as they are, such as text where a number is wanted."""
    items = {"type": "object" if text.startswith("{") else "integer"}
    read = slip_reader({"properties": {"a": {"type": "array", "items": items}}}, ["a"], [])
    assert read is not None
    with within_seconds(0.5), pytest.raises(InvalidArguments, match="more JSON in strings"):
        await read({"a": [text] * count})


@pytest.mark.in_process
@pytest.mark.parametrize(
    "value",
    ['{"a": "' + '\\"' * 1_500_000 + '"}', ["{}"] * 5_000, [{"b": '{"a": 1}'}] * 3_000],
    ids=["a long one", "many", "many inside"],
)
async def test_strings_are_read_in_turns(value: object) -> None:
    """F1: the longest held the event loop for 36 ms, and many of them for 77."""
    inner = {"type": "object", "properties": {"b": {"type": "object"}}}
    schema = inner if isinstance(value, str) else {"type": "array", "items": inner}
    read = slip_reader({"properties": {"a": schema}}, ["a"], [])
    assert read is not None
    async with turns_taken() as turns:
        await read({"a": value})
    assert max(turns) < sum(turns) / 2


@pytest.mark.parametrize(
    ("text", "value"), [("3.0", 3), ("1e3", 1_000), ("-2e15", -2 * 10**15), ("1e308", 1e308)]
)
async def test_a_whole_fraction_becomes_an_integer_of_no_more_digits_than_it_has(
    text: str, value: float
) -> None:
    """F1: ``1e308`` has 309, and 20,000 of them took 0.3 s to write."""
    read = slip_reader({"properties": {"a": {"type": "integer"}}}, ["a"], [])
    assert read is not None
    assert repr((await read({"a": text}))["a"]) == repr(value)


@pytest.mark.in_process
def test_alternatives_that_refer_to_each_other_are_looked_at_once() -> None:
    """F1: a hundred of them took 40 s."""
    definitions = {
        f"A{each}": {"anyOf": [{"$ref": f"#/$defs/A{other}"} for other in range(100)]}
        for each in range(100)
    }
    schema = {"properties": {"a": {"$ref": "#/$defs/A0"}}, "$defs": definitions}
    with within_seconds(1):
        assert slip_reader(schema, {"a"}, ()) is None


@pytest.mark.parametrize(
    ("value", "count"), [([], 66_000), ({}, 66_000), ({"a": 1, "b": 2, "c": 3, "d": 4}, 14_000)]
)
async def test_what_holds_no_string_is_soon_passed_over(value: object, count: int) -> None:
    """Each was looked into: 200,000 values took 50 to 120 ms."""
    inner: dict[str, Any] = {"type": "array" if value == [] else "object"}
    inner["items"] = {"type": "integer"}
    inner["properties"] = {key: {"type": "integer"} for key in "abcd"}
    read = slip_reader({"properties": {"a": {"type": "array", "items": inner}}}, ["a"], [])
    assert read is not None
    given = {"a": [value] * count}
    with within_seconds(0.03):
        assert await read(given) == given


@pytest.mark.in_process
@pytest.mark.parametrize(
    "text",
    [
        '["' + "\\ud800" * 600_000 + '"]',
        "[" + ",".join(['"\\ud800"'] * 80_000) + "]",
        " " * 4_000_000,
    ],
    ids=["a text of halves", "texts of halves", "blanks"],
)
async def test_what_has_to_be_mended_or_is_blank_is_read_soon_or_not_at_all(text: str) -> None:
    """F1: a request of four megabytes held the event loop for 0.15 to 0.23 s."""
    schema = {"properties": {"a": {"type": "array", "items": {"type": "array"}}}}
    read = slip_reader(schema, {"a"}, ())
    assert read is not None
    begun = time.process_time()
    for _ in range(5):
        with pytest.raises(InvalidArguments):
            await read({"a": text})
    assert time.process_time() - begun < 0.5


async def test_what_has_to_be_mended_and_is_little_is_read() -> None:
    """R1."""
    schema = {"properties": {"a": {"type": "array", "items": {"type": "array"}}}}
    read = slip_reader(schema, {"a"}, ())
    assert read is not None
    given = '["\\ud800 \\ud83d\\ude80", {"\\udc00": [NaN, -Infinity, 1e999, 1.5, 2, true, null]}]'
    mended = ["\ufffd \U0001f680", {"\ufffd": [None, None, None, 1.5, 2, True, None]}]
    assert await read({"a": given}) == {"a": mended}
