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

from mcp_mount.access.store import Failing
from mcp_mount.outgoing.bodies import reading_at_most
from mcp_mount.outgoing.heads import BoundedClient
from mcp_mount.outgoing.log import hide_url_async
from mcp_mount.outgoing.tls import usual_tls

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

_MAX_BYTES: Final = 64 * 1024
"""Of an answer with keys; those of large issuers have 20 KiB. The smallest keys take 36 ms then."""

_Key = dict[str, Any]

_PUBLIC: Final = ("kty", "n", "e", "crv", "x", "y", "kid", "alg", "use", "key_ops")
"""What is taken of a key (RFC 7517 §4, RFC 7518 §6): with the private parts of one, its primes are
looked for, for seconds or for ever."""


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
        self._fetched: tuple[float, list[_Key] | httpx2.HTTPError] | None = None
        self._lock = anyio.Lock()
        self._failing = Failing(
            "The keys of AUTH_JWKS_URL",
            "cannot be fetched: tokens whose keys are not known are refused",
            "can be fetched again",
        )

    async def fetch(self) -> list[_Key]:
        """Return the keys, for some seconds the same.

        Raises:
            HTTPError: there are none.
        """
        async with self._lock:
            if self._fetched is None or time.monotonic() - self._fetched[0] > _KEPT:
                self._fetched = time.monotonic(), await self._fetch()
            _, answer = self._fetched
        if isinstance(answer, httpx2.HTTPError):
            raise answer.with_traceback(None)
        return answer

    async def _fetch(self) -> list[_Key] | httpx2.HTTPError:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                keys = await self._ask()
        except httpx2.HTTPError as error:
            failed = error
        except TimeoutError:
            failed = httpx2.ReadTimeout("The keys did not come in time.")
        else:
            self._failing.end()
            return keys
        self._failing.begin(failed)
        return failed

    async def _ask(self) -> list[_Key]:
        async with BoundedClient(
            timeout=_FETCH_SECONDS,
            verify=usual_tls(),
            headers={"accept-encoding": "identity"},
            event_hooks={"request": [hide_url_async], "response": [reading_at_most(_MAX_BYTES)]},
        ) as client:
            response = await client.get(self._url)
        if not response.is_success:
            raise httpx2.RequestError(f"The answer is HTTP {response.status_code}.")
        try:
            document = response.json()
        except (ValueError, RecursionError):
            raise httpx2.DecodingError("The answer is no JSON.") from None
        found = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(found, list):
            raise httpx2.DecodingError("The answer is no set of keys (RFC 7517 §5).")
        keys = [each for each in found if isinstance(each, dict)]
        return [{name: key[name] for name in _PUBLIC if name in key} for key in keys]


class _KeysFor(httpx2.AsyncBaseTransport):
    """Answers with the keys that may be used with one algorithm."""

    def __init__(self, algorithm: str, keys: _Keys) -> None:
        self._algorithm = algorithm
        self._keys = keys

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        keys = [
            each
            for each in await self._keys.fetch()
            if each.get("alg", self._algorithm) == self._algorithm
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
