"""What clients show in their menus of resources and prompts."""

import json

import pytest
from fastapi import FastAPI

from tests.mock_api.conftest import bearer
from tests.mock_api.issuer import Issuer
from tests.support import ERAS, Era, rpc

eras = pytest.mark.parametrize("era", ERAS)
URI = "kb://articles/workflow-templates"


@eras
async def test_articles_and_attachments_are_resources(app: FastAPI, era: Era) -> None:
    listed = (await rpc(app, era, "resources/list")).result["resources"]
    assert [each["uri"] for each in listed] == ["kb://articles"]
    listed = (await rpc(app, era, "resources/templates/list")).result["resourceTemplates"]
    assert [each["uriTemplate"] for each in listed] == [
        "kb://articles{?q,tag,limit,offset}",
        "kb://articles/{slug}",
        "kb://articles/{slug}/attachments/{filename}",
    ]
    reply = await rpc(app, era, "resources/read", {"uri": URI}, headers={"mcp-name": URI})
    (content,) = reply.result["contents"]
    assert json.loads(content["text"])["slug"] == "workflow-templates"


@eras
async def test_a_prompt_asks_the_knowledge_base(app: FastAPI, era: Era) -> None:
    params = {"name": "ask_the_knowledge_base", "arguments": {"question": "What is a BOM?"}}
    reply = await rpc(app, era, "prompts/get", params)
    text = reply.result["messages"][0]["content"]["text"]
    assert "search_articles" in text
    assert text.endswith("What is a BOM?")


@eras
async def test_who_may_not_read_reads_no_resource(
    guarded: FastAPI, issuer: Issuer, era: Era
) -> None:
    headers = {"mcp-name": URI, **bearer(issuer.token("kb:read"))}
    assert (await rpc(guarded, era, "resources/read", {"uri": URI}, headers=headers)).result[
        "contents"
    ]
    headers = {"mcp-name": URI, **bearer(issuer.token("email"))}
    refused = await rpc(guarded, era, "resources/read", {"uri": URI}, headers=headers)
    assert refused.status in {401, 403}
