"""Who is calling, and whether they may: `current_caller` is the dependency of every operation.

* With neither `MCP_API_KEY` nor `AUTH_*` set, the service is open: everyone may do everything.
* The API key, as a bearer token or in `X-Api-Key`, may do everything.
* `AUTH_ISSUER`, `AUTH_AUDIENCE` and `AUTH_JWKS_URL`, set together, let in that issuer's tokens for
  that audience, as far as their scopes go. With Entra ID (tokens of version 2):

      AUTH_ISSUER=https://login.microsoftonline.com/<tenant>/v2.0
      AUTH_AUDIENCE=<application id>
      AUTH_JWKS_URL=https://login.microsoftonline.com/<tenant>/discovery/v2.0/keys

* `PUBLIC_URL` beside them lets MCP clients find the issuer by themselves (RFC 9728).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from fastmcp.server.auth import AccessToken, AuthProvider, MultiAuth, RemoteAuthProvider
from mcp.server.auth.routes import build_resource_metadata_url
from pydantic import AnyHttpUrl, ConfigDict, TypeAdapter
from starlette.datastructures import Headers

from mock_api.settings import Settings
from mock_api.tokens import READ, SCOPES, ApiKey, BearerTokens

# Without a slash put behind it, which would make it another issuer (RFC 8414 §3.3).
_ISSUER = TypeAdapter(AnyHttpUrl, config=ConfigDict(url_preserve_empty_path=True))


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request comes from; routes find it in `request.state.caller`.

    `subject` is the token's `sub`, or `"api-key"`, or `"anonymous"` where the service is open.
    """

    subject: str
    scopes: frozenset[str]


ANONYMOUS: Final = Caller("anonymous", frozenset(SCOPES))


@dataclass(frozen=True, slots=True)
class Identity:
    """How callers are told apart, and what is said to those who are refused.

    `provider` accepts tokens and the key; `key` is None where none is set, and `issuer` where
    tokens are not accepted. `metadata_url` is where clients read who the issuer is.
    """

    provider: AuthProvider
    key: ApiKey | None
    issuer: str | None
    metadata_url: str | None

    async def accepted(self, headers: Headers) -> tuple[str, Caller] | None:
        """Return the credential that is accepted, and whose it is; a bearer token goes first."""
        token, key = _bearer(headers), headers.get("x-api-key")
        found = await self.provider.verify_token(token) if token else None
        if found is None and key and self.key:
            found = await self.key.verify_token(key)
        return (found.token, _caller(found)) if found else None

    def unknown(self, headers: Headers) -> tuple[str, str]:
        """Return what to tell a caller who is not known: an instruction, and the challenge."""
        token = _bearer(headers)
        challenge = "Bearer"
        if self.issuer:
            challenge = self.challenge([READ], "invalid_token" if token else None)
        sends_key = headers.get("x-api-key") or (token and not self.issuer)
        if sends_key and self.key:
            return "This API key is not accepted.", challenge
        ways = []
        if self.issuer:
            ways.append(f"an access token of {self.issuer} as 'Authorization: Bearer <token>'")
        if self.key:
            ways.append("the API key as 'Authorization: Bearer <key>' or 'X-Api-Key'")
        found = "This access token is not accepted. " if token else ""
        return f"{found}Send {', or '.join(ways)}.", challenge

    def challenge(self, scopes: Iterable[str], error: str | None) -> str:
        """Write a `WWW-Authenticate` header (RFC 6750 §3, RFC 9728 §5.1)."""
        parameters = {
            "error": error,
            "scope": " ".join(self.provider.get_challenge_scopes([*scopes])),
            "resource_metadata": self.metadata_url,
        }
        said = (f'{name}="{value}"' for name, value in parameters.items() if value)
        return f"Bearer {', '.join(said)}"


def read_identity(settings: Settings) -> Identity | None:
    """Return what the settings ask of callers, or `None` where the service is open."""
    key = ApiKey(settings.api_key) if settings.api_key else None
    tokens = _tokens(settings)
    if key is None and tokens is None:
        return None
    provider = MultiAuth(
        server=tokens,
        server_source_id="tokens" if tokens else None,
        verifiers={"api-key": key} if key else {},
        required_scopes=[READ],
    )
    metadata_url = None
    if tokens and settings.mcp_url:
        metadata_url = str(build_resource_metadata_url(AnyHttpUrl(settings.mcp_url)))
    return Identity(provider, key, settings.auth_issuer, metadata_url)


def _tokens(settings: Settings) -> AuthProvider | None:
    issuer, audience = settings.auth_issuer, settings.auth_audience
    if not (issuer and audience and settings.auth_jwks_url):
        return None
    jwks_url = str(settings.auth_jwks_url)
    verifier = BearerTokens(issuer=issuer, audience=audience, jwks_url=jwks_url)
    if not settings.public_url:
        return verifier
    return RemoteAuthProvider(
        verifier,
        authorization_servers=[_ISSUER.validate_python(issuer)],
        base_url=settings.public_url,
    )


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _caller(token: AccessToken) -> Caller:
    # `MultiAuth` qualifies the client's id, and keeps the original.
    subject = token.subject or token.original_client_id or token.client_id
    return Caller(subject, frozenset(token.scopes))


_TOKEN = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT",
    description="An access token, whose scopes say what it may do: kb:read to search, read and"
    " ask, kb:write to change articles, kb:admin to delete them, each including those before it."
    " Or the service's API key.",
)
_KEY = APIKeyHeader(
    name="X-Api-Key", auto_error=False, description="The service's API key, which has all scopes."
)


async def current_caller(
    needed: SecurityScopes,
    request: Request,
    _token: Annotated[object, Depends(_TOKEN)],
    _key: Annotated[object, Depends(_KEY)],
) -> Caller:
    """Return the caller, who has the scopes that `Security(current_caller, scopes=[…])` names.

    The middleware has read the credential; here it is declared for the OpenAPI document.
    """
    caller: Caller = request.state.caller
    identity: Identity | None = request.app.state.identity
    missing = [scope for scope in needed.scopes if scope not in caller.scopes]
    if missing and identity:
        raise HTTPException(
            status_code=403,
            detail=f"This needs the scope {' '.join(missing)}.",
            headers={"WWW-Authenticate": identity.challenge(missing, "insufficient_scope")},
        )
    return caller


def caller_of(request: Request) -> str:
    """Return who calls: the subject, or the address where the service is open."""
    caller: Caller = request.state.caller
    if caller is not ANONYMOUS or request.client is None:
        return caller.subject
    return request.client.host
