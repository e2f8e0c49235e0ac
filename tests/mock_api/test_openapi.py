"""What the OpenAPI document says, and that it says the truth."""

import json
import re
from typing import Any

import pytest
from fastapi import FastAPI

from mcp_mount import Limits
from mock_api.agent import MOST_AT_ONCE
from mock_api.models import MOST_ATTACHMENTS
from tests.support import tools

OPERATIONS = {
    "search_articles": "GET /articles",
    "get_article": "GET /articles/{slug}",
    "create_article": "POST /articles",
    "replace_article": "PUT /articles/{slug}",
    "update_article": "PATCH /articles/{slug}",
    "delete_article": "DELETE /articles/{slug}",
    "upload_attachment": "POST /articles/{slug}/attachments",
    "get_attachment": "GET /articles/{slug}/attachments/{filename}",
    "export_articles": "GET /export",
    "watch_changes": "GET /changes",
    "get_server_time": "GET /server-time",
    "chat": "POST /chat",
    "health": "GET /health",
}


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


@pytest.fixture
def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: {**operation, "at": f"{method.upper()} {path}"}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_operations_are_these(operations: dict[str, dict[str, Any]]) -> None:
    assert {name: operation["at"] for name, operation in operations.items()} == OPERATIONS


def test_every_operation_has_a_summary_and_a_description(
    operations: dict[str, dict[str, Any]],
) -> None:
    for name, operation in operations.items():
        assert operation["summary"], name
        assert re.match(r"[A-Z].*[.;:]", operation["description"]), name


def test_only_health_is_hidden_and_open(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        assert (operation.get("x-mcp") is False) is (name == "health")
        assert ("security" in operation) is (name != "health")
        assert ("401" in operation["responses"]) is (name != "health")


def test_refusals_are_json_whatever_the_success_is(operations: dict[str, dict[str, Any]]) -> None:
    for operation in operations.values():
        for status, response in operation["responses"].items():
            if status >= "400":
                assert "application/json" in response["content"]
                assert "text/plain" not in response["content"]


def test_all_references_are_resolved(document: dict[str, Any]) -> None:
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)):
        assert name in document["components"]["schemas"]


def test_chat_documents_its_three_representations(operations: dict[str, dict[str, Any]]) -> None:
    content = operations["chat"]["responses"]["200"]["content"]
    assert list(content) == ["text/plain", "text/event-stream", "application/json"]
    assert content["text/plain"] == {"schema": {"type": "string"}}
    assert content["text/event-stream"]["itemSchema"]["required"] == ["data"]
    assert content["application/json"]["schema"]["required"] == ["answer"]


def test_a_question_is_called_prompt_and_nothing_else(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["ChatRequest"]
    assert [*schema["properties"]] == schema["required"] == ["prompt"]
    assert schema["properties"]["prompt"]["type"] == "string"


async def test_tools_that_change_nothing_say_so(app: FastAPI) -> None:
    listed = await tools(app)
    reading = {name for name, tool in listed.items() if tool["annotations"]["readOnlyHint"]}
    changing = {name for name, tool in listed.items() if tool["annotations"]["destructiveHint"]}
    assert "chat" in reading
    assert not reading & changing
    assert changing == {
        *("create_article", "replace_article", "update_article", "delete_article"),
        "upload_attachment",
    }


def test_chat_leaves_places_for_the_tools_of_its_answers(
    operations: dict[str, dict[str, Any]],
) -> None:
    """Agent, C6: else as many askers as there are places would wait for each other."""
    most = operations["chat"]["x-mcp"]["limits"]["max_concurrency"]
    assert most * MOST_AT_ONCE < Limits().max_concurrency


def test_an_upload_says_how_many_files_an_article_may_have(
    operations: dict[str, dict[str, Any]],
) -> None:
    upload, most = operations["upload_attachment"], f"{MOST_ATTACHMENTS} files"
    assert most in upload["description"]
    assert most in upload["responses"]["409"]["description"]
    assert most not in operations["create_article"]["responses"]["409"]["description"]


async def test_a_watcher_over_mcp_is_told_how_to_go_on(app: FastAPI) -> None:
    description = (await tools(app))["watch_changes"]["description"]
    assert "time limit" in description
    assert "`since`" in description
    assert "Last-Event-ID" not in description


def test_streams_say_what_their_items_are(operations: dict[str, dict[str, Any]]) -> None:
    export = operations["export_articles"]["responses"]["200"]["content"]
    assert export == {"application/jsonl": {"itemSchema": {"$ref": "#/components/schemas/Article"}}}
    changes = operations["watch_changes"]["responses"]["200"]["content"]["text/event-stream"]
    data = changes["itemSchema"]["properties"]["data"]
    assert data["contentSchema"] == {"$ref": "#/components/schemas/Change"}


def test_credentials_and_conditions_are_no_parameters(
    operations: dict[str, dict[str, Any]],
) -> None:
    for operation in operations.values():
        assert all(parameter["in"] != "header" for parameter in operation.get("parameters", []))


def test_an_update_offers_null_only_where_it_means_something(document: dict[str, Any]) -> None:
    patch = document["components"]["schemas"]["ArticlePatch"]
    assert "required" not in patch
    for name, schema in patch["properties"].items():
        assert "default" not in schema
        assert ("anyOf" in schema) is (name == "summary")
