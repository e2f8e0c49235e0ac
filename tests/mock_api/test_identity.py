"""Who may do what over REST: open, with a key, with access tokens, with both."""

import logging
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request
from pydantic import ValidationError

from mock_api.app import create_app
from mock_api.settings import Settings
from tests.mock_api.conftest import KEY, bearer, changed, http_client, with_tokens
from tests.mock_api.issuer import (
    API,
    AUDIENCE,
    ISSUER,
    METADATA,
    NOBODY,
    Issuer,
    claims_of,
    new_key,
)
from tests.mock_api.issuer import signed_with_public_key as forged

PNG = b"\x89PNG\r\n\x1a\n"
CONTENT: dict[str, Any] = {"title": "Mine", "tags": [], "body": "Text."}
ARTICLE = {"slug": "mine", **CONTENT}
NEEDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "search_articles": ("kb:read", "GET /articles", {}),
    "get_article": ("kb:read", "GET /articles/mine", {}),
    "export_articles": ("kb:read", "GET /export", {}),
    "get_server_time": ("kb:read", "GET /server-time", {}),
    "chat": ("kb:read", "POST /chat", {"json": {"prompt": "What is a BOM?"}}),
    "replace_article": ("kb:write", "PUT /articles/mine", {"json": CONTENT}),
    "update_article": ("kb:write", "PATCH /articles/mine", {"json": {"title": "Ours"}}),
    "create_article": ("kb:write", "POST /articles", {"json": {**ARTICLE, "slug": "other"}}),
    "upload_attachment": (
        "kb:write",
        "POST /articles/mine/attachments",
        {"files": {"file": ("a.png", PNG)}},
    ),
    "get_attachment": ("kb:read", "GET /articles/mine/attachments/a.png", {}),
    "delete_article": ("kb:admin", "DELETE /articles/mine", {}),
}
RISING = ("", "kb:read", "kb:write", "kb:admin")


async def test_each_operation_needs_its_scope_and_says_which(
    guarded: FastAPI, issuer: Issuer
) -> None:
    async with http_client(guarded) as client:
        admin = bearer(issuer.token("kb:admin"))
        created = await client.post("/articles", json=ARTICLE, headers=admin)
        assert created.status_code == 201
        for name, (needed, operation, options) in NEEDS.items():
            method, path = operation.split()
            for scope in RISING:
                headers = bearer(issuer.token(scope))
                response = await client.request(method, path, headers=headers, **options)
                if RISING.index(scope) >= RISING.index(needed):
                    assert response.is_success, (name, scope)
                    break
                missing = needed if scope else "kb:read"
                assert response.status_code == 403, (name, scope)
                assert response.json() == {"detail": f"This needs the scope {missing}."}
                assert response.headers["www-authenticate"] == (
                    f'Bearer error="insufficient_scope", scope="{API}/{missing}",'
                    f' resource_metadata="{METADATA}"'
                )


def test_the_openapi_document_declares_each_operation_s_scopes(app: FastAPI) -> None:
    document = app.openapi()
    declared = {
        operation["operationId"]: operation.get("security", [])
        for methods in document["paths"].values()
        for operation in methods.values()
    }
    assert declared.pop("health") == []
    assert declared.pop("watch_changes") == both("kb:read")
    assert declared == {
        name: both("kb:read") if needed == "kb:read" else both("kb:read", needed)
        for name, (needed, _, _) in NEEDS.items()
    }
    schemes = document["components"]["securitySchemes"]
    assert schemes["HTTPBearer"]["scheme"] == "bearer"
    assert schemes["HTTPBearer"]["bearerFormat"] == "JWT"
    assert schemes["APIKeyHeader"]["name"] == "X-Api-Key"


def both(*scopes: str) -> list[dict[str, list[str]]]:
    return [{"HTTPBearer": [*scopes]}, {"APIKeyHeader": [*scopes]}]


