"""Each recipe of docs/signing-in.md lets in who may come in, and tells everyone else how."""

import re
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from fastapi import FastAPI
from fastmcp import Client
from fastmcp.server.auth.providers.jwt import RSAKeyPair
from mcp.shared.exceptions import MCPError

from mcp_mount.check.report import check_tools
from mcp_mount.commands.target import Target
from tests.commands import run as command
from tests.support import ERAS, Era, call, http, rpc, served, tools

TEXT = (Path(__file__).parent.parent / "docs" / "signing-in.md").read_text("utf-8")
KEY, CALLER, OWN, ENTRA, KEYCLOAK = re.findall(
    r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
)


def run(source: str) -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(source, "docs/signing-in.md", "exec"), found)  # noqa: S102 - it is ours
    return found


@pytest.mark.parametrize("era", ERAS)
async def test_a_key_of_the_app_opens_the_endpoint(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "open sesame")
    app = run(KEY)["app"]
    assert (await rpc(app, era, "tools/list")).status == 401
    assert (await rpc(app, era, "tools/list", headers={"x-api-key": "sesame"})).status == 401
    assert [*await tools(app, era=era, headers={"x-api-key": "open sesame"})] == ["list_parts"]


@pytest.mark.parametrize(
    "source", [KEY, OWN, ENTRA, KEYCLOAK], ids=["key", "own", "Entra", "Keycloak"]
)
async def test_what_is_copied_from_a_recipe_has_no_faults(source: str) -> None:
    """Docs: `mcp-mount check` finds no errors in what the page shows."""
    subjects = await Target("recipe", {}, run(source)["app"]).subjects()
    assert subjects
    assert check_tools(subjects).errors == 0


async def test_the_client_of_the_recipe_calls_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "open sesame")
    with served(run(KEY)["app"]) as url:
        said = await run(CALLER)["call_as"]("open sesame", f"{url}/mcp")
        assert said == '["bolt"]'


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef0123456789abcdef")
    found: FastAPI = run(OWN)["app"]
    return found


async def sign_in(app: FastAPI, name: str, password: str) -> str:
    async with http(app) as client:
        reply = await client.post("/token", data={"username": name, "password": password})
    assert (reply.status_code == 200) == ("access_token" in reply.json())
    return str(reply.json().get("access_token", "wrong"))


@pytest.mark.parametrize("era", ERAS)
async def test_the_app_s_own_token_opens_the_endpoint_and_shows_what_its_user_may_do(
    era: Era, own: FastAPI
) -> None:
    """Access: the password is asked for at /token alone, and a hidden tool says which scope."""
    ann, ben = await sign_in(own, "ann", "apple"), await sign_in(own, "ben", "banana")
    signed = {"authorization": f"Bearer {ann}"}
    assert {*await tools(own, era=era, headers=signed)} == {"who_am_i", "delete_book"}
    reply = await call(own, "delete_book", {"book_id": 1}, era=era, headers=signed)
    assert reply.text_content == '"ann has deleted 1"'
    signed = {"authorization": f"Bearer {ben}"}
    assert [*await tools(own, era=era, headers=signed)] == ["who_am_i"]
    reply = await call(own, "delete_book", {"book_id": 1}, era=era, headers=signed)
    assert (reply.status, 'scope="admin"' in reply.headers["www-authenticate"]) == (403, True)
    for wrong in (await sign_in(own, "ann", "pear"), await sign_in(own, "eve", "")):
        refused = await rpc(own, era, "tools/list", headers={"authorization": f"Bearer {wrong}"})
        assert refused.status == 401
    assert (await rpc(own, era, "tools/list")).status == 401


async def test_what_other_clients_show_of_a_hidden_tool_is_what_the_page_says(own: FastAPI) -> None:
    token = await sign_in(own, "ben", "banana")
    with served(own) as url:
        async with Client(f"{url}/mcp", auth=token) as client:
            assert [tool.name for tool in await client.list_tools()] == ["who_am_i"]
            with pytest.raises(MCPError, match="Server returned an error response"):
                await client.call_tool("delete_book", {"book_id": 1})
        words = ("call", f"{url}/mcp", "delete_book", "book_id=1", "--auth", token)
        theirs = await to_thread.run_sync(command, "fastmcp", *words)
        ours = await to_thread.run_sync(command, "mcp-mount", *words)
    assert "Tool delete_book not found" in theirs.stdout.replace("'", "")
    assert "This call needs the scope admin." in ours.stdout


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("source", "issuer", "audience", "claim", "scope"),
    [
        (ENTRA, "LOGIN", "API", "scp", "parts.read"),
        (KEYCLOAK, "REALM", None, "scope", "openid parts:read"),
    ],
    ids=["Entra", "Keycloak"],
)
async def test_a_token_of_the_provider_opens_the_endpoint(
    era: Era, *, source: str, issuer: str, audience: str | None, claim: str, scope: str
) -> None:
    """Access: issuer, audience and the name of the scopes are those of the recipe."""
    keys = RSAKeyPair.generate()
    found = run(source)
    app = found["app"]
    # The provider's public key, which would come from its URL.
    found["verifier"].public_key = keys.public_key
    names = {
        "issuer": found[issuer] + ("/v2.0" if issuer == "LOGIN" else ""),
        "audience": found[audience] if audience else "https://parts.example/mcp",
    }
    stranger = await rpc(app, era, "tools/list")
    assert stranger.status == 401
    assert "resource_metadata=" in stranger.headers["www-authenticate"]
    token = keys.create_token(subject="alice", additional_claims={claim: scope}, **names)
    signed = {"authorization": f"Bearer {token}"}
    assert [*await tools(app, era=era, headers=signed)] == ["list_parts"]
    without = {"authorization": f"Bearer {keys.create_token(subject='bob', **names)}"}
    assert not await tools(app, era=era, headers=without)
    lacking = await call(app, "list_parts", era=era, headers=without)
    asked = [each for each in found["auth"].scopes_supported if each != "openid"]
    assert f'scope="{" ".join(asked)}"' in lacking.headers["www-authenticate"]
    other = keys.create_token(subject="eve", issuer=names["issuer"], audience="another")
    refused = await rpc(app, era, "tools/list", headers={"authorization": f"Bearer {other}"})
    assert refused.status == 401


@pytest.mark.parametrize("source", [ENTRA, KEYCLOAK], ids=["Entra", "Keycloak"])
async def test_a_client_finds_the_provider(source: str) -> None:
    found = run(source)
    async with http(found["app"], "https://parts.example") as client:
        where = "/.well-known/oauth-protected-resource/mcp"
        metadata = (await client.get(where)).json()
    assert metadata["resource"] == "https://parts.example/mcp"
    provider = f"{found['LOGIN']}/v2.0" if "LOGIN" in found else found["REALM"]
    assert [url.rstrip("/") for url in metadata["authorization_servers"]] == [provider]
