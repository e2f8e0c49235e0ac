"""A few schemas that stand for more than could be written cost no more than large ones do."""

import logging
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import pytest

from mcp_mount import proxy_app
from mcp_mount.errors import InvalidDocument
from tests import hostile
from tests.profile import check_list
from tests.support import tools
from tests.test_linear import within_seconds

Schema = dict[str, Any]
SECONDS = 20.0


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def unions() -> dict[str, Schema]:
    """Return models, each a union of others and with properties that are."""
    names = [f"S{index}" for index in range(60)]
    return {
        name: {
            "anyOf": [ref(names[(index * step + 1) % 60]) for step in (2, 3, 5)],
            "properties": {
                f"p{step}": ref(names[(index * step + 7) % 60]) for step in range(1, 20)
            },
        }
        for index, name in enumerate(names)
    }


def doublings() -> dict[str, Schema]:
    """Return models that merge two others, whose properties are others again."""
    levels = [(f"A{level}", f"B{level}") for level in range(28)]
    found: dict[str, Schema] = {"A27": {"type": "object"}, "B27": {"type": "object"}}
    for above, below in pairwise(levels):
        for name in above:
            both = [ref(other) for other in below]
            own = {f"p{index}": ref(below[name[0] == "B"]) for index in range(12)}
            found[name] = {"allOf": [*both, {"properties": own}]}
    return {"S0": ref("A0"), **found}


def document(schemas: dict[str, Schema]) -> Schema:
    """Return a document with an operation of the first schema, and one that is as any other."""
    content = {"application/json": {"schema": ref("S0")}}
    item = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    plain = {"application/json": {"schema": item}}
    heavy = {"operationId": "heavy", "requestBody": {"content": content}}
    return {
        "openapi": "3.1.0",
        "paths": {
            "/heavy": {"post": {**heavy, "responses": {"200": {"content": content}}}},
            "/plain": {"post": {"operationId": "plain", "requestBody": {"content": plain}}},
        },
        "components": {"schemas": schemas},
    }


@pytest.mark.parametrize("schemas", [unions(), doublings()], ids=["unions", "doublings"])
async def test_schemas_that_refer_to_each_other_are_written_as_far_as_work_goes(
    schemas: dict[str, Schema], caplog: pytest.LogCaptureFixture
) -> None:
    """S3, P1: what is left out accepts anything, and the operations beside it are whole."""
    with caplog.at_level(logging.WARNING), within_seconds(SECONDS):
        app = proxy_app(document(schemas), "http://localhost:9")
    listed = await tools(app)
    check_list(listed)
    assert listed["plain"]["inputSchema"]["properties"] == {"name": {"type": "string"}}
    # Unions are cut by their own bound, of which nothing is said.
    is_told = "accept anything, for they are too much: POST /heavy" in caplog.text
    assert is_told == ("A0" in schemas)


@pytest.mark.parametrize("number", range(6))
def test_a_hostile_document_is_read_in_the_time_of_a_large_one(number: int) -> None:
    """S3: of unions, merged models and their properties, in any order."""
    made = hostile.document(3, number)
    with within_seconds(SECONDS):
        proxy_app(made, "http://localhost:9")


MANY = 2_100
ANSWERS: Schema = {"200": {"description": ""}}
WIDE: Schema = {"type": "object", "properties": {f"p{number}": {} for number in range(MANY)}}
PARAMETERS = [{"name": name, "in": "query"} for name in WIDE["properties"]]


def wide(schema: Schema) -> Schema:
    """Return many operations that take the same body."""
    return {
        f"/a{number}": {
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {**schema}}}},
                "responses": ANSWERS,
            }
        }
        for number in range(MANY)
    }


def shared() -> Schema:
    """Return many paths that are one."""
    return {f"/a{number}": {"$ref": "#/components/pathItems/P"} for number in range(MANY)}


def methods() -> Schema:
    """Return many methods of one path, which has what all of them take."""
    each = {f"M{number}": {"responses": ANSWERS} for number in range(MANY)}
    return {"/a": {"parameters": PARAMETERS, "additionalOperations": each}}