async def test_a_route_sees_who_calls(guarded: FastAPI, app: FastAPI, issuer: Issuer) -> None:
    def whoami(request: Request) -> tuple[str, list[str], list[str]]:
        caller = request.state.caller
        assert "x-api-key" not in request.headers
        return caller.subject, sorted(caller.scopes), request.headers.getlist("authorization")

    everything = ["kb:admin", "kb:read", "kb:write"]
    for each in (guarded, app):
        each.get("/whoami")(whoami)
    token = issuer.token("kb:write", sub="grace")
    async with http_client(guarded) as client:
        seen = (await client.get("/whoami", headers=bearer(token))).json()
        assert seen == ["grace", ["kb:read", "kb:write"], [f"Bearer {token}"]]
        basic = {"Authorization": "Basic eA==", "X-Api-Key": KEY}
        for headers in ({"X-Api-Key": KEY}, bearer(KEY), basic):
            seen = (await client.get("/whoami", headers=headers)).json()
            assert seen == ["api-key", everything, [f"Bearer {KEY}"]]
    async with http_client(app) as client:
        assert (await client.get("/whoami")).json() == ["anonymous", everything, []]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "other"},
        {"iss": "https://elsewhere.example"},
        {"exp": 1},
        {"nbf": 4_000_000_000},
        {"exp": None},
    ],
    ids=["audience", "issuer", "expired", "not yet", "endless"],
)
async def test_a_token_that_is_not_valid_here_is_401(
    guarded: FastAPI, issuer: Issuer, claims: dict[str, Any]
) -> None:
    await refused(guarded, issuer.token("kb:admin", **claims))


async def test_a_forged_token_is_401(guarded: FastAPI, issuer: Issuer) -> None:
    await refused(guarded, forged(issuer, claims_of("kb:admin")))
    await refused(guarded, issuer.token("kb:admin", key=new_key("foreign")))


async def refused(app: FastAPI, token: str) -> None:
    async with http_client(app) as client:
        for path in ("/articles", "/mcp", "/docs", "/openapi.json", "/nowhere"):
            response = await client.get(path, headers=bearer(token))
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == (
                f'Bearer error="invalid_token", scope="{API}/kb:read",'
                f' resource_metadata="{METADATA}"'
            )
            assert token not in response.text
        assert (await client.get("/health", headers=bearer(token))).status_code == 200


async def test_without_a_credential_a_caller_is_told_where_to_get_one(guarded: FastAPI) -> None:
    async with http_client(guarded) as client:
        response = await client.get("/articles")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == (
        f'Bearer scope="{API}/kb:read", resource_metadata="{METADATA}"'
    )
    assert response.json()["detail"] == (
        f"Send an access token of {ISSUER} as 'Authorization: Bearer <token>', or the API key as"
        " 'Authorization: Bearer <key>' or 'X-Api-Key'."
    )


async def test_a_wrong_credential_is_not_answered_like_a_missing_one(
    settings: Settings, guarded: FastAPI
) -> None:
    key_only = create_app(changed(settings, mcp_api_key=KEY))
    wrong_key = {"detail": "This API key is not accepted."}
    for app, headers in (
        (key_only, {"X-Api-Key": "wrong"}),
        (key_only, bearer("wrong")),
        (guarded, {"X-Api-Key": "wrong"}),
    ):
        async with http_client(app) as client:
            response = await client.get("/articles", headers=headers)
            assert (response.status_code, response.json()) == (401, wrong_key)
    async with http_client(guarded) as client:
        response = await client.get("/articles", headers=bearer("wrong"))
        assert response.status_code == 401
        assert response.json()["detail"].startswith(
            f"This access token is not accepted. Send an access token of {ISSUER} as"
        )


async def test_what_says_how_to_become_known_is_open(guarded: FastAPI) -> None:
    async with http_client(guarded) as client:
        assert (await client.get("/.well-known/nowhere")).status_code == 404
        for path in ("/.well-known", "//.well-known/x", "/articles/.well-known/x"):
            assert (await client.get(path)).status_code == 401


async def test_without_a_public_url_nothing_is_guessed_about_metadata(
    settings: Settings, issuer: Issuer
) -> None:
    app = create_app(with_tokens(settings, issuer))
    async with http_client(app) as client:
        response = await client.get("/articles")
        assert response.headers["www-authenticate"] == f'Bearer scope="{API}/kb:read"'
        assert "key" not in response.json()["detail"]
        found = await client.get("/articles", headers=bearer(issuer.token("kb:read")))
        assert found.status_code == 200


