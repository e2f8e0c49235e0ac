"""What a remote answers has no more characters than `max_result_chars`, and says what there was."""

import json
from typing import Any

import jsonschema_rs
import pytest

from mcp_mount import Limits, Remote
from tests.others import gateway, raw, text, tool
from tests.support import ERAS, Era, Reply, call, tools

MOST = 2_000
ROWS = [{"slug": f"slug-{n}", "title": "A title"} for n in range(300)]
PAGE = {"total": 300, "items": ROWS}
LINES = "a line of text\n" * 500
ITEMS = {"type": "array", "items": {"type": "object"}}
LIMITED = {"type": "object", "properties": {"limit": {"type": "integer"}, "deep": {}}}

pytestmark = pytest.mark.parametrize("era", ERAS)


async def ask(answer: dict[str, Any], era: Era, /, most: int | None = MOST, **more: Any) -> Reply:
    """Call a tool that gives this answer; `more` is how the server lists it."""
    limits = Limits(max_result_chars=most)
    with raw([tool("tool", **more)], call=answer) as (_, url):
        async with gateway(Remote("raw", url=url), limits=limits) as app:
            reply = await call(app, "raw_tool", era=era)
            schema = (await tools(app, era=era))["raw_tool"].get("outputSchema")
            if schema is not None and not reply.is_error:
                jsonschema_rs.validate(schema, reply.result["structuredContent"])
            return reply


def texts_of(reply: Reply) -> list[str]:
    """Return the texts of a result that was cut, the last of which says so."""
    texts = [block["text"] for block in reply.result["content"] if block["type"] == "text"]
    assert "(max_result_chars)" in texts[-1]
    assert sum(map(len, texts)) <= MOST
    return texts


async def test_a_structure_and_its_text_are_cut_at_the_same_items(era: Era) -> None:
    """Gateway, R6."""
    schema = {"type": "object", "properties": {"total": {"type": "integer"}, "items": ITEMS}}
    answer = text(json.dumps(PAGE, indent=2), structuredContent=PAGE)
    reply = await ask(answer, era, outputSchema=schema, inputSchema=LIMITED)
    said, note = texts_of(reply)
    structured = reply.result["structuredContent"]
    assert structured == {**json.loads(said), "truncated": note}
    assert structured["items"] == ROWS[: len(structured["items"])]
    assert structured["total"] == 300
    assert f"{len(structured['items'])} of 300 items in 'items'. Ask for less with 'limit'" in note
    assert len(said) > MOST * 0.8


async def test_a_list_that_stands_in_an_object_is_cut_in_both(era: Era) -> None:
    """Gateway, R6: as FastMCP's servers answer with a list."""
    schema = {"type": "object", "properties": {"result": ITEMS}}
    answer = text(json.dumps(ROWS), structuredContent={"result": ROWS})
    reply = await ask(answer, era, outputSchema=schema)
    said, _ = texts_of(reply)
    assert reply.result["structuredContent"]["result"] == json.loads(said)


async def test_a_text_that_is_json_is_cut_at_items_and_another_at_a_line(era: Era) -> None:
    """Gateway, R6: most servers declare nothing."""
    said, note = texts_of(await ask(text(json.dumps(ROWS)), era))
    assert json.loads(said) == ROWS[: len(json.loads(said))]
    assert "of 300 items" in note
    said, note = texts_of(await ask(text(LINES), era))
    assert said.removesuffix("a line of text").replace("a line of text\n", "") == ""
    assert "of 501 lines" in note


async def test_several_texts_are_cut_at_whole_ones_and_an_image_stays(era: Era) -> None:
    """Gateway, R6: as the SDK's servers answer with a list."""
    blocks = [{"type": "text", "text": json.dumps(row)} for row in ROWS]
    image = {"type": "image", "data": "x" * 4_000, "mimeType": "image/png"}
    reply = await ask({"content": [*blocks, image]}, era)
    *said, note = texts_of(reply)
    assert [json.loads(each) for each in said] == ROWS[: len(said)]
    assert f"{len(said)} of 300 texts" in note
    assert image in reply.result["content"]
    only_first = await ask({"content": [{"type": "text", "text": LINES}, *blocks[:1]]}, era)
    assert "of 501 lines; 1 of 2 texts" in texts_of(only_first)[-1]


async def test_a_structure_that_says_more_than_the_text_is_cut_by_itself(era: Era) -> None:
    """Gateway, R6: the text may be a summary."""
    reply = await ask(text("There are 300.", structuredContent=PAGE), era)
    said, note = texts_of(reply)
    structured = reply.result["structuredContent"]
    assert said == "There are 300."
    assert structured["truncated"] == note
    assert len(structured["items"]) > 30
    assert len(json.dumps(structured, separators=(",", ":"))) <= MOST


async def test_a_structure_that_cannot_be_cut_as_declared_stays_whole(era: Era) -> None:
    """Gateway, R6: clients would refuse the whole result."""
    lines = "a line\n" * 500
    kinds = {"type": "string", "enum": [lines]}
    schema = {"type": "object", "properties": {"kind": kinds}}
    answer = text(json.dumps({"kind": lines}), structuredContent={"kind": lines})
    reply = await ask(answer, era, outputSchema=schema)
    assert reply.result["structuredContent"] == {"kind": lines}
    assert "of 501 lines in 'kind'" in texts_of(reply)[-1]


async def test_an_error_is_cut_too(era: Era) -> None:
    """Gateway, R6."""
    reply = await ask(text(LINES, isError=True), era)
    assert reply.is_error
    assert "of 501 lines" in texts_of(reply)[-1]


async def test_what_fits_or_is_not_limited_stays(era: Era) -> None:
    """Gateway, R6: and one server's limit goes before that of all."""
    assert (await ask(text("short"), era)).text_content == "short"
    assert (await ask(text(LINES), era, most=None)).text_content == LINES
    with raw([tool()], call=text(LINES)) as (_, url):
        remotes = [
            Remote("off", url=url, limits={"max_result_chars": None}),
            Remote("none", url=url, limits={"max_result_chars": False}),
            Remote("more", url=url, limits={"max_result_chars": 4_000}),
        ]
        async with gateway(*remotes, limits=Limits(max_result_chars=MOST)) as app:
            assert (await call(app, "off_tool", era=era)).text_content == LINES
            assert (await call(app, "none_tool", era=era)).text_content == LINES
            assert MOST < len((await call(app, "more_tool", era=era)).text_content) <= 4_001