@pytest.mark.parametrize(
    ("paths", "is_too_much"),
    [
        (wide(ref("Wide")), False),
        (wide({"allOf": [ref("Wide"), {"properties": {"x": {}}}]}), False),
        (shared(), True),
        (methods(), True),
    ],
    ids=["bodies", "merged", "paths", "methods"],
)
def test_what_many_operations_share_is_not_written_for_each(
    paths: Schema,
    is_too_much: bool,  # noqa: FBT001 - pytest's
) -> None:
    """Promise of docs/security.md: what a document stands for is bounded, and so is its cost."""
    item = {"get": {"parameters": PARAMETERS, "responses": ANSWERS}}
    components = {"schemas": {"Wide": WIDE}, "pathItems": {"P": item}}
    made = {"openapi": "3.2.0", "info": {"title": "a", "version": "1"}, "paths": paths}
    with (
        within_seconds(2 * SECONDS),
        pytest.raises(InvalidDocument, match="with it, ") if is_too_much else nullcontext(),
    ):
        proxy_app({**made, "components": components}, "http://localhost:9")


def inheriting(many: int) -> Schema:
    """Return a parent, and children that are only other names of it."""
    parent = {"type": "object", "discriminator": {"propertyName": "kind"}}
    children = {f"C{number}": {"allOf": [ref("S0")]} for number in range(many)}
    return document({"S0": parent, **children})


def mapped(many: int) -> Schema:
    """Return alternatives that have many names each."""
    names = [f"A{number}" for number in range(1_000)]
    mapping = {f"v{number}": names[number % 1_000] for number in range(many)}
    union = {
        "oneOf": [ref(name) for name in names],
        "discriminator": {"propertyName": "kind", "mapping": mapping},
    }
    kind = {"type": "object", "properties": {"kind": {"type": "string"}}}
    return document({"S0": union, **dict.fromkeys(names, kind)})


def elsewhere(many: int) -> Schema:
    """Return operations on other hosts than the upstream."""
    paths = {
        f"/a{number}": {"servers": [{"url": f"http://h{number}"}], "get": {"responses": ANSWERS}}
        for number in range(many)
    }
    return {"openapi": "3.1.0", "paths": paths}


@pytest.mark.parametrize(
    "made",
    [inheriting(4_000), mapped(20_000), elsewhere(4_000)],
    ids=["children", "names", "hosts"],
)
def test_what_a_document_repeats_is_read_in_time_that_grows_with_it(made: Schema) -> None:
    """Promise of docs/security.md: a document of 450 kB took 10 to 16 s."""
    with within_seconds(SECONDS / 4):
        proxy_app(made, "http://localhost:9")


def chained(many: int) -> Schema:
    """Return a parameter that is named often, and found behind many references."""
    known: Schema = {
        f"P{number}": {"$ref": f"#/components/parameters/P{number + 1}"} for number in range(many)
    }
    known[f"P{many}"] = {"name": "a", "in": "query"}
    uses = [{"$ref": "#/components/parameters/P0"} for _ in range(many)]
    paths = {"/a": {"get": {"parameters": uses, "responses": ANSWERS}}}
    return {"openapi": "3.1.0", "paths": paths, "components": {"parameters": known}}


def answering(many: int) -> Schema:
    """Return paths that are one, which has many responses."""
    shared: Schema = {"get": {"responses": {str(20_000 + number): {} for number in range(many)}}}
    paths = {f"/a{number}": {"$ref": "#/components/pathItems/P"} for number in range(many)}
    return {"openapi": "3.1.0", "paths": paths, "components": {"pathItems": {"P": shared}}}


@pytest.mark.parametrize("made", [chained(2_000), answering(2_000)], ids=["chain", "responses"])
def test_what_references_stand_for_is_not_read_for_each_without_an_end(made: Schema) -> None:
    """Promise of docs/security.md: a document of 180 kB took half a minute."""
    with within_seconds(SECONDS / 2), pytest.raises(InvalidDocument, match="with it, "):
        proxy_app(made, "http://localhost:9")
