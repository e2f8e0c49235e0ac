"""Schemas that hold together are published as one, which accepts no less."""

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_mount.openapi.directions import Direction
from mcp_mount.openapi.schemas import Schemas
from tests.profile import check_schema

Schema = dict[str, Any]
NAMES = st.sampled_from(["a", "b", "x-c"])
SMALL = st.integers(-2, 4)
KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["object", "array", "integer", "string", ["string", "null"], "number"]),
    "enum": st.lists(st.sampled_from([1, 2, "a", None, {}, []]), min_size=1, max_size=3),
    "minimum": SMALL,
    "exclusiveMaximum": SMALL,
    "minLength": st.integers(0, 2),
    "maxItems": st.integers(0, 2),
    "required": st.lists(NAMES, unique=True, max_size=2),
    "description": st.just("d"),
}


def around(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    """Draw a schema with others in it."""
    few = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            **KEYWORDS,
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "additionalProperties": inner | st.booleans(),
            "patternProperties": st.dictionaries(st.just("^x-"), inner, max_size=1),
            "items": inner | st.booleans(),
            "prefixItems": few,
            "allOf": few,
            "anyOf": few,
            "oneOf": few,
            "$ref": st.sampled_from(["#/components/schemas/A", "#/components/schemas/B"]),
        },
    )


SCHEMAS = st.recursive(st.fixed_dictionaries({}, optional=KEYWORDS), around, max_leaves=6)
VALUES = st.recursive(
    st.none() | SMALL | st.sampled_from(["", "a", "abc", 1.5]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
DIRECTIONS: list[Direction] = ["input", "output"]


@pytest.mark.parametrize("direction", DIRECTIONS)
@given(
    parts=st.lists(SCHEMAS, min_size=1, max_size=3),
    beside=SCHEMAS,
    shared=st.fixed_dictionaries({"A": SCHEMAS.filter(lambda each: "$ref" not in str(each))}),
    values=st.lists(VALUES, min_size=4, max_size=8),
)
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_what_all_of_them_accept_the_one_accepts(
    direction: Direction, parts: list[Schema], beside: Schema, shared: Schema, values: list[Any]
) -> None:
    """P1, P5: whatever keywords stand in which of them."""
    document = {"openapi": "3.1.0", "components": {"schemas": {**shared, "B": {"type": "object"}}}}
    schema = {**beside, "allOf": parts}
    original = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
    published = Schemas(document).publish({"properties": {"a": schema}}, direction)
    check_schema({"type": "object", **published}, shares=True)
    validator = jsonschema_rs.Draft202012Validator(published)
    for value in values:
        if original.is_valid(value):
            assert validator.is_valid({"a": value}), json.dumps(published)


INTEGER, TEXT = {"type": "integer"}, {"type": "string"}


@pytest.mark.parametrize(
    ("parts", "value"),
    [
        ([{"prefixItems": [INTEGER, TEXT], "items": False}, {"prefixItems": [INTEGER]}], [1, "a"]),
        ([{"items": INTEGER}, {"prefixItems": [INTEGER], "maxItems": 2}], [1, 2]),
        (
            [
                {"patternProperties": {"^x-": INTEGER}, "additionalProperties": False},
                {"patternProperties": {"^y-": TEXT}},
            ],
            {"x-a": 1},
        ),
        (
            [
                {"properties": {"a": INTEGER}, "additionalProperties": INTEGER},
                {"properties": {"b": {"minimum": 1}}, "required": ["b"]},
            ],
            {"a": 1, "b": 2, "c": 3},
        ),
        ([{"minimum": 1, "exclusiveMinimum": True}, {"minimum": 2}], 2),
        ([{"oneOf": [INTEGER, TEXT]}, {"anyOf": [TEXT, {"type": "null"}]}], "a"),
        ([{"type": ["integer", "string"]}, {"type": ["string", "null"]}], "a"),
        ([{"enum": [1, 2]}, {"enum": [2, 3]}], 2),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_keywords_of_different_schemas_do_not_narrow_each_other(
    parts: list[Schema], value: object, order: int
) -> None:
    """P5: what belongs together stays together, in whatever order they come."""
    schema = {"properties": {"a": {"allOf": parts[::order]}}}
    published = Schemas({}).publish(schema, "input")
    assert "allOf" not in json.dumps(published)
    assert jsonschema_rs.Draft202012Validator(published).is_valid({"a": value})