async def test_without_an_api_key_in_the_settings_there_is_none(
    settings: Settings, issuer: Issuer
) -> None:
    app = create_app(with_tokens(settings, issuer, mcp_api_key=" "))
    async with http_client(app) as client:
        for key in ("", " ", "None", KEY):
            for headers in ({"X-Api-Key": key}, bearer(key)):
                response = await client.get("/articles", headers=headers)
                assert response.status_code == 401


async def test_a_good_token_goes_before_a_key_and_a_key_before_a_bad_token(
    guarded: FastAPI, issuer: Issuer
) -> None:
    key = {"X-Api-Key": KEY}
    async with http_client(guarded) as client:

        async def delete(headers: dict[str, str]) -> int:
            return (await client.delete("/articles/nowhere", headers=headers)).status_code

        assert await delete(key) == 404
        assert await delete({**key, **bearer(issuer.token("kb:read"))}) == 403
        assert await delete({**key, **bearer("wrong")}) == 404
        assert await delete({"X-Api-Key": issuer.token("kb:admin")}) == 401


@pytest.mark.parametrize("missing", ["AUTH_ISSUER", "AUTH_AUDIENCE", "AUTH_JWKS_URL"])
@pytest.mark.parametrize("blank", [None, "", " "])
def test_settings_for_tokens_are_set_together(
    monkeypatch: pytest.MonkeyPatch, missing: str, blank: str | None
) -> None:
    values = {"AUTH_ISSUER": ISSUER, "AUTH_AUDIENCE": AUDIENCE, "AUTH_JWKS_URL": NOBODY}
    for name, value in {**values, missing: blank, "MCP_API_KEY": KEY}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as raised:
        create_app()
    assert f"{missing} missing. To accept access tokens, set AUTH_ISSUER, AUTH_AUDIENCE" in str(
        raised.value
    )
    assert "input" not in str(raised.value)


def test_a_url_in_the_settings_is_one() -> None:
    for wrong in ({"auth_jwks_url": "kb.example.com"}, {"public_url": "kb.example.com"}):
        with pytest.raises(ValidationError, match="valid URL"):
            Settings.model_validate(wrong)
    assert Settings.model_validate({"public_url": " "}).mcp_url is None
    for url in ("https://kb.example/a/", "https://KB.example:443/a"):
        settings = Settings.model_validate({"public_url": url})
        assert settings.mcp_url == "https://kb.example/a/mcp"


async def test_no_log_line_holds_a_credential(
    guarded: FastAPI, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [issuer.token(scope) for scope in RISING]
    tokens += [issuer.token("kb:read", exp=1), issuer.token("kb:read", iss="x")]
    tokens += [forged(issuer, claims_of()), "not.a.token", KEY]
    async with http_client(guarded) as client, guarded.router.lifespan_context(guarded):
        for token in tokens:
            await client.delete("/articles/nowhere", headers=bearer(token))
            await client.get("/articles", headers={"X-Api-Key": token})
    assert "mock_api.access" in {record.name for record in caplog.records}
    assert f"an API key is set, tokens of {ISSUER} are accepted" in caplog.text
    for token in tokens:
        assert token not in caplog.text
        assert len(token) < 20 or token.rpartition(".")[2] not in caplog.text


async def test_requests_at_the_same_time_are_each_their_own_caller_s(
    guarded: FastAPI, issuer: Issuer
) -> None:
    seen: dict[str, str] = {}
    waiting = 20
    all_here = anyio.Event()

    @guarded.get("/whoami")
    async def whoami(request: Request) -> str:
        nonlocal waiting
        waiting -= 1
        if not waiting:
            all_here.set()
        await all_here.wait()
        return str(request.state.caller.subject)

    async def ask(name: str) -> None:
        headers = bearer(issuer.token("kb:read", sub=name))
        async with http_client(guarded) as client:
            seen[name] = (await client.get("/whoami", headers=headers)).json()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(waiting):
                tasks.start_soon(ask, f"caller-{number}")
    assert len(seen) == 20
    assert all(name == found for name, found in seen.items())
