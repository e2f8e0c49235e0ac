"""Whatever is left out of a published schema, it never refuses what the document's accepts."""

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from mcp_mount.openapi.directions import Direction
from mcp_mount.openapi.schemas import Schemas
from tests.profile import check_schema

Schema = dict[str, Any]
# A schema, a value that it accepts, and the components that the schema refers to.
Case = tuple[Schema, Any, Schema]

DIRECTIONS: tuple[Direction, ...] = ("input", "output")
NAMES = st.sampled_from(["a", "b", "default", "$ref", "items", "x-y", "größe"])
WORDS: SearchStrategy[Schema] = st.sampled_from(
    [
        *({"title": "A"}, {"exemples": [1]}, {"ui_type": "b"}, {"description": "Long. " * 60}),
        *({"default": None}, {"examples": [{"$ref": "#/nowhere"}]}, {"default": {"$ref": "x"}}),
        *({"x-a": 1}, {"nullable": False}, {"deprecated": True}, {"minContains": 1}, {}, {}),
    ]
)
CONDITIONS: SearchStrategy[Schema] = st.sampled_from(
    [
        *({"not": {"title": "a", "minLength": 9_000}}, {"if": {"minimum": 3}, "then": {}}, {}, {}),
        *({"dependentSchemas": {"zz": False}}, {"unevaluatedItems": True}, {"contains": {}}),
    ]
)
# A model of trees, which every document has.
TREE: Schema = {
    "type": "object",
    "properties": {
        "value": {"type": ["integer", "null"]},
        "trees": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
        "named": {"additionalProperties": {"$ref": "#/components/schemas/Tree"}},
    },
    "required": ["value"],
    "additionalProperties": False,
}
TREES: SearchStrategy[Any] = st.recursive(
    st.fixed_dictionaries({"value": st.none() | st.integers()}),
    lambda trees: st.fixed_dictionaries(
        {"value": st.none()},
        optional={"trees": st.lists(trees), "named": st.dictionaries(NAMES, trees)},
    ),
)
VALUES: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(NAMES, values, max_size=4),
    max_leaves=6,
)


@st.composite
def leaves(draw: st.DrawFn) -> Case:
    schema, values = draw(
        st.sampled_from(
            [
                ({"type": "integer", "minimum": -9, "exclusiveMaximum": 10}, st.integers(-9, 9)),
                ({"type": "number", "multipleOf": 0.5}, st.sampled_from([0, 1.5, -3.0])),
                ({"type": "string", "pattern": "^a+$"}, st.just("aa")),
                ({"type": "string", "pattern": "^a\\Z"}, st.nothing()),
                ({"enum": [f"v{n}" for n in range(60)]}, st.sampled_from(["v0", "v59"])),
                ({"enum": [1, None, "x"]}, st.sampled_from([1, None, "x"])),
                ({"const": {"k": [1]}}, st.just({"k": [1]})),
                ({"type": ["string", "null"]}, st.none() | st.text()),
                ({"type": "boolean"}, st.booleans()),
                ({}, VALUES),
                ({"$ref": "#/components/schemas/Tree"}, TREES),
            ]
        ).filter(lambda pair: not pair[1].is_empty)
    )
    return {**schema, **draw(WORDS)}, draw(values), {}


