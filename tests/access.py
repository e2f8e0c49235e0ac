"""Auth providers and tokens for the tests of who may call what."""

from collections.abc import Callable
from typing import Any

from fastmcp.server.auth import (
    AuthProvider,
    JWTVerifier,
    MultiAuth,
    RemoteAuthProvider,
    StaticTokenVerifier,
)
from fastmcp.server.auth.providers.azure import AzureJWTVerifier
from pydantic import AnyHttpUrl

from tests.mock_api.issuer import AUDIENCE, ISSUER, Issuer

BASE = "https://kb.example"
METADATA_PATH = "/.well-known/oauth-protected-resource/mcp"
METADATA = f"{BASE}{METADATA_PATH}"
TENANT = ISSUER.split("/")[3]
MACHINE = "the-token-of-a-machine"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def verifier(issuer: Issuer, **options: Any) -> JWTVerifier:
    return JWTVerifier(jwks_uri=issuer.jwks_url, issuer=ISSUER, audience=AUDIENCE, **options)


def remote(issuer: Issuer, *, base_url: str = BASE) -> RemoteAuthProvider:
    return RemoteAuthProvider(verifier(issuer), [AnyHttpUrl(ISSUER)], base_url)


def azure(issuer: Issuer) -> RemoteAuthProvider:
    checked = AzureJWTVerifier(client_id=AUDIENCE, tenant_id=TENANT)
    checked.jwks_uri = issuer.jwks_url
    return RemoteAuthProvider(checked, [AnyHttpUrl(ISSUER)], BASE)


def static(**scopes: list[str]) -> StaticTokenVerifier:
    """Accept the tokens so named, each with its scopes."""
    return StaticTokenVerifier(
        {name: {"client_id": name, "scopes": granted} for name, granted in scopes.items()}
    )


def several(issuer: Issuer) -> MultiAuth:
    machines = static(**{MACHINE: ["kb:read"]})
    return MultiAuth(server=remote(issuer), verifiers={"machines": machines})


PROVIDERS: dict[str, Callable[[Issuer], AuthProvider]] = {
    "verifier": verifier,
    "remote": remote,
    "azure": azure,
    "several": several,
}
