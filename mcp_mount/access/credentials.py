"""The API key that a proxy or a gateway takes, beside tokens.

The key, in ``X-Api-Key`` or as a bearer token, may do everything. It goes no further: no header
that holds it is sent to an API.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from fastmcp.server.auth import AccessToken, AuthProvider, MultiAuth, TokenVerifier
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, BearerAuthBackend
from starlette.authentication import AuthCredentials
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

_KEY_HOLDER: Final = "api-key"
"""The client id of whoever shows the key."""


class ApiKey(TokenVerifier):
    """Accepts one key, as a token."""

    def __init__(self, key: str) -> None:
        """Take the key, in ASCII."""
        super().__init__()
        self._key = key.encode()

    def matches(self, shown: bytes) -> bool:
        """Compare in a time that does not tell how much is right."""
        return hmac.compare_digest(shown, self._key)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what the key is worth, if it is the key."""
        if not self.matches(token.encode()):
            return None
        return AccessToken(token=token, client_id=_KEY_HOLDER, scopes=[])


class KeyHolder(AuthenticatedUser):
    """Who shows the key, in the headers `shown_in`, whose names are in lower case."""

    def __init__(self, token: AccessToken, shown_in: frozenset[bytes]) -> None:
        super().__init__(token)
        self.shown_in = shown_in


class KeyOrToken(MultiAuth):
    """Lets in who shows the key, or a token that another provider accepts, if there is one."""

    def __init__(self, key: str, tokens: AuthProvider | None) -> None:
        self._api_key = ApiKey(key)
        super().__init__(
            server=tokens,
            server_source_id="tokens" if tokens is not None else None,
            verifiers={_KEY_HOLDER: self._api_key},
        )

    def get_middleware(self) -> list[Middleware]:
        """Return what finds out who calls, also by ``X-Api-Key``."""
        backend = _KeyBackend(self, self._api_key)
        return [
            Middleware(AuthenticationMiddleware, backend=backend),
            Middleware(AuthContextMiddleware),
            Middleware(_KeyAsBearer),
        ]


class _KeyBackend(BearerAuthBackend):
    def __init__(self, provider: AuthProvider, key: ApiKey) -> None:
        super().__init__(provider)
        self._key = key

    async def authenticate(
        self, conn: HTTPConnection
    ) -> tuple[AuthCredentials, AuthenticatedUser] | None:
        shown = [(name, *_read(value)) for name, value in conn.headers.raw]
        holding = [(name, scheme) for name, scheme, value in shown if self._key.matches(value)]
        if not {(b"authorization", b"bearer"), (b"x-api-key", b"")} & {*holding}:
            found: tuple[AuthCredentials, AuthenticatedUser] | None
            found = await super().authenticate(conn)
            return found
        token = AccessToken(token=_KEY_HOLDER, client_id=_KEY_HOLDER, scopes=[])
        return AuthCredentials(), KeyHolder(token, frozenset(name for name, _ in holding))


class _KeyAsBearer:
    """Pure ASGI middleware that puts a bearer token in the place of the key.

    FastMCP's own check asks for one; which it is, has been checked then.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user = scope.get("user")
        if isinstance(user, KeyHolder):
            dropped = {*user.shown_in, b"authorization"}
            headers = [pair for pair in scope["headers"] if pair[0] not in dropped]
            headers.append((b"authorization", f"Bearer {_KEY_HOLDER}".encode()))
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)


def _read(value: bytes) -> tuple[bytes, bytes]:
    """Return the scheme of a credential, if it has one, and the rest (RFC 9110 §11.4)."""
    *before, rest = value.split() or [b""]
    return b" ".join(before).lower(), rest


def headers_to_withhold(user: object) -> frozenset[bytes]:
    """Return the names of the headers that hold the key, and are to go no further."""
    return user.shown_in if isinstance(user, KeyHolder) else frozenset()


def scopes_of_holder(request: Request) -> Sequence[str] | None:
    """Return the scopes of a token; None for the key, from which nothing is hidden."""
    user = request.scope.get("user")
    if isinstance(user, KeyHolder) or not isinstance(user, AuthenticatedUser):
        return None
    return user.scopes
