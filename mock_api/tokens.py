"""What a credential is worth: the API key's, or a bearer token's (JWT), in scopes.

* `kb:admin` includes `kb:write`, and `kb:write` includes `kb:read`.
* The API key is worth all of them.
"""

import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from fastmcp.server.auth import AccessToken, JWTVerifier, TokenVerifier
from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry

READ, WRITE, ADMIN = SCOPES = ("kb:read", "kb:write", "kb:admin")
"""In rising order: each includes those before it."""

CLOCK_SKEW: Final = 60
"""Seconds that the issuer's clock may be ahead of ours."""

ENTRA_HOSTS: Final = frozenset(
    {"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"}
)

_TIMES = JWTClaimsRegistry(leeway=CLOCK_SKEW, exp={"essential": True})


class ApiKey(TokenVerifier):
    """Accepts the one key."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        # As text that is read from a header.
        self._key = key.decode("latin-1").encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        """Compare in a time that does not tell how much is right."""
        if not hmac.compare_digest(token.encode(), self._key):
            return None
        return AccessToken(token=token, client_id="api-key", scopes=list(SCOPES))


class BearerTokens(JWTVerifier):
    """Accepts the RS256 access tokens of one issuer for one audience.

    It is FastMCP's verifier, and adds what that leaves out:

    * A token must have an end (RFC 9068 §2.2) and must have begun (RFC 7519 §4.1.5).
    * How long a key is kept can be chosen; a retired one is accepted for so long at most.
    * A token that Entra ID gives an application for itself has `roles` instead of scopes.
    * Entra ID is asked for scopes with the API before them: `"api://<application id>/kb:read"`.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        jwks_url: str,
        key_lifetime: int = 3600,
        refetch_pause: float = 30.0,
    ) -> None:
        """Fetch nothing yet.

        Args:
            issuer: The one `iss` that is accepted, to the letter.
            audience: What `aud` is or has.
            jwks_url: Where the issuer publishes its keys (RFC 7517 §5).
            key_lifetime: Seconds after which a fetched key is fetched anew.
            refetch_pause: Seconds between two fetches, however many unknown keys tokens name.
        """
        super().__init__(
            jwks_uri=jwks_url,
            issuer=issuer,
            audience=audience,
            algorithm="RS256",
            jwks_refresh_interval=refetch_pause,
        )
        self._cache_ttl = key_lifetime
        api = audience if "://" in audience else f"api://{audience}"
        self._prefix = f"{api}/" if urlsplit(issuer).hostname in ENTRA_HOSTS else ""

    async def load_access_token(self, token: str) -> AccessToken | None:
        """Return what a token says, with all the scopes that it is worth."""
        try:
            accepted = await super().load_access_token(token)
            if accepted is None:
                return None
            _TIMES.validate(accepted.claims)
        except (JoseError, RecursionError, OverflowError):
            # JSON can nest too deeply to be read, and hold a time that is infinite.
            return None
        scopes = _with_included([*accepted.scopes, *_roles(accepted.claims)])
        return accepted.model_copy(update={"scopes": scopes})

    @property
    def scopes_supported(self) -> list[str]:
        """Every scope, as the issuer is asked for it."""
        return self.get_challenge_scopes([*SCOPES])

    def get_challenge_scopes(self, required_scopes: list[str] | None = None) -> list[str]:
        """Name scopes as the issuer is asked for them."""
        return [self._prefix + scope for scope in required_scopes or ()]


def _with_included(scopes: Iterable[str]) -> list[str]:
    """Add what is included: `["kb:write"]` becomes `["kb:write", "kb:read"]`."""
    found = dict.fromkeys(scopes)
    highest = max((SCOPES.index(scope) for scope in found if scope in SCOPES), default=-1)
    return [*found, *(scope for scope in SCOPES[: highest + 1] if scope not in found)]


def _roles(claims: Mapping[str, Any]) -> list[str]:
    """Return the roles of an application that acts for itself.

    Elsewhere roles are those of a user. The application that the user works with may do what its
    scopes say, which can be less; and an ID token, which has roles too, may do nothing.
    """
    acts_for_itself = "oid" in claims and claims["oid"] == claims.get("sub")
    if not acts_for_itself or "scp" in claims or "scope" in claims:
        return []
    roles = claims.get("roles")
    return [role for role in roles if isinstance(role, str)] if isinstance(roles, list) else []
