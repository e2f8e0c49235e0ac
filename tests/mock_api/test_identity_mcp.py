"""Who may do what over MCP: the same callers as over REST, and the same scopes."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi import FastAPI

from mock_api.app import create_app
from mock_api.settings import Settings
from tests.mock_api.conftest import KEY, bearer, changed, http_client, with_tokens
from tests.mock_api.issuer import (
    API,
    ISSUER,
    METADATA,
    Issuer,
    claims_of,
    new_key,
    unsigned,
)
from tests.mock_api.issuer import signed_with_public_key as forged
from tests.support import ERAS, Era, call, rpc, tools

READS = {
    *("search_articles", "get_article", "get_attachment", "export_articles", "watch_changes"),
    *("get_server_time", "chat"),
}
WRITES = {"create_article", "replace_article", "update_article", "upload_attachment"}
DELETES = {"delete_article"}

eras = pytest.mark.parametrize("era", ERAS)


@eras
async def test_a_caller_is_shown_what_its_scopes_allow(
    guarded: FastAPI, issuer: Issuer, era: Era
) -> None:
    shown = {
        "kb:read": READS,
        "kb:write": READS | WRITES,
        "kb:admin email": READS | WRITES | DELETES,
    }
    for scope, names in shown.items():
        listed = await tools(guarded, era=era, headers=bearer(issuer.token(scope)))
        assert listed.keys() == names
    entra = bearer(issuer.token(scp="kb:write"))
    assert (await tools(guarded, era=era, headers=entra)).keys() == READS | WRITES


@eras
async def test_a_caller_does_what_its_scopes_allow_and_is_told_what_to_ask_for(
    guarded: FastAPI, issuer: Issuer, era: Era
) -> None:
    reader, writer = bearer(issuer.token("kb:read")), bearer(issuer.token("kb:write"))
    slug = {"slug": "workflow-templates"}
    for headers in (reader, writer):
        read = await call(guarded, "get_article", slug, era=era, headers=headers)
        assert not read.is_error
        assert read.result["structuredContent"]["slug"] == "workflow-templates"
        refused = await call(guarded, "delete_article", slug, era=era, headers=headers)
        assert refused.status == 403
        assert refused.headers["www-authenticate"] == insufficient("kb:admin", "kb:read")
    new = {**slug, "title": "Designing workflows"}
    refused = await call(guarded, "update_article", new, era=era, headers=reader)
    assert refused.headers["www-authenticate"] == insufficient("kb:read", "kb:write")
    changed = await call(guarded, "update_article", new, era=era, headers=writer)
    assert changed.result["structuredContent"]["title"] == "Designing workflows"
    admin = bearer(issuer.token("kb:admin"))
    assert not (await call(guarded, "delete_article", slug, era=era, headers=admin)).is_error
    assert (await call(guarded, "get_article", slug, era=era, headers=admin)).is_error


def insufficient(*scopes: str) -> str:
    asked = " ".join(f"{API}/{scope}" for scope in scopes)
    return f'Bearer error="insufficient_scope", scope="{asked}", resource_metadata="{METADATA}"'


@eras
async def test_a_token_without_any_of_the_scopes_lists_nothing(
    guarded: FastAPI, issuer: Issuer, era: Era
) -> None:
    for token in (issuer.token("email"), issuer.token()):
        reply = await rpc(guarded, era, "tools/list", headers=bearer(token))
        assert reply.status == 403
        challenge = reply.headers["www-authenticate"]
        assert 'error="insufficient_scope"' in challenge
        assert f'scope="{API}/kb:read"' in challenge
        assert f'resource_metadata="{METADATA}"' in challenge


@eras
@pytest.mark.parametrize("method", ["tools/list", "tools/call", "server/discover", "initialize"])
async def test_a_caller_who_is_not_known_gets_no_further_than_401(
    guarded: FastAPI, issuer: Issuer, era: Era, method: str
) -> None:
    now = int(time.time())
    tokens = [
        issuer.token("kb:admin", aud="other"),
        issuer.token("kb:admin", iss="https://elsewhere.example"),
        issuer.token("kb:admin", exp=now - 5),
        issuer.token("kb:admin", exp=None),
        issuer.token("kb:admin", nbf=now + 300),
        issuer.token("kb:admin", key=new_key("foreign")),
        unsigned({"alg": "none"}, claims_of("kb:admin")),
        forged(issuer, claims_of("kb:admin")),
        "wrong",
    ]
    params = {"name": "get_server_time", "arguments": {}} if method == "tools/call" else {}
    known = f'scope="{API}/kb:read", resource_metadata="{METADATA}"'
    for token in tokens:
        reply = await rpc(guarded, era, method, params, headers=bearer(token))
        assert (reply.status, reply.text.count("kb:")) == (401, 0)
        assert reply.headers["www-authenticate"] == f'Bearer error="invalid_token", {known}'
    for headers in ({}, {"X-Api-Key": "wrong"}, {"X-Api-Key": issuer.token("kb:admin")}):
        reply = await rpc(guarded, era, method, params, headers=headers)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, f"Bearer {known}")


@eras
@pytest.mark.parametrize("headers", [{"X-Api-Key": KEY}, bearer(KEY)], ids=["own", "bearer"])
@pytest.mark.parametrize("tokens", [True, False], ids=["with tokens", "key only"])
async def test_the_api_key_opens_everything_in_either_header(
    *,
    settings: Settings,
    issuer: Issuer,
    era: Era,
    headers: Mapping[str, str],
    tokens: bool,
) -> None:
    options = {"mcp_api_key": KEY}
    app = create_app(
        with_tokens(settings, issuer, **options) if tokens else changed(settings, **options)
    )
    assert (await tools(app, era=era, headers=headers)).keys() == READS | WRITES | DELETES
    slug = {"slug": "workflow-templates"}
    assert not (await call(app, "delete_article", slug, era=era, headers=headers)).is_error
    assert (await rpc(app, era, "tools/list")).status == 401


@eras
async def test_an_open_service_shows_everything_to_everyone(app: FastAPI, era: Era) -> None:
    for headers in ({}, bearer("anything")):
        assert (await tools(app, era=era, headers=headers)).keys() == READS | WRITES | DELETES


async def test_pages_of_the_public_url_may_call_and_others_may_not(
    guarded: FastAPI, issuer: Issuer
) -> None:
    for origin, status in (("https://kb.example.com", 200), ("https://evil.example", 403)):
        headers = {**bearer(issuer.token("kb:read")), "Origin": origin}
        reply = await rpc(guarded, "modern", "tools/list", headers=headers)
        assert reply.status == status


async def test_clients_find_the_issuer_by_themselves(guarded: FastAPI) -> None:
    async with http_client(guarded) as client:
        response = await client.get("/.well-known/oauth-protected-resource/mcp")
    assert response.status_code == 200
    metadata: dict[str, Any] = response.json()
    assert metadata["resource"] == "https://kb.example.com/mcp"
    assert metadata["authorization_servers"] == [ISSUER]
    assert metadata["scopes_supported"] == [
        f"{API}/kb:{name}" for name in ("read", "write", "admin")
    ]
    assert "/.well-known/oauth-protected-resource/mcp" not in guarded.openapi()["paths"]


async def test_an_issuer_without_a_path_keeps_its_name(settings: Settings, issuer: Issuer) -> None:
    own = {"auth_issuer": "https://idp.example", "public_url": "https://kb.example.com"}
    app = create_app(with_tokens(settings, issuer, **own))
    async with http_client(app) as client:
        response = await client.get("/.well-known/oauth-protected-resource/mcp")
    assert response.json()["authorization_servers"] == ["https://idp.example"]
    assert response.json()["scopes_supported"] == ["kb:read", "kb:write", "kb:admin"]


@eras
async def test_no_log_line_of_a_call_holds_a_credential(
    guarded: FastAPI, issuer: Issuer, era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [issuer.token("kb:read"), issuer.token("kb:read", exp=1), KEY, "not-a-token-at-all"]
    for token in tokens:
        for headers in (bearer(token), {"X-Api-Key": token}):
            await call(guarded, "get_server_time", era=era, headers=headers)
            await call(guarded, "delete_article", {"slug": "x"}, era=era, headers=headers)
    assert "tool=get_server_time" in caplog.text
    for token in tokens:
        assert token not in caplog.text
