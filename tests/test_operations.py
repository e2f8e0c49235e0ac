"""Reading OpenAPI documents: FastAPI's, and those of others."""

from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from mcp_mount import MountError
from mcp_mount.openapi.bodies import Body, Media
from mcp_mount.openapi.operations import Operation, read_operations
from mcp_mount.openapi.parameters import Parameter
from mcp_mount.openapi.patterns import is_ecmascript
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools.selection import select


def document(operation: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A document with the one operation ``GET /items/{id}``."""
    return {"openapi": "3.1.0", "paths": {"/items/{id}": {"get": operation}}, **others}


def read(operation: dict[str, Any], **others: Any) -> Operation:
    (found,) = select(read_operations(document(operation, **others)))
    return found.operation


def test_an_operation_is_read_with_all_that_a_call_needs() -> None:
    """One frozen value for each method on each path."""
    found = read(
        {
            "operationId": "read",
            "summary": "S",
            "description": "D",
            "tags": ["t"],
            "deprecated": True,
            "x-mcp": {"name": "n"},
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                {"name": "q", "in": "query", "style": "pipeDelimited", "description": "Words"},
                {"name": "filter", "in": "query", "content": {"application/json": {"schema": {}}}},
            ],
            "requestBody": {"required": True, "content": {"text/plain": {}, "a/x+json": {}}},
            "responses": {
                "200": {"content": {"application/jsonl": {"itemSchema": {"type": "object"}}}},
                "404": {"description": "Nothing"},
            },
        }
    )
    assert found == Operation(
        method="GET",
        path="/items/{id}",
        id="read",
        summary="S",
        description="D",
        tags=("t",),
        deprecated=True,
        mark={"name": "n"},
        parameters=(
            Parameter(
                "id", "path", {"type": "integer"}, required=True, style="simple", explode=False
            ),
            Parameter("q", "query", {}, description="Words", style="pipeDelimited", explode=False),
            Parameter("filter", "query", {}, media_type="application/json"),
        ),
        body=Body("a/x+json", {}, required=True),
        responses={
            "200": (Media("application/jsonl", None, {"type": "object"}),),
            "404": (),
        },
    )
    assert str(found) == "GET /items/{id}"


def test_references_and_what_stands_at_the_path_are_followed() -> None:
    """Parameters, bodies and responses may be anywhere in the document."""
    components = {
        "parameters": {"Id": {"name": "id", "in": "path", "schema": {}, "required": True}},
        "requestBodies": {"B": {"content": {"application/json": {"schema": {"type": "object"}}}}},
        "responses": {"R": {"content": {"text/plain": {}}}},
        "pathItems": {
            "~odd/name": {
                "summary": "From the path",
                "parameters": [
                    {"$ref": "#/components/parameters/Id"},
                    {"name": "q", "in": "query", "description": "of the path"},
                ],
                "get": {
                    "parameters": [{"name": "q", "in": "query", "description": "its own"}],
                    "requestBody": {"$ref": "#/components/requestBodies/B"},
                    "responses": {"2XX": {"$ref": "#/components/responses/R"}},
                },
            }
        },
    }
    pointer = {"$ref": "#/components/pathItems/~0odd~1name"}
    (found,) = read_operations({"paths": {"/items/{id}": pointer}, "components": components})
    assert found.summary == "From the path"
    assert [(each.name, each.description) for each in found.parameters] == [
        *(("id", ""), ("q", "its own"))
    ]
    assert found.body == Body("application/json", {"type": "object"})
    assert found.responses == {"2XX": (Media("text/plain"),)}


@pytest.mark.parametrize(
    ("pointer", "message"),
    [
        ("#/components/schemas/Missing", "refers to '#/components/schemas/Missing', which it does"),
        ("https://example.com/a.json", "refers to 'https://example.com/a.json', which it does not"),
        ("#/components/parameters/Loop", "refers to itself at '#/components/parameters/Loop'"),
    ],
)
def test_a_reference_to_nothing_stops_and_says_where(pointer: str, message: str) -> None:
    """Start-up fails loudly; nothing is ever fetched."""
    loop = {"$ref": "#/components/parameters/Loop"}
    with pytest.raises(MountError) as error:
        read({"parameters": [{"$ref": pointer}]}, components={"parameters": {"Loop": loop}})
    assert message in str(error.value)


def test_a_schema_that_is_only_itself_stops() -> None:
    """Start-up fails loudly, and not by running out of stack."""
    itself = {"allOf": [{"$ref": "#/components/schemas/Loop"}]}
    schemas = Schemas({"components": {"schemas": {"Loop": itself}}})
    with pytest.raises(MountError, match="only itself"):
        schemas.resolve({"$ref": "#/components/schemas/Loop"})


def test_headers_that_belong_to_the_message_are_no_parameters() -> None:
    """C4: OpenAPI 3.1 §4.8.12.1 ignores the first three, and nobody may choose the others."""
    names = ["Accept", "content-type", "Authorization", "Host", "Content-Length", "X-Mine"]
    found = read({"parameters": [{"name": name, "in": "header"} for name in names]})
    assert [each.name for each in found.parameters if each.location == "header"] == ["X-Mine"]


def test_where_security_schemes_look_for_keys_is_known() -> None:
    """C4: names in lower case, each with its place."""
    schemes = {
        "a": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "b": {"type": "apiKey", "in": "query", "name": "key"},
        "c": {"type": "http", "scheme": "bearer"},
        "d": {"$ref": "#/components/securitySchemes/a"},
    }
    found = read({}, components={"securitySchemes": schemes})
    assert found.credentials == {("header", "x-key"), ("query", "key")}


def test_the_media_type_of_a_body_is_the_one_that_a_model_writes_best() -> None:
    """JSON before forms with files, forms, text and anything else."""
    order = [
        *("application/vnd.api+json; charset=utf-8", "multipart/form-data"),
        *("application/x-www-form-urlencoded", "text/plain", "image/png"),
    ]
    for first in range(len(order)):
        content: dict[str, Any] = {each: {} for each in reversed(order[first:])}
        body = read({"requestBody": {"content": content}}).body
        assert body is not None
        assert body.media_type == order[first]


def test_an_empty_document_has_no_operations() -> None:
    """An app may have no routes yet."""
    assert read_operations({}) == ()
    assert read_operations(FastAPI().openapi()) == ()


def test_a_schema_of_openapi_3_0_is_published_as_json_schema() -> None:
    """P1: its own keywords have their counterparts, or go."""
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "nullable": True, "example": "x", "xml": {"name": "y"}},
            "b": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            "c": {"oneOf": [{"type": "string"}, {"type": "integer"}], "discriminator": {}},
            "d": {"type": "array"},
            "e": {"allOf": [{"$ref": "#/components/schemas/E"}], "description": "beside"},
            "f": {"not": True, "items": False},
            "g": {"type": "number", "maximum": 9, "exclusiveMaximum": False},
            "h": {"type": "string", "default": None},
        },
    }
    components = {"schemas": {"E": {"type": "integer", "title": "E"}}}
    assert Schemas({"components": components}).publish(schema, "input")["properties"] == {
        "a": {
            "anyOf": [{"type": "string"}, {"type": "null"}],
            "description": 'For example "x".',
        },
        "b": {"type": "number", "exclusiveMinimum": 0},
        "c": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "d": {"type": "array", "items": {}},
        "e": {"type": "integer", "description": "beside"},
        # A property has a type, where it may be any.
        "f": {
            "items": {"not": {}},
            "anyOf": [
                *({"type": kind} for kind in ("string", "number", "boolean", "object")),
                {"type": "array", "items": {}},
                {"type": "null"},
            ],
        },
        "g": {"type": "number", "maximum": 9},
        "h": {"type": "string"},
    }


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"^\w+$", r"^[\w.-]+@\S+\.\S+$", r"^\d{3}-\d{4}$", r"^(?!a)[^/\s]{1,64}$", "", "é+"),
        *(r"^[a-zA-Z][a-zA-Z0-9_-]*$", r"^\p{L}+$", r"(?:a|b)+?", r"[\-a]", r"\/x", r"^-?\d+$"),
    ],
)
def test_patterns_that_javascript_compiles_are_known(pattern: str) -> None:
    """P1: checked with `new RegExp(pattern, "u")`."""
    assert is_ecmascript(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"(?i)a", r"\Aa", r"a\z", r"a\Z", r"(?P<a>b)", r"(?#c)a", r"a++", r"(?>a)", r"a{,5}"),
        *(r"{a}", "a}", "]", r"[\w-.]", r"[a-\d]", "[z-a]", r"\-", r"\_", r"\1", "(a", "a)", "*"),
        *(r"(?=a)*", r"[[:alpha:]]", "a{2,1}", r"\p{Greek}x{", "(" * 900, "a" * 100_000, "[a&&b]"),
        *(r"^.{0,262144}$", r"\S{1001}", r"a{2000,}"),
    ],
)
def test_patterns_that_javascript_may_not_compile_are_refused(pattern: str) -> None:
    """P1: one of them costs a client the whole list. In doubt, no."""
    assert not is_ecmascript(pattern)


@given(st.text(st.sampled_from("ab1-[]()?*+{},\\wd^$.|:=!<&~ "), max_size=12))
def test_any_text_can_be_asked_whether_it_is_a_pattern(text: str) -> None:
    """P1: without an exception, and without a warning."""
    is_ecmascript(text)