@st.composite
def containers(draw: st.DrawFn, inner: SearchStrategy[Case]) -> Case:
    """Draw a schema around others, and the value that they accept together."""
    cases = draw(st.lists(inner, min_size=1, max_size=4))
    components = {name: each for case in cases for name, each in case[2].items()}
    schemas, values = [case[0] for case in cases], [case[1] for case in cases]
    schema: Schema
    value: Any
    kind = draw(st.sampled_from(["object", "map", "list", "tuple", "coordinates", "any", "all"]))
    if kind == "object":
        names = draw(st.lists(NAMES, unique=True, min_size=len(cases), max_size=len(cases)))
        value = dict(zip(names, values, strict=True))
        schema = {"type": "object", "properties": dict(zip(names, schemas, strict=True))}
        schema |= draw(st.sampled_from([{}, {"required": names}, {"additionalProperties": False}]))
    elif kind == "map":
        schema, value = {"additionalProperties": schemas[0]}, {"one": values[0], "two": values[0]}
        schema |= draw(st.sampled_from([{}, {"patternProperties": {"^t": {}, "(?i)^o": {}}}]))
    elif kind == "list":
        schema, value = {"type": "array", "items": {draw(UNIONS): schemas}}, values
    elif kind == "tuple":
        schema = {"type": "array", "prefixItems": schemas}
        schema |= draw(st.sampled_from([{}, {"maxItems": len(schemas)}, {"items": False}]))
        value = values
    elif kind == "coordinates":
        schema = {"type": "array", "prefixItems": [schemas[0]] * 3, "minItems": 3, "maxItems": 3}
        value = [values[0]] * 3
    elif kind == "any":
        schema, value = {draw(UNIONS): [*schemas, {"type": "null"}]}, values[0]
    else:
        schema, value = {"allOf": [schemas[0], {"description": "b"}][: draw(ONE_OR_TWO)]}, values[0]
    schema = {**schema, **draw(WORDS), **draw(CONDITIONS)}
    if draw(st.booleans()):
        name = f"Model{len(components)}{draw(st.integers(0, 9_999))}"
        return {"$ref": f"#/components/schemas/{name}"}, value, {**components, name: schema}
    return schema, value, components


UNIONS = st.sampled_from(["anyOf", "oneOf"])
ONE_OR_TWO = st.integers(1, 2)
CASES = st.recursive(leaves(), containers, max_leaves=8)


def wide(case: Case, levels: int) -> Case:
    """Make a case so large that it is published in part: ten properties of ten properties …."""
    schema, value, components = case
    for level in range(levels):
        names = [f"property_{level}_{number}" for number in range(10)]
        model = {
            "type": "object",
            "properties": dict.fromkeys(names, schema),
            "required": names[:1],
            "additionalProperties": False,
        }
        components = {**components, f"Wide{level}": model}
        schema, value = {"$ref": f"#/components/schemas/Wide{level}"}, {names[0]: value}
    return schema, value, components


@pytest.mark.parametrize("direction", DIRECTIONS)
@given(case=CASES, levels=st.integers(0, 3), other=VALUES)
@settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
def test_what_the_document_accepts_the_published_schema_accepts(
    direction: Direction, case: Case, levels: int, other: Any
) -> None:
    """P1, P5: a value that was drawn with its schema, and one that was not."""
    schema, value, components = wide(case, levels)
    components = {"schemas": {**components, "Tree": TREE}}
    original = jsonschema_rs.Draft202012Validator({**schema, "components": components})
    published = Schemas({"components": components}).publish(schema, direction)
    jsonschema_rs.meta.validate(published)
    validator = jsonschema_rs.Draft202012Validator(published)
    for each in (value, other):
        if original.is_valid(each):
            assert validator.is_valid(each), json.dumps(published)


@pytest.mark.parametrize("direction", DIRECTIONS)
@given(case=CASES, levels=st.integers(0, 3))
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
def test_what_is_published_fits_the_profile(direction: Direction, case: Case, levels: int) -> None:
    """P1, P4: whatever the document's schema has."""
    schema, _, components = wide(case, levels)
    schemas = Schemas({"components": {"schemas": {**components, "Tree": TREE}}})
    published = schemas.publish({"type": "object", "properties": {"a": schema}}, direction)
    check_schema(published, shares=True)
    assert len(json.dumps(published)) < 20_000


def positions(least: int, most: int) -> Schema:
    """Return the schema of a list of so many numbers."""
    return {"type": "array", "items": INTEGER, "minItems": least, "maxItems": most}


