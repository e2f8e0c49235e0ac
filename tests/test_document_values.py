"""What stands in a document as it is, and is published so, is small; so are all its schemas."""

import logging
from typing import Any

import pytest

from mcp_mount import MountError, proxy_app
from tests.profile import check_list
from tests.support import tools

Schema = dict[str, Any]
LARGE = "x" * 100_000


def document(schema: Schema, operations: int) -> Schema:
    """Return operations that all have an argument, and a result, of the same schema."""
    shared = {"$ref": "#/components/schemas/Shared"}
    answer = {"description": "", "content": {"application/json": {"schema": shared}}}
    operation = {
        "parameters": [{"name": "q", "in": "query", "schema": shared}],
        "responses": {"200": answer},
    }
    return {
        "openapi": "3.1.0",
        "paths": {f"/a{number}": {"get": operation} for number in range(operations)},
        "components": {"schemas": {"Shared": schema}},
    }


def nested(depth: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "schema",
    [
        {"const": {"a": LARGE}},
        {"const": [LARGE]},
        {"enum": [{"a": LARGE}, 1]},
        {"type": "object", "default": {"a": LARGE}},
        {"type": "array", "default": [[0] * 50_000]},
        {"type": "string", "contentMediaType": LARGE},
        {"type": "object", "properties": {LARGE: {}}, "required": [LARGE]},
        {"enum": [*range(60), LARGE]},
    ],
)
async def test_no_value_of_a_schema_makes_a_list_large(schema: Schema) -> None:
    """Promise of docs/security.md: what is too long is left out, and the schema accepts more."""
    listed = await tools(proxy_app(document(schema, 10), "http://localhost:9"))
    check_list(listed)
    assert len(listed) == 10
    assert len(str(listed)) < 20_000


@pytest.mark.parametrize("key", ["default", "const", "enum", "examples"])
async def test_no_value_is_too_deep_to_be_listed(key: str) -> None:
    """The SDK refuses to write what is deeper than 255, and with it everybody's list."""
    value = [nested(400)] if key in {"enum", "examples"} else nested(400)
    listed = await tools(
        proxy_app(document({"type": "array", key: value}, 1), "http://localhost:9")
    )
    assert listed["get_a0"]["inputSchema"]["properties"]["q"] == {"type": "array", "items": {}}


async def test_a_value_in_the_deepest_schema_can_be_listed() -> None:
    schema: Schema = {"type": "array", "default": nested(18), "nullable": True}
    for _ in range(70):
        schema = {"type": ["array", "null"], "items": schema}
    listed = await tools(proxy_app(document(schema, 1), "http://localhost:9"))
    assert listed["get_a0"]["inputSchema"]["properties"]["q"]


async def test_small_values_are_published_as_they_are() -> None:
    schema = {"type": "array", "items": {}, "default": [{"a": ["b", 1]}]}
    listed = await tools(proxy_app(document(schema, 1), "http://localhost:9"))
    assert listed["get_a0"]["inputSchema"]["properties"]["q"] == schema


async def test_all_schemas_of_a_document_have_sixteen_million_characters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What many operations share is published while it fits; the rest accepts anything."""
    options = [
        {"type": "object", "title": "", "const": {"a": "x" * 3_900, "b": n}} for n in range(20)
    ]
    with caplog.at_level(logging.WARNING):
        app = proxy_app(document({"anyOf": options}, 250), "http://localhost:9")
    listed = await tools(app)
    assert len(listed) == 250
    sizes = [
        len(str(each["inputSchema"])) + len(str(each["outputSchema"]))
        if "outputSchema" in each
        else len(str(each["inputSchema"]))
        for each in listed.values()
    ]
    assert 10_000_000 < sum(sizes) < 17_000_000
    assert max(sizes[-10:]) < 1_000
    (line,) = caplog.messages
    assert "accept anything, for they are too much" in line


def test_a_mark_whose_meta_is_too_deep_to_be_listed_is_refused() -> None:
    made = document({}, 1)
    made["paths"]["/a0"]["get"]["x-mcp"] = {"meta": {"a": nested(400)}}
    with pytest.raises(MountError, match="in each other"):
        proxy_app(made, "http://localhost:9")
