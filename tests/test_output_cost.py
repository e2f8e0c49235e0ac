"""What results are compared with costs no more than a document can make of it."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest
from fastapi import FastAPI, Response

from mcp_mount import mount_mcp
from mcp_mount.conversion.comparing import Comparison
from tests.support import ERAS, Era, call
from tests.test_linear import within_seconds

eras = pytest.mark.parametrize("era", ERAS)

NODE = {"$ref": "#/components/schemas/Node"}
# Two of a kind, as folders and files with the folder that they are in.
UNION = {
    "anyOf": [
        {"type": "object", "properties": {"in": NODE, "size": {"type": "integer"}}},
        {"type": "object", "properties": {"in": NODE, "name": {"type": "string"}}},
    ]
}


def answering(schema: dict[str, Any], answer: Any) -> FastAPI:
    """Return an app with a tool that answers so, and documents its answer with a schema."""
    app, body = FastAPI(), json.dumps(answer)

    @app.get("/found", operation_id="found")
    def found() -> Response:
        return Response(body, media_type="application/json")

    document = app.openapi()
    content = document["paths"]["/found"]["get"]["responses"]["200"]["content"]
    content["application/json"] = {"schema": schema}
    document["components"] = {"schemas": {"Node": UNION}}
    mount_mcp(app)
    return app


def row(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = {"in": value}
    return value


@eras
async def test_where_an_answer_strays_is_soon_found(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """F1: with each level of a recursive union, the place took twice as long to be told."""
    caplog.set_level(logging.WARNING, "mcp_mount")
    app = answering(NODE, nested(None, 25))
    with within_seconds(5):
        reply = await call(app, "found", era=era)
    assert reply.result["structuredContent"] == {"undocumented": nested(None, 25)}
    assert f"with another value at '/result{'/in' * 7}'" in caplog.text


@eras
async def test_the_place_that_the_log_names_is_the_first_that_strays(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """R1: in lists and objects, whatever is beside it."""
    caplog.set_level(logging.WARNING, "mcp_mount")
    row = {"type": "object", "properties": {"id": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": row}}}
    await call(answering(schema, {"x": 1, "a": [{"id": 1}, {"id": "b"}, 3]}), "found", era=era)
    assert "with another value at '/a/1/id'" in caplog.text


@eras
async def test_a_large_answer_is_not_compared_with_many_alternatives(era: Era) -> None:
    """F1: 900 of them and half a megabyte held the event loop for 0.8 s at each call."""
    kinds = [
        {"type": "object", "properties": {"a": {"enum": [f"x{number}"]}}} for number in range(900)
    ]
    schema = {"type": "array", "items": {"anyOf": kinds}}
    for count, member in ((5, "result"), (5_000, "undocumented")):
        rows = [{"a": "x899"}] * count
        reply = await call(answering(schema, rows), "found", era=era)
        assert reply.result["structuredContent"] == {member: rows}
        assert json.loads(reply.text_content) == rows


@eras
async def test_numbers_of_enumerations_are_compared_in_a_large_answer(era: Era) -> None:
    """F1, R1: with five codes of ten values, no answer of more than 13 KB was what it documents."""
    names, codes = "abcde", [*range(100, 1_000, 90)]
    schema = {"type": "array", "items": row({name: {"enum": codes} for name in names})}
    rows = [dict.fromkeys(names, 190)] * 4_000
    for more, member in (([], "result"), ([dict.fromkeys(names, 200)], "undocumented")):
        reply = await call(answering(schema, [*rows, *more]), "found", era=era)
        assert reply.result["structuredContent"][member] == (more or rows)


@pytest.mark.in_process
@pytest.mark.parametrize("options", [[n + 0.5 for n in range(50)], [*range(50), "a"]])
def test_a_number_is_compared_with_fifty_in_one_step(options: list[Any]) -> None:
    """F1: it was compared with each of them, so that this took one second, or nine."""
    compare = Comparison({"type": "array", "items": {"enum": options}}).is_valid
    begun = time.process_time()
    assert compare([options[49]] * 190_000)
    assert time.process_time() - begun < 0.4


@pytest.mark.in_process
@pytest.mark.parametrize("size", [1, 8, 16])
@pytest.mark.parametrize("kind", [list, dict])
def test_objects_are_compared_with_fifty_while_that_is_soon_done(
    kind: Callable[[Any], Any], size: int
) -> None:
    """F1: 900 KB of them took 0.19 s, in one step."""
    alike = {f"k{number}": "x" for number in range(size)}
    options = [kind({str(number): "x", **alike}) for number in range(50)]
    comparison = Comparison({"type": "array", "items": {"enum": options}})
    rows = [options[49]] * int(comparison.most_bytes / len(json.dumps(options[49])))
    assert len(rows) > 50
    begun = time.process_time()
    assert comparison.is_valid(rows)
    assert time.process_time() - begun < 0.1


@pytest.mark.in_process
def test_nothing_is_compared_with_a_very_large_schema() -> None:
    """F1: one of 900 KB took 0.2 s to make ready, in the first call of each tool."""
    few, many = ({f"p{n}": {"type": "integer"} for n in range(most)} for most in (2_000, 50_000))
    assert not Comparison({"properties": few}).is_valid({"p0": "a"})
    comparison = Comparison({"properties": many})
    begun = time.process_time()
    assert comparison.most_bytes == 0
    assert comparison.is_valid({"p0": "a"})
    assert time.process_time() - begun < 0.05


VALUES = [0, 1, 2.0, 2.5, -1, 10**30, 1e300, True, False, None, "1", "a", [1], [1.0], {"a": 1}, {}]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_is_compared_quickly_is_compared_alike(value: Any) -> None:
    """R1: an enumeration with numbers, in each place where a schema can stand."""
    options = [value, 2, "a", None]
    enum, const = {"enum": options}, {"const": value}
    both = {"type": "integer", **enum, **const, "allOf": [{"enum": [value, 1]}]}
    for inner in (enum, const, both, {"anyOf": [const, {"type": "array", "items": enum}]}):
        # Properties can have the names of keywords.
        schema = row({"enum": inner, "const": {"$ref": "#/$defs/const"}})
        schema["$defs"] = {"const": inner}
        published = jsonschema_rs.Draft202012Validator(schema)
        for each in [*VALUES, [value], [2.5]]:
            content = {"enum": each, "const": each}
            assert Comparison(schema).is_valid(content) == published.is_valid(content)


async def test_a_tool_whose_answers_stray_in_ever_new_ways_fills_neither_log_nor_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """F1: each media type was a line, and was kept; a name in an answer had ten megabytes."""
    caplog.set_level(logging.WARNING, "mcp_mount")
    app, types = FastAPI(), [f"text/x-{number}-{'x' * 1_000}\x1b[2J" for number in range(30)]

    @app.get("/found", operation_id="found", response_model=dict[str, int])
    def found() -> Response:
        if types:
            return Response(b"1", media_type=types.pop())
        return Response(json.dumps({"n" * 100_000: "x"}), media_type="application/json")

    mount_mcp(app)
    for _ in range(31):
        await call(app, "found")
    assert len(caplog.records) == 10
    assert max(len(record.getMessage()) for record in caplog.records) < 500
    assert "\x1b" not in caplog.text


async def test_the_log_names_the_beginning_of_a_long_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """F1."""
    caplog.set_level(logging.WARNING, "mcp_mount")
    schema = {"type": "object", "properties": {"n" * 40_000: {"type": "string"}}}
    await call(answering(schema, {"n" * 40_000: 1}), "found")
    assert f"at '/{'n' * 64}'" in caplog.text