INTEGER, TEXT, NULL = ({"type": kind} for kind in ("integer", "string", "null"))
PAIR: Schema = {"type": "array", "prefixItems": [INTEGER, INTEGER]}
ANY: Schema = {"type": "array", "items": INTEGER}
CLOSED: Schema = {"properties": {"a": INTEGER}, "additionalProperties": False}
MANY = [f"v{number}" for number in range(60)]
REWRITTEN: dict[str, tuple[Schema, Schema, Any]] = {
    "coordinates": (
        {**PAIR, "minItems": 2, "maxItems": 2},
        {"type": "array", "items": INTEGER, "minItems": 2, "maxItems": 2},
        [1, 2],
    ),
    "pair_and_more": (PAIR, {**PAIR, "items": {}}, [1, 2, "x"]),
    "pair_of_two_kinds": (
        {"type": "array", "prefixItems": [INTEGER, TEXT], "maxItems": 2},
        {"type": "array", "prefixItems": [INTEGER, TEXT], "maxItems": 2, "items": {}},
        [1, "a"],
    ),
    "two_or_three": (
        {"anyOf": [positions(2, 2), positions(3, 3)]},
        positions(2, 3),
        [1, 2, 3],
    ),
    "any_number": (
        {"anyOf": [positions(4, 4), {"type": "array", "items": INTEGER, "maxItems": 3}, ANY]},
        ANY,
        [1, 2, 3, 4, 5],
    ),
    "four_or_six": (
        {"anyOf": [positions(4, 4), positions(6, 6)]},
        {"anyOf": [positions(4, 4), positions(6, 6)]},
        [1, 2, 3, 4],
    ),
    "optional": ({"anyOf": [TEXT, NULL]}, {"anyOf": [TEXT, NULL]}, None),
    "optional_choice": (
        {"anyOf": [{"type": "string", "enum": ["a"]}, NULL]},
        {"anyOf": [{"type": "string", "enum": ["a"]}, NULL]},
        None,
    ),
    "optional_inside_a_model": (
        {"anyOf": [{"type": "object", **CLOSED}, NULL], "additionalProperties": {}},
        {"anyOf": [{"type": "object", **CLOSED}, NULL], "additionalProperties": {}},
        {"a": 1},
    ),
    "union_of_one": ({"anyOf": [TEXT], "description": "b"}, {**TEXT, "description": "b"}, "x"),
    "union_inside_a_model": (
        {"anyOf": [CLOSED], "additionalProperties": TEXT},
        {"anyOf": [CLOSED], "additionalProperties": TEXT},
        {},
    ),
    "union_of_unions": (
        {"oneOf": [{"anyOf": [TEXT, INTEGER]}, {"anyOf": [TEXT, {"type": "number"}]}]},
        {"anyOf": [TEXT, {"type": "number"}]},
        1.5,
    ),
    "union_with_anything": ({"anyOf": [TEXT, {}]}, {}, []),
    "pattern_that_clients_cannot_compile": (
        {"patternProperties": {"(?i)^a": TEXT, "^b": TEXT}, "additionalProperties": INTEGER},
        {"patternProperties": {"^b": TEXT}},
        {"A": "x", "b": "y", "c": 1},
    ),
    "many_values": (
        {"type": "string", "enum": MANY, "description": "Its name."},
        {
            "type": "string",
            "description": "Its name. One of 60 values, such as v0, v1, v2, v3, v4.",
        },
        "v59",
    ),
    "nullable_choice": (
        {"type": "string", "enum": ["a"], "nullable": True},
        {"anyOf": [{"type": "string", "enum": ["a"]}, NULL]},
        None,
    ),
    "nullable_constant": (
        {"const": "a", "nullable": True, "description": "A."},
        {"anyOf": [{"const": "a"}, NULL], "description": "A."},
        None,
    ),
    "nullable_union": (
        {"type": "string", "anyOf": [{"minLength": 3}, {"enum": ["a"]}], "nullable": True},
        {"anyOf": [{"type": "string", "anyOf": [{"minLength": 3}, {"enum": ["a"]}]}, NULL]},
        None,
    ),
    "several_types": (
        {"type": ["string", "array", "null"], "items": INTEGER, "maxLength": 3, "default": "a"},
        {
            "anyOf": [TEXT, {"type": "array", "items": INTEGER}, NULL],
            "maxLength": 3,
            "default": "a",
        },
        None,
    ),
    "several_types_of_some_values": (
        {"type": ["string", "integer"], "enum": ["a", 1]},
        {"enum": ["a", 1]},
        1,
    ),
    "refused_by_what_clients_do_not_know": (
        {"type": "integer", "not": {"const": 3}, "if": {"minimum": 9}, "then": False},
        INTEGER,
        4,
    ),
}


