"""Where a client finds out who issues tokens (RFC 9728), and what of the app stays as it is."""

from typing import Any

import pytest
from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from fastmcp.server.auth import AuthProvider, RemoteAuthProvider
from pydantic import AnyHttpUrl

from mcp_mount import MountError, mount_mcp
from tests.access import BASE, METADATA_PATH, PROVIDERS, azure, bearer, remote, static, verifier
from tests.mock_api.issuer import API, ISSUER, NOBODY, Issuer
from tests.support import ERAS, Era, call, http, rpc

NOWHERE = Issuer([], jwks_url=NOBODY)
eras = pytest.mark.parametrize("era", ERAS)


def app_with(auth: AuthProvider | None, **options: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: int) -> int:
        return item

    if auth is not None:
        mount_mcp(app, auth=auth, **options)
    return app


@pytest.fixture(params=["remote", "azure", "several"])
def auth(request: pytest.FixtureRequest) -> AuthProvider:
    return PROVIDERS[request.param](NOWHERE)


@pytest.mark.parametrize("path", ["/mcp", "/tools", "/a/b/mcp"])
async def test_the_metadata_is_at_the_root_and_names_the_public_url(
    auth: AuthProvider, path: str
) -> None:
    """M5: `resource` is the public URL to the letter, without a slash behind it."""
    app = app_with(auth, path=path, public_url=f"{BASE}{path}")
    async with http(app) as client:
        answer = await client.get(f"/.well-known/oauth-protected-resource{path}")
    assert answer.status_code == 200
    metadata = answer.json()
    assert metadata["resource"] == f"{BASE}{path}"
    assert metadata["authorization_servers"] == [ISSUER]
    assert metadata["bearer_methods_supported"] == ["header"]


@eras
@pytest.mark.parametrize("path", ["/mcp", "/a/b/mcp"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_what_the_refusal_points_to_is_there(
    auth: AuthProvider, era: Era, path: str, slash: str
) -> None:
    """M5: RFC 9728 §5.1."""
    app = app_with(auth, path=path)
    reply = await rpc(app, era, "tools/list", path=path + slash)
    assert reply.status == 401
    _, found, url = reply.headers["www-authenticate"].partition('resource_metadata="')
    assert found
    assert url.startswith(f"{BASE}/")
    async with http(app) as client:
        assert (await client.get(url.rstrip('"').removeprefix(BASE))).status_code == 200


@eras
async def test_the_apps_own_url_may_have_a_path(era: Era) -> None:
    """M5: the path goes behind the well-known part (RFC 9728 §3.1)."""
    base = f"{BASE}/api"
    app = app_with(remote(NOWHERE, base_url=base), public_url=f"{base}/mcp")
    reply = await rpc(app, era, "tools/list")
    well_known = "/.well-known/oauth-protected-resource/api/mcp"
    assert f'resource_metadata="{BASE}{well_known}"' in reply.headers["www-authenticate"]
    async with http(app) as client:
        assert (await client.get(well_known)).json()["resource"] == f"{base}/mcp"


@eras
async def test_an_app_in_another_is_found_by_the_routes_of_its_provider(era: Era) -> None:
    """M5: clients look at the root of the host, which is the outer app's."""
    auth = remote(NOWHERE, base_url=f"{BASE}/api")
    outer = FastAPI()
    outer.mount("/api", app_with(auth, public_url=f"{BASE}/api/mcp"))
    outer.router.routes.extend(auth.get_well_known_routes("/mcp"))
    reply = await rpc(outer, era, "tools/list", path="/api/mcp")
    assert reply.status == 401
    _, _, url = reply.headers["www-authenticate"].partition('resource_metadata="')
    async with http(outer) as client:
        answer = await client.get(url.rstrip('"').removeprefix(BASE))
    assert answer.json()["resource"] == f"{BASE}/api/mcp"


async def test_scopes_are_asked_for_as_the_issuer_wants_them() -> None:
    """M5: Entra ID wants the API before each scope."""
    auth = azure(NOWHERE)
    auth.token_verifier.required_scopes = ["kb:read"]
    async with http(app_with(auth)) as client:
        metadata = (await client.get(METADATA_PATH)).json()
    assert metadata["scopes_supported"] == [f"{API}/kb:read"]


@pytest.mark.parametrize("auth", [verifier(NOWHERE), static(alice=[])], ids=["jwt", "static"])
async def test_without_an_authorization_server_there_is_no_metadata(auth: AuthProvider) -> None:
    """M1."""
    app = app_with(auth)
    async with http(app) as client:
        assert (await client.get(METADATA_PATH)).status_code == 404
    reply = await rpc(app, "modern", "tools/list")
    assert "resource_metadata" not in reply.headers["www-authenticate"]


async def test_a_missing_scope_points_to_metadata_only_where_there_is_some() -> None:
    """M5: a provider may have a URL, and publish nothing there."""
    for auth in (static(alice=[]), remote(NOWHERE)):
        auth.base_url = AnyHttpUrl(BASE)
        auth.verify_token = static(alice=[]).verify_token  # type: ignore[method-assign]
        app = FastAPI()
        guards = [Security(HTTPBearer(), scopes=["kb:read"])]
        app.add_api_route("/read", lambda: "", dependencies=guards, operation_id="read")
        mount_mcp(app, auth=auth)
        reply = await call(app, "read", headers=bearer("alice"))
        assert reply.status == 403
        is_told = "resource_metadata" in reply.headers["www-authenticate"]
        assert is_told == isinstance(auth, RemoteAuthProvider)


async def test_nothing_else_of_the_app_changes(auth: AuthProvider) -> None:
    """M1: its OpenAPI document, its 404 and 405, its docs."""
    plain, guarded = app_with(None), app_with(auth)
    assert guarded.openapi() == plain.openapi()
    requests = [
        *("GET /", "GET /nothing", "POST /items/3", "GET /items/three", "GET /items/3"),
        *("GET /.well-known", "GET /.well-known/oauth-protected-resource", "GET /docs"),
        *("GET /.well-known/openid-configuration", "GET /mcp/.well-known/x", "GET /mcp/x"),
    ]
    async with http(plain) as one, http(guarded) as other:
        for request in requests:
            method, path = request.split()
            before, after = await one.request(method, path), await other.request(method, path)
            assert (before.status_code, before.text) == (after.status_code, after.text), request


@pytest.mark.parametrize(
    "public_url",
    [
        "https://kb.example/mcp/",
        "https://kb.example",
        "http://kb.example/mcp",
        "https://other.example/mcp",
    ],
)
def test_another_public_url_than_the_providers_stops_the_start_up(
    auth: AuthProvider, public_url: str
) -> None:
    """M5: clients compare the two, and would drop the server."""
    with pytest.raises(MountError, match=r"https://kb\.example/mcp") as error:
        app_with(auth, public_url=public_url)
    assert repr(public_url) in str(error.value)


def test_a_providers_resource_url_goes_before_its_base_url() -> None:
    """M5: where tokens are issued for another address than the one that issues them."""
    auth = remote(NOWHERE, base_url="https://internal.example")
    auth.resource_base_url = AnyHttpUrl(BASE)
    app_with(auth, public_url=f"{BASE}/mcp")
    with pytest.raises(MountError):
        app_with(auth, public_url="https://internal.example/mcp")
