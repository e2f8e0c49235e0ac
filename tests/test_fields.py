"""A model asks for some fields of an answer only, with the argument ``fields``."""

import json
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from mcp_mount import InvalidSelector, MountError, mount_mcp
from mcp_mount.conversion.fields import Fields
from mcp_mount.errors import InvalidArguments
from tests.support import ERAS, Era, call, tools
from tests.test_linear import within_seconds
from tests.ways import Way, either_way, force

eras = pytest.mark.parametrize("era", ERAS)


class Author(BaseModel):
    name: str
    boss: "Author | None" = None


class Article(BaseModel):
    slug: str
    title: str
    body: str
    author: Author
    labels: dict[str, str] = {}


class Page(BaseModel):
    total: int
    items: list[Article]


ARTICLE = Article(slug="s", title="t", body="b", author=Author(name="n"), labels={"k": "v"})


def build(fields: Sequence[Any] = ("*",), way: Way = "quick", **more: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/page", operation_id="page")
    async def page(limit: int = 1) -> Page:
        return Page(total=2, items=[ARTICLE] * limit)

    @app.get("/all", operation_id="list_all")
    async def list_all() -> list[Article]:
        return [ARTICLE, ARTICLE]

    @app.get("/either", operation_id="either")
    async def either() -> Article | Author | None:
        return ARTICLE

    @app.get("/number", operation_id="number")
    async def number() -> int:
        return 7

    @app.get("/free", operation_id="free")
    async def free() -> dict[str, Any]:
        return {"a": 1}

    @app.get("/lines", operation_id="lines")
    async def lines() -> AsyncIterator[Article]:
        yield ARTICLE

    @app.get("/own", operation_id="own")
    async def own(fields: str = "none") -> Page:
        return Page(total=len(fields), items=[])

    @app.get("/on", operation_id="on", openapi_extra={"x-mcp": {"fields": True}})
    @app.get("/off", operation_id="off", openapi_extra={"x-mcp": {"fields": False}})
    async def marked() -> Author:
        return Author(name="n")

    force(mount_mcp(app, fields=fields, **more), way)
    return app


def takes_fields(tool: dict[str, Any]) -> bool:
    given = tool["inputSchema"]["properties"].get("fields", {})
    return "array" in given.values()


@eras
@either_way
@pytest.mark.parametrize(
    ("tool", "fields", "expected"),
    [
        ("page", ["items.slug", "total"], {"total": 2, "items": [{"slug": "s"}]}),
        ("page", ["items.author.name"], {"items": [{"author": {"name": "n"}}]}),
        ("page", ["items.labels.k"], {"items": [{"labels": {"k": "v"}}]}),
        ("page", ["items.slug", "items"], {"items": [ARTICLE.model_dump()]}),
        ("page", ["items", "items.slug"], {"items": [ARTICLE.model_dump()]}),
        ("page", ["items.author.boss.boss.name"], {"items": [{"author": {"boss": None}}]}),
        ("list_all", ["slug"], {"result": [{"slug": "s"}, {"slug": "s"}]}),
        ("list_all", ["result.title"], {"result": [{"title": "t"}, {"title": "t"}]}),
        ("either", ["name", "slug"], {"result": {"slug": "s"}}),
        ("on", ["name"], {"name": "n"}),
    ],
)
async def test_only_what_is_asked_for_is_answered(
    tool: str, fields: list[str], expected: Any, way: Way, era: Era
) -> None:
    """R7: as text and as structure, which conforms to what is published."""
    app = build(way=way)
    reply = await call(app, tool, {"fields": fields}, era=era)
    assert not reply.is_error, reply.text_content
    structured = reply.result["structuredContent"]
    assert structured == expected
    schema = (await tools(app, era=era))[tool]["outputSchema"]
    jsonschema_rs.validate(schema, structured)
    in_text = json.loads(reply.text_content)
    assert in_text == (expected["result"] if expected.keys() == {"result"} else expected)


@eras
async def test_the_argument_is_published_where_there_are_fields_to_ask_for(era: Era) -> None:
    """R7: of objects, and where a mark does not say otherwise."""
    listed = await tools(build(), era=era)
    with_fields = {name for name, tool in listed.items() if takes_fields(tool)}
    assert with_fields == {"page", "list_all", "either", "on"}
    argument = listed["page"]["inputSchema"]["properties"]["fields"]
    assert argument["items"] == {"type": "string", "maxLength": 300}
    assert argument["maxItems"] == 200
    assert '["items.slug"]' in argument["description"]
    assert "total, items, items.slug, items.title" in argument["description"]
    assert "required" not in listed["page"]["inputSchema"]


async def test_by_default_there_is_none_and_selectors_and_marks_say_where() -> None:
    """R7."""
    for fields, expected in (((), {"on"}), (["GET /page"], {"on", "page"})):
        listed = await tools(build(fields))
        assert {name for name, tool in listed.items() if takes_fields(tool)} == expected
    wrong = build(["GET /pag"])
    match = r"'GET /pag' matches no .*'GET /page'"
    with pytest.raises(InvalidSelector, match=match), TestClient(wrong):
        pass
    with pytest.raises(MountError, match=r"fields= must be a list such as"):
        mount_mcp(FastAPI(), fields="page")


async def test_an_argument_of_that_name_stays_the_operations_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R7: and the log says so."""
    with caplog.at_level(logging.WARNING, "mcp_mount"):
        reply = await call(build(), "own", {"fields": "four"})
    assert reply.result["structuredContent"] == {"total": 4, "items": []}
    assert "GET /own has an argument 'fields' of its own" in caplog.text


@eras
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (["items.slgu"], "Unknown field 'items.slgu'. Did you mean 'items.slug'"),
        (["slug"], "Unknown field 'slug'."),
        (["total.x"], "Unknown field 'total.x'."),
        ([""], "Unknown field ''."),
        (["items..slug"], "Unknown field 'items..slug'."),
        ([1], "'fields' must be a list of paths such as [\"items.slug\"]"),
        (7, "'fields' must be a list of paths"),
        (["total"] * 201, "takes 200 paths at the most"),
        (["items." + "a" * 295], "each of 300 characters and 16 names"),
        ([".".join(["items"] * 17)], "each of 300 characters and 16 names"),
        ("," * 61_000, "takes 200 paths at the most"),
    ],
)
async def test_a_field_that_is_not_there_is_refused_before_the_call(
    fields: Any, said: str, era: Era
) -> None:
    """R7: with the near ones."""
    reply = await call(build(), "page", {"fields": fields}, era=era)
    assert reply.is_error
    assert said in reply.text_content


@pytest.mark.parametrize("fields", ["total", '["total"]', "total,total", ["total"]])
async def test_a_list_may_be_written_as_text(fields: Any) -> None:
    """A6: models do so."""
    reply = await call(build(), "page", {"fields": fields})
    assert reply.result["structuredContent"] == {"total": 2}


@pytest.mark.parametrize("fields", [None, []])
async def test_without_fields_the_answer_is_whole(fields: Any) -> None:
    """R7."""
    whole = await call(build(), "page")
    assert (await call(build(), "page", {"fields": fields})).result == whole.result


WIDE: dict[str, Any] = {
    "type": "object",
    "properties": {f"a{number}": {"$ref": "#/$defs/Wide"} for number in range(300)},
}
NAMED = {f"{number:04}" * 15: {"type": "string"} for number in range(1_000)}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({**WIDE, "$defs": {"Wide": WIDE}}, ".".join(f"a{number}" for number in range(16))),
        ({"type": "object", "properties": NAMED}, "0123" * 15),
        ({"type": "object", "properties": NAMED}, "1023" * 16),
        ({"type": "object"}, ".".join("a" * 16)),
    ],
    ids=["deep", "wide", "unknown", "open"],
)
def test_no_paths_take_long_to_read(schema: dict[str, Any], path: str) -> None:
    """F1: as many as may be, and as long."""
    fields = Fields(schema, is_wrapped=False)
    assert len(fields.known) <= 1_000
    with within_seconds(0.1), suppress(InvalidArguments):
        fields.take({"fields": [path] * 200})


def test_paths_that_lead_through_unions_of_unions_are_refused_soon() -> None:
    """F1: each leads to another combination of schemas; two hundred held the loop for 0.8 s.

    A call that asks for less is answered, before and after it.
    """
    number_of = random.Random(1)  # noqa: S311 - the same schemas each time
    names = "abcd"
    schemas = {
        f"S{number}": {
            "type": "object",
            "properties": {
                name: {
                    "anyOf": [
                        {"$ref": f"#/$defs/S{each}"} for each in number_of.sample(range(60), 12)
                    ]
                }
                for name in names
            },
        }
        for number in range(60)
    }
    fields = Fields({"$ref": "#/$defs/S0", "$defs": schemas}, is_wrapped=False)
    paths = [".".join(number_of.choices(names, k=16)) for _ in range(200)]
    few = {"fields": paths[:2]}
    assert fields.take(few)[1]
    for _ in range(2):
        begun = time.thread_time()
        with pytest.raises(InvalidArguments, match="'fields' leads through too many schemas"):
            fields.take({"fields": paths})
        assert time.thread_time() - begun < 0.2
    assert fields.take(few)[1]