@pytest.mark.parametrize(("given_schema", "expected", "value"), REWRITTEN.values(), ids=REWRITTEN)
def test_a_schema_is_said_in_fewer_words(
    given_schema: Schema, expected: Schema, value: Any
) -> None:
    """P4, P5: and only where it accepts the same, or more."""
    published = Schemas({}).publish(given_schema, "input")
    assert published == expected
    assert jsonschema_rs.Draft202012Validator(published).is_valid(value)


def test_a_large_argument_is_published_down_to_the_levels_that_fit() -> None:
    """P4: each argument by itself, and each with the names and types of its own properties."""
    deep: Schema = {"type": "object", "properties": {"leaf": INTEGER}}
    for level in range(6):
        names = [f"{level}_{number}" for number in range(6)]
        deep = {"type": "object", "properties": dict.fromkeys(names, deep), "required": names}
    flat = {
        "type": "object",
        "properties": {
            f"flat_{number}": {**TEXT, "description": "b" * 90} for number in range(1_500)
        },
    }
    fields = {"deep": deep, "flat": flat, "small": INTEGER, "again": flat}
    body = {"type": "object", "properties": fields}
    properties = Schemas({}).publish(body, "input")["properties"]
    assert properties["deep"]["properties"]["5_0"]["required"] == [f"4_{n}" for n in range(6)]
    assert properties["deep"]["properties"]["5_0"]["properties"]["4_0"] == {"type": "object"}
    assert properties["flat"]["properties"] == {f"flat_{number}": TEXT for number in range(1_500)}
    assert properties["again"] == properties["flat"]
    assert properties["small"] == INTEGER


def test_a_long_flat_result_says_nothing_of_what_may_be_null() -> None:
    """P4: as an alternative, null takes more space than most of what a model needs to know."""
    optional = {"anyOf": [TEXT, NULL]}
    model = {
        "type": "object",
        "properties": {"id": TEXT, **{f"property_{n}": optional for n in range(100)}},
    }
    schemas = Schemas({})
    published = schemas.publish(model, "output")
    assert published["properties"]["id"] == TEXT
    assert published["properties"]["property_0"] == {}
    few = {"type": "object", "properties": {"id": TEXT, "a": optional, "b": model}}
    published = schemas.publish(few, "output")
    assert published["properties"] == {"id": TEXT, "a": optional, "b": {"type": "object"}}
    nullable = schemas.publish({**few, "nullable": True}, "output")
    assert nullable["anyOf"][-1] == NULL


def test_a_result_says_what_it_is_of_and_nothing_of_itself() -> None:
    """P4: code reads results, and has the document; models read the results themselves."""
    point = {**PAIR, "minItems": 2, "maxItems": 2, "description": "Longitude and latitude."}
    model = {"type": "object", "properties": {"at": point, "of": TEXT}, "required": ["at"]}
    assert Schemas({}).publish(model, "output") == {
        "type": "object",
        "properties": {"at": {"type": "array", "items": INTEGER}, "of": TEXT},
    }


def test_what_refers_to_itself_only_in_words_is_not_recursive() -> None:
    """P1, P5: a `$ref` in an example or a default is a value, a property named so is not."""
    node = {"$ref": "#/components/schemas/Node"}
    model = {
        "type": "object",
        "properties": {"default": node, "plain": {"type": "string", "default": {"$ref": "#/x"}}},
        "examples": [{"$ref": "#/nowhere"}],
    }
    published = Schemas({"components": {"schemas": {"Node": model}}}).publish(node, "output")
    assert published["properties"]["default"] == {"$ref": "#/$defs/Node"}
    assert published["$defs"]["Node"]["properties"] == published["properties"]
