"""What `make interop` tries with servers and APIs of others, as far as it can be known here."""

from typing import Any

import httpx2
import pytest

from tests.interop.apis import ForeignAPI, find_problem, read_apis
from tests.interop.asking import Account
from tests.interop.comparing import find_differences, through_gateway
from tests.interop.environments import Environment
from tests.interop.examples import (
    make_arguments,
    make_value,
    read_examples,
    with_example_answers,
)
from tests.interop.large import LargeAPI, read_large_apis
from tests.interop.server_page import PAGE
from tests.interop.servers import FOREIGN, Server, read_servers

ENTRIES: list[Server | ForeignAPI | LargeAPI] = [*read_servers(), *read_apis(), *read_large_apis()]


def environments() -> list[Environment]:
    return [each.environment for each in ENTRIES]


def test_the_page_of_servers_is_of_those_that_are_tried() -> None:
    page = PAGE.read_text()
    for entry in ENTRIES:
        assert f"| {entry.name} |" in page
        assert all(f"`{package}`" in page for package in entry.environment.packages)
        assert all(
            f"* **{entry.name}**, `{what}`: {why}" in page for what, why in entry.differs.items()
        )


def test_the_packages_of_others_have_versions() -> None:
    for environment in environments():
        for package in environment.packages:
            assert "==" in package or "@" in package[1:], package


def test_the_scripts_of_others_are_there() -> None:
    entries: list[Server | ForeignAPI] = [*read_servers(), *read_apis()]
    for entry in entries:
        assert entry.script is None or (FOREIGN / entry.script).exists()
        assert entry.script is not None or entry.command


def listing(name: str, **more: Any) -> dict[str, Any]:
    tool = {"name": name, "inputSchema": {"type": "object", "properties": {"a": {}}}, **more}
    return {"tools": {name: tool}, "resources": {}}


def test_a_server_behind_the_gateway_is_the_same_but_for_names() -> None:
    """Also for a schema that says the same in another way, and for what varies."""
    call = {"tool": "say", "arguments": {"a": 1}}
    assert through_gateway(call, "it") == {"tool": "it_say", "arguments": {"a": 1}}
    assert through_gateway({"read": "data://a"}, "it") == {"read": "data://it/a"}
    directly = Account(
        listing("say", annotations={"title": "Say"}),
        [{"content": [{"text": "at 1", "uri": "data://a"}]}],
    )
    behind = Account(
        {"tools": {"it_say": listing("it_say", title="Say")["tools"]["it_say"]}, "resources": {}},
        [{"content": [{"text": "at 2", "uri": "data://it/a"}], "_meta": {}}],
    )
    assert not [*find_differences([call], directly, behind, "it", [r"at \d"])]
    assert [name for name, _ in find_differences([call], directly, behind, "it", [])] == ["say"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({}, "is listed directly alone"),
        (listing("say", title="Another")["tools"], "title: 'Another', directly 'Say'"),
    ],
)
def test_what_a_list_lacks_is_told(other: dict[str, Any], said: str) -> None:
    directly, behind = (
        Account(listing("say", title="Say")),
        Account({"tools": other, "resources": {}}),
    )
    assert [*find_differences([], directly, behind, "it", [])] == [("say", said)]


@pytest.mark.parametrize(
    ("status", "text", "is_error", "has_problem"),
    [
        (200, '{"a": 1}', False, False),
        (200, '{"a": 2}', False, True),
        (200, '{"a": 1}', True, True),
        (404, 'HTTP 404: {"a": 1}', True, False),
        (404, "HTTP 404", True, True),
        (404, 'HTTP 500: {"a": 1}', True, True),
        (404, '{"a": 1}', False, True),
    ],
)
def test_a_tool_answers_as_the_api_does(
    status: int, text: str, *, is_error: bool, has_problem: bool
) -> None:
    response = httpx2.Response(status, json={"a": 1})
    answer = {"content": [{"type": "text", "text": text}], "isError": is_error}
    assert (find_problem(response, answer) is not None) == has_problem


def test_arguments_are_the_examples_of_a_document() -> None:
    document: dict[str, Any] = {
        "paths": {
            "/a/{id}": {
                "parameters": [{"$ref": "#/components/parameters/id"}],
                "post": {
                    "parameters": [{"name": "q", "in": "query", "schema": {"example": "found"}}],
                    "requestBody": {
                        "content": {
                            "application/json": {"examples": {"x": {"value": {"name": "n"}}}}
                        }
                    },
                },
            }
        },
        "components": {"parameters": {"id": {"name": "id", "in": "path", "example": 7}}},
    }
    parameters, body = read_examples(document, "/a/{id}", "POST")
    assert (parameters, body) == ({"id": 7, "q": "found"}, {"name": "n"})
    schema = {
        "properties": {"path_id": {}, "q": {}, "name": {}, "when": {"format": "date"}, "other": {}},
        "required": ["path_id", "when"],
    }
    expected = {"path_id": 7, "q": "found", "name": "n", "when": "2026-01-01"}
    assert make_arguments(schema, parameters, body) == expected


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "pattern": r"^\d+\.\d+$|^\d+\.\d+\.\d+$"}, "1.0.0"),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, "text"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "array", "minItems": 2, "items": {"enum": ["a", "b"]}}, ["a", "a"]),
        (
            {"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}},
            {"n": 1.5},
        ),
    ],
)
def test_a_value_is_one_that_a_schema_accepts(schema: dict[str, Any], value: object) -> None:
    assert make_value(schema, {}) == value


def test_answers_for_a_mock_are_made_of_the_schemas() -> None:
    schema = {"$ref": "#/components/schemas/a"}
    response = {"200": {"content": {"application/json": {"schema": schema}}}}
    document = {
        "paths": {"/a": {"get": {"responses": response}}},
        "components": {"schemas": {"a": {"enum": ["x"]}}},
    }
    made = with_example_answers(document)
    assert not made["components"]["schemas"]
    assert made["paths"]["/a"]["get"]["responses"] == {
        "200": {"content": {"application/json": {"example": "x"}}}
    }
    assert response["200"]["content"]["application/json"] == {"schema": schema}
