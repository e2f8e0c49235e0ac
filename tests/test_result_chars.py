"""A result has no more characters than `max_result_chars`, and says what there was."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel

from mcp_mount import Limits, mount_mcp
from mcp_mount.conversion.content import Result
from mcp_mount.conversion.shortening import shorten_foreign
from tests.dialects import events
from tests.support import ERAS, Era, Reply, call, tools
from tests.ways import Way, either_way, force

MOST = 2_000


class Item(BaseModel):
    slug: str
    title: str


class Page(BaseModel):
    total: int
    items: list[Item]
    next: str


ITEMS = [Item(slug=f"slug-{n}", title="A title, " * 3) for n in range(500)]


def build(way: Way = "quick", most: int | None = MOST) -> FastAPI:
    app = FastAPI()

    @app.get("/listed")
    async def listed(limit: int = 500, page_size: int = 1, *, deep: bool = False) -> list[Item]:
        return ITEMS[:limit]

    @app.get("/paged")
    async def paged() -> Page:
        return Page(total=500, items=ITEMS, next="/2")

    @app.get("/free")
    async def free() -> Any:
        return {"a": "line\n" * 1_000, "b": [1] * 5_000, "c": 3}

    @app.get("/text", response_class=PlainTextResponse)
    async def text() -> str:
        return "a line of text\n" * 500

    @app.get("/line", response_class=PlainTextResponse)
    async def line() -> str:
        return "x" * 5_000

    @app.get("/long", response_class=PlainTextResponse)
    async def long() -> str:
        return "a line of text\n" * 100_000

    add_streams(app)
    mark: dict[str, Any] = {"x-mcp": {"limits": {"max_result_chars": 9_000}}}
    app.get("/whole", name="whole", openapi_extra=mark, response_class=PlainTextResponse)(line)
    off: dict[str, Any] = {"x-mcp": {"limits": {"max_result_chars": False}}}
    app.get("/off", name="off", openapi_extra=off, response_class=PlainTextResponse)(line)
    app.get("/named", name="named", response_class=PlainTextResponse)(line)
    marks: dict[Any, Any] = {"named": {"limits": {"max_result_chars": None}}}
    force(mount_mcp(app, limits=Limits(max_result_chars=most), tools=marks), way)
    return app


def add_streams(app: FastAPI) -> None:
    """Add tools that stream, fail, and answer with what is no text."""

    @app.get("/lines")
    async def lines() -> AsyncIterator[Item]:
        for item in ITEMS:
            yield item

    @app.get("/chat", response_class=StreamingResponse)
    async def chat() -> StreamingResponse:
        body = events(["word "] * 900 + [{"usage": n} for n in range(99)])
        return StreamingResponse(iter([body]), media_type="text/event-stream")

    @app.get("/fails", response_class=PlainTextResponse)
    async def fails() -> Response:
        return PlainTextResponse("a line of text\n" * 500, 400)

    @app.get("/image")
    async def image() -> Response:
        return Response(b"\x00" * 5_000, media_type="image/png")


def check(reply: Reply, most: int = MOST) -> dict[str, Any]:
    """Check the length of a result, and that both of its forms say the same; return the one."""
    assert not reply.is_error
    texts = [block["text"] for block in reply.result["content"]]
    assert sum(map(len, texts)) <= most
    structured: dict[str, Any] = reply.result["structuredContent"]
    assert structured["truncated"] == texts[-1]
    assert "(max_result_chars)" in texts[-1]
    return structured


@pytest.mark.parametrize("era", ERAS)
@either_way
async def test_a_list_is_cut_at_whole_items_and_says_how_to_ask_for_less(
    way: Way, era: Era
) -> None:
    """R6."""
    app = build(way)
    reply = await call(app, "listed", era=era)
    structured = check(reply)
    items = structured["result"]
    assert items == [item.model_dump() for item in ITEMS[: len(items)]]
    assert json.loads(reply.result["content"][0]["text"]) == items
    assert f"{len(items)} of 500 items" in structured["truncated"]
    assert "Ask for less with 'limit', 'page_size'." in structured["truncated"]
    assert "deep" not in structured["truncated"]
    assert len(reply.text_content) > MOST * 0.8
    jsonschema_rs.validate((await tools(app, era=era))["listed"]["outputSchema"], structured)


@pytest.mark.parametrize("era", ERAS)
async def test_what_stands_beside_the_list_is_kept(era: Era) -> None:
    """R6: the number of all, and where the rest is."""
    app = build()
    structured = check(await call(app, "paged", era=era))
    assert (structured["total"], structured["next"]) == (500, "/2")
    assert f"{len(structured['items'])} of 500 items in 'items'" in structured["truncated"]
    assert len(structured["items"]) > 20
    jsonschema_rs.validate((await tools(app, era=era))["paged"]["outputSchema"], structured)


async def test_each_of_several_long_members_is_cut() -> None:
    """R6."""
    structured = check(await call(build(), "free"))
    assert structured["c"] == 3
    assert structured["a"].removesuffix("line") == "line\n" * structured["a"].count("\n")
    assert 100 < len(structured["a"]) < 1_000
    assert 100 < len(structured["b"]) < 1_000
    assert "of 1,001 lines in 'a'" in structured["truncated"]
    assert "of 5,000 items in 'b'" in structured["truncated"]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("tool", "said"),
    [("text", "of 501 lines"), ("line", "of 5,000 characters"), ("long", "of 100,001 lines")],
)
async def test_a_text_is_cut_at_a_line(tool: str, said: str, era: Era) -> None:
    """R6: one without lines, anywhere; a long one is in a file."""
    reply = await call(build(), tool, era=era)
    text, note = (block["text"] for block in reply.result["content"])
    assert MOST * 0.8 < len(text) + len(note) <= MOST
    assert said in note
    assert tool == "line" or not text.replace("a line of text\n", "").removesuffix("a line of text")


async def test_items_of_a_stream_are_cut_as_those_of_a_list() -> None:
    """R6."""
    reply = await call(build(), "lines")
    structured = check(reply)
    assert "of 500 items" in structured["truncated"]
    lines = reply.result["content"][0]["text"].splitlines()
    assert [json.loads(each) for each in lines] == structured["result"]


async def test_a_text_with_items_beside_it_is_cut() -> None:
    """R6."""
    structured = check(await call(build(), "chat"))
    assert structured["text"].startswith("word word")
    assert structured["result"][0] == {"data": {"usage": 0}}


async def test_an_error_is_cut_and_an_image_is_not() -> None:
    """R6."""
    reply = await call(build(), "fails")
    assert reply.is_error
    assert MOST * 0.8 < len(reply.text_content) <= MOST + 1
    assert "structuredContent" not in reply.result
    (image,) = (await call(build(), "image")).result["content"]
    assert len(image["data"]) > MOST


async def test_a_mark_says_otherwise_and_by_default_nothing_is_cut() -> None:
    """R6."""
    assert len((await call(build(), "whole")).text_content) == 5_000
    for most in (None, 10_000):
        assert len((await call(build(most=most), "line")).text_content) == 5_000
    assert (
        len((await call(build(most=None), "listed")).result["structuredContent"]["result"]) == 500
    )


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["off", "named"])
async def test_a_mark_switches_it_off(tool: str, era: Era) -> None:
    """R6: with False on a route, since FastAPI leaves null out of its document."""
    assert (await call(build(), tool, era=era)).text_content == "x" * 5_000


@pytest.mark.parametrize("most", [1, 10, 100, 500])
@pytest.mark.parametrize("tool", ["listed", "paged", "free", "text", "lines", "chat"])
async def test_very_little_room_breaks_nothing(tool: str, most: int) -> None:
    """R6: what is left conforms, and says what there was."""
    app = build(most=most)
    reply = await call(app, tool)
    assert "max_result_chars" in reply.text_content
    schema = (await tools(app))[tool].get("outputSchema")
    if schema is not None:
        jsonschema_rs.validate(schema, reply.result["structuredContent"])


@pytest.mark.parametrize("most", [100, MOST])
def test_a_long_name_is_not_copied_for_each_member(most: int) -> None:
    """S3: 8 MB of names and members took a thread half a minute; others' results waited for it."""
    members = {f"{number}": 1 for number in range(10_000)}
    value = {"n" * 7_000_000: members}
    begun = time.thread_time()
    result = Result(("",), value)
    shortened = shorten_foreign(result, most, conforms=lambda _: True, arguments=())
    assert time.thread_time() - begun < 1
    assert len("".join(map(str, shortened.content))) < 300
