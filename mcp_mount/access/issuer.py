"""The access tokens of an issuer, whichever asymmetric algorithm its keys are for.

A token may do what its scopes say: ``scope`` (RFC 8693 §4.2), ``scp``, or Entra ID's ``roles``.

FastMCP's verifier accepts one algorithm. Here is one of them for each, and what a token's header
says chooses among them: never ``none``, nor a secret that both sides have. A key that says for what
it is (RFC 7517 §4.2, §4.4) is for nothing else.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import anyio
import httpx2
from fastmcp.server.auth import AccessToken, JWTVerifier, TokenVerifier
from fastmcp.utilities.auth import decode_jwt_header

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
"""Those of RFC 7518 §3.1, RFC 8037 and RFC 9864 whose keys can be public."""

_OPENID: Final = {"openid", "profile", "email", "offline_access"}
"""Scopes of OpenID Connect, which belong to no API."""

_KEPT: Final = 5.0
"""Seconds for which the verifiers share what was fetched; each keeps its own keys for longer."""

_FETCH_SECONDS: Final = 10.0
"""For all of them: who waits for keys that do not come is not to wait for each try of others."""


class IssuerTokens(TokenVerifier):
    """Accepts the access tokens of one issuer for one audience.

    It is stricter than FastMCP's verifier, which accepts tokens without an end, and knows of roles.
    """

    def __init__(
        self, *, issuer: str, audience: str, jwks_uri: str, scope_prefix: str = ""
    ) -> None:
        """Take whose tokens these are, for whom, and where the keys are.

        `scope_prefix` stands before a scope where a client asks for it, but not in the token:
        ``"api://<client id>/"`` with Entra ID.
        """
        super().__init__()
        self._prefix = scope_prefix
        keys = _Keys(jwks_uri)
        self._verifiers = {
            algorithm: JWTVerifier(
                issuer=issuer,
                audience=audience,
                jwks_uri=jwks_uri,
                algorithm=algorithm,
                http_client=httpx2.AsyncClient(
                    transport=_KeysFor(algorithm, keys), trust_env=False
                ),
            )
            for algorithm in ALGORITHMS
        }

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return what a token says, with all the scopes that it is worth."""
        try:
            header: object = decode_jwt_header(token)
        except ValueError:
            return None
        algorithm = header.get("alg") if isinstance(header, dict) else None
        verifier = self._verifiers.get(algorithm) if isinstance(algorithm, str) else None
        accepted = await verifier.verify_token(token) if verifier is not None else None
        if accepted is None or accepted.expires_at is None:
            # RFC 9068 §2.2: an access token has an end.
            return None
        return accepted.model_copy(update={"scopes": [*_scopes(accepted.claims)]})

    def get_challenge_scopes(self, required_scopes: list[str] | None = None) -> list[str]:
        """Return scopes as clients ask for them."""
        return [
            each if "://" in each or each in _OPENID else self._prefix + each
            for each in super().get_challenge_scopes(required_scopes)
        ]


class _Keys:
    """The issuer's keys as it serves them."""

    def __init__(self, url: str) -> None:
        self._url = url
        # To read who is trusted takes twenty milliseconds, and as long again for each proxy.
        self._tls = httpx2.create_ssl_context()
        self._fetched: tuple[float, httpx2.Response | httpx2.HTTPError] | None = None
        self._lock = anyio.Lock()

    async def fetch(self) -> httpx2.Response:
        """Return the response, for some seconds the same.

        Raises:
            HTTPError: there is none.
        """
        async with self._lock:
            if self._fetched is None or time.monotonic() - self._fetched[0] > _KEPT:
                fetched = await self._fetch()
                self._fetched = time.monotonic(), fetched
            _, answer = self._fetched
        if isinstance(answer, httpx2.HTTPError):
            raise answer.with_traceback(None)
        return answer

    async def _fetch(self) -> httpx2.Response | httpx2.HTTPError:
        try:
            async with (
                asyncio.timeout(_FETCH_SECONDS),
                httpx2.AsyncClient(timeout=_FETCH_SECONDS, verify=self._tls) as client,
            ):
                return await client.get(self._url)
        except TimeoutError:
            return httpx2.ReadTimeout("The issuer's keys did not come in time.")
        except httpx2.HTTPError as error:
            return error


class _KeysFor(httpx2.AsyncBaseTransport):
    """Answers with the keys that may be used with one algorithm."""

    def __init__(self, algorithm: str, keys: _Keys) -> None:
        self._algorithm = algorithm
        self._keys = keys

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._keys.fetch()
        if not response.is_success:
            return httpx2.Response(response.status_code, request=request)
        document = response.json()
        found = document.get("keys") if isinstance(document, dict) else None
        keys = [
            each
            for each in found or ()
            if isinstance(each, Mapping)
            and each.get("alg", self._algorithm) == self._algorithm
            and each.get("use", "sig") == "sig"
        ]
        return httpx2.Response(200, json={"keys": keys}, request=request)


def _scopes(claims: Mapping[str, Any]) -> Iterable[str]:
    """Return the scopes of a token's claims, once each.

    Entra ID gives an application that acts for itself roles instead (``oid`` is ``sub`` then).
    Those of a user are not what the application may do in the user's name, which can be less.
    """
    acts_for_itself = claims.get("oid") is not None and claims.get("oid") == claims.get("sub")
    names = ["scope", "scp"]
    if acts_for_itself and not {*names} & {*claims}:
        names = ["roles"]
    values = (claims.get(name) for name in names)
    lists = (value.split() if isinstance(value, str) else value for value in values)
    found = (each for values in lists if isinstance(values, list) for each in values)
    return dict.fromkeys(each for each in found if isinstance(each, str))
