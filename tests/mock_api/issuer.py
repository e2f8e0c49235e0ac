"""An issuer of access tokens: signs them, and serves its public keys over loopback HTTP."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support import served

ISSUER = "https://login.microsoftonline.com/2d7f6a1c-0000-0000-0000-000000000000/v2.0"
AUDIENCE = "5d9e3b77-1111-1111-1111-111111111111"
API = f"api://{AUDIENCE}"
METADATA = "https://kb.example.com/.well-known/oauth-protected-resource/mcp"
NOBODY = "http://127.0.0.1:9/keys"


def new_key(name: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})


@dataclass
class Issuer:
    """`published` are the keys that verifiers find; the first one signs."""

    published: list[RSAKey]
    jwks_url: str = ""
    fetches: int = field(default=0, init=False)

    def serve(self, _: Request) -> Response:
        self.fetches += 1
        return JSONResponse({"keys": [key.as_dict(private=False) for key in self.published]})

    def token(self, scopes: str | None = None, *, key: RSAKey | None = None, **claims: Any) -> str:
        """Issue a token; a claim that is None is left out."""
        key = key or self.published[0]
        header = {"alg": "RS256", "typ": "JWT", "kid": key.kid}
        return jwt.encode(header, claims_of(scopes, **claims), key, algorithms=["RS256"])


@contextmanager
def serving(*keys: RSAKey) -> Iterator[Issuer]:
    issuer = Issuer([*keys])
    with served(Starlette(routes=[Route("/keys", issuer.serve)])) as url:
        issuer.jwks_url = f"{url}/keys"
        yield issuer


def claims_of(scopes: str | None = None, **claims: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "nbf": now, "exp": now + 600}
    chosen = {**usual, "scope": scopes, **claims}
    return {name: value for name, value in chosen.items() if value is not None}


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return f"{_part(header)}.{_part(claims)}."


def signed_with_public_key(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    """Forge a token: HS256, whose secret is the public key that everyone can read."""
    key = issuer.published[0]
    said = f"{_part({'alg': 'HS256', 'kid': key.kid})}.{_part(claims)}"
    secret = key.as_pem(private=False)
    return f"{said}.{_encoded(hmac.digest(secret, said.encode(), hashlib.sha256))}"


def _part(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
