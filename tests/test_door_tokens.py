"""The tokens that a proxy or a gateway takes: whichever algorithm the issuer's keys are for."""

import asyncio
import contextlib
import gzip
import json
import time
from base64 import urlsafe_b64encode
from typing import Any, cast

import anyio
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mcp_mount.access.issuer import ALGORITHMS, IssuerTokens
from tests.access import METADATA_PATH, bearer
from tests.mock_api.issuer import (
    AUDIENCE,
    ISSUER,
    Issuer,
    claims_of,
    signed_with_public_key,
    unsigned,
)
from tests.support import ERAS, Era, call, http, rpc, served
from tests.test_door import behind

# The library would rather have the newer name of it, which issuers do not use yet.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

SIGNED_WITH: dict[str, Any] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSAKey),
    **dict.fromkeys(("ES256", "ES384", "ES512"), ECKey),
    **dict.fromkeys(("EdDSA", "Ed25519"), OKPKey),
}
CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def key_for(algorithm: str, *, says: bool = True) -> Key:
    kind = SIGNED_WITH[algorithm]
    size = 2048 if kind is RSAKey else CURVES.get(algorithm, "Ed25519")
    named = {"alg": algorithm} if says else {}
    key: Key = kind.generate_key(size, {"kid": algorithm, "use": "sig", **named})
    return key


def sign(key: Key, algorithm: str, **claims: Any) -> str:
    header = {"alg": algorithm, "kid": str(key.kid)}
    bare = {
        name: value
        for name, value in key.as_dict(private=True).items()
        if name not in {"alg", "use"}
    }
    unbound = type(key).import_key(bare)
    return jwt.encode(header, claims_of(**claims), unbound, algorithms=[algorithm])


class Keys:
    """Serves keys, and counts how often."""

    def __init__(self, *keys: Key) -> None:
        self.keys = keys
        self.fetches = 0
        self.app = Starlette(routes=[Route("/keys", self.serve)])

    def serve(self, _: Request) -> Response:
        self.fetches += 1
        return JSONResponse({"keys": [each.as_dict(private=False) for each in self.keys]})


def test_no_algorithm_has_a_secret_that_both_sides_know() -> None:
    assert {*ALGORITHMS} == SIGNED_WITH.keys()


async def test_each_algorithm_of_the_keys_is_accepted() -> None:
    """Proxy, C3: what the keys say, fetched once for all of them."""
    keys = {each: key_for(each, says=each != "ES384") for each in ALGORITHMS}
    issuer = Keys(*keys.values())
    with served(issuer.app) as url:
        verifier = IssuerTokens(issuer=ISSUER, audience=AUDIENCE, jwks_uri=f"{url}/keys")
        for algorithm, key in keys.items():
            accepted = await verifier.verify_token(sign(key, algorithm, scopes="a b"))
            assert accepted is not None, algorithm
            assert accepted.scopes == ["a", "b"]
    assert issuer.fetches == 1


@pytest.mark.parametrize("header", ["[]", '"RS256"', "5", "null", '{"alg": []}', "[" * 50, "{"])
async def test_a_token_whose_header_is_no_object_is_none(header: str) -> None:
    """Proxy, C3: a stranger would have had an error 500, and a traceback in the log for each."""
    token = f"{urlsafe_b64encode(header.encode()).decode().rstrip('=')}.e30.AAAA"
    verifier = IssuerTokens(issuer=ISSUER, audience=AUDIENCE, jwks_uri="http://127.0.0.1:1/keys")
    assert await verifier.verify_token(token) is None


async def test_a_key_is_for_nothing_else_than_it_says() -> None:
    """Proxy, C3, RFC 7517 §4.2, §4.4, and RFC 8725 §3.1."""
    packing = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"})
    rsa = RSAKey.generate_key(2048, {"kid": "RS256", "alg": "RS256"})
    curve = key_for("ES256", says=False)
    said = claims_of("a", exp=int(time.time()) + 60)
    with served(Keys(rsa, packing, curve).app) as url:
        verifier = IssuerTokens(issuer=ISSUER, audience=AUDIENCE, jwks_uri=f"{url}/keys")
        for token in (
            sign(rsa, "PS256"),
            sign(rsa, "RS512"),
            sign(packing, "RS256"),
            signed_with_public_key(Issuer([rsa]), said),
            unsigned({"alg": "none", "kid": "RS256"}, said),
            unsigned({"alg": "None"}, said),
            unsigned({"alg": ["RS256"]}, said),
            unsigned({}, said),
            sign(rsa, "RS256", exp=None),
            "no token",
            "a.b.c",
        ):
            assert await verifier.verify_token(token) is None, token
        assert await verifier.verify_token(sign(rsa, "RS256")) is not None
        assert await verifier.verify_token(sign(curve, "ES256")) is not None


@pytest.mark.parametrize("era", ERAS)
async def test_scopes_are_asked_for_as_the_issuer_knows_them(era: Era) -> None:
    """Proxy, RFC 9728: Entra ID knows by its whole name what is short in a token."""
    key = key_for("RS256")
    with served(Keys(key).app) as url:
        given: dict[str, Any] = {
            "auth_issuer": ISSUER,
            "auth_audience": AUDIENCE,
            "auth_jwks_url": f"{url}/keys",
            "auth_scope": ("parts:read", "openid"),
            "auth_scope_prefix": "api://parts/",
            "public_url": "https://kb.example",
        }
        doors: list[dict[str, Any]] = [{}, {"mcp_api_key": "key"}]
        for more in doors:
            app = behind("http://localhost:9", **given, **more)
            async with http(app) as client:
                found = (await client.get(METADATA_PATH)).json()
            assert found["scopes_supported"] == ["api://parts/parts:read", "openid"]
            headers = bearer(sign(key, "RS256"))
            refused = await call(app, "add_part", era=era, headers=headers)
            assert refused.status == 403
            assert 'scope="api://parts/parts:write"' in refused.headers["www-authenticate"]
            listed = await rpc(app, era, "tools/list", headers=headers)
            assert listed.status == 200


async def test_who_is_trusted_is_not_read_anew_for_the_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Security: anybody can show a token that has them fetched, which held the event loop."""
    keys = Keys(key_for("ES256"))
    with served(keys.app) as url:
        verifier = IssuerTokens(issuer=ISSUER, audience=AUDIENCE, jwks_uri=f"{url}/keys")
        monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
        assert await verifier.verify_token(sign(keys.keys[0], "ES256")) is not None


async def test_nothing_private_is_taken_of_a_key() -> None:
    """F1, RFC 7517 §4: with it, primes are looked for. Of a number that is one there are none."""
    prime = 2**2203 - 1
    numbers = {"n": prime, "e": 65_537, "d": pow(65_537, -1, prime - 1)}
    written = {
        name: urlsafe_b64encode(each.to_bytes((each.bit_length() + 7) // 8)).decode().rstrip("=")
        for name, each in numbers.items()
    }

    class Prime:
        def as_dict(self, **_: Any) -> dict[str, str]:
            return {"kty": "RSA", "kid": "RS256", "alg": "RS256", **written}

    header = urlsafe_b64encode(b'{"alg":"RS256","kid":"RS256"}').decode().rstrip("=")
    with served(Keys(cast("Key", Prime())).app) as url:
        verifier = IssuerTokens(issuer=ISSUER, audience=AUDIENCE, jwks_uri=f"{url}/keys")
        begun = time.thread_time()
        assert await verifier.verify_token(f"{header}.e30.AAAA") is None
        assert time.thread_time() - begun < 1


async def test_keys_that_do_not_come_are_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """C3: a byte now and then kept whoever needed the keys for ever, one after the other."""
    monkeypatch.setattr("mcp_mount.access.issuer._FETCH_SECONDS", 0.1)
    monkeypatch.setattr("mcp_mount.access.issuer._KEPT", 60.0)
    asked, is_over = 0, asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not is_over.is_set():
            writer.write(b" ")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await is_over.wait()
        writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/keys"
        verifier = IssuerTokens(issuer=ISSUER, audience=AUDIENCE, jwks_uri=url)
        with anyio.fail_after(5):
            for algorithm in ALGORITHMS:
                header = urlsafe_b64encode(json.dumps({"alg": algorithm, "kid": "a"}).encode())
                token = f"{header.decode().rstrip('=')}.e30.AAAA"
                assert await verifier.verify_token(token) is None
        is_over.set()
    assert asked == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (JSONResponse({"keys": [], "more": "a" * 100_000}), "larger than 65536 bytes"),
        (Response(gzip.compress(b"{}"), headers={"content-encoding": "gzip"}), "compressed"),
        (Response("[" * 60_000, media_type="application/json"), "no JSON"),
        (JSONResponse({"keys": 5}), "no set of keys"),
        (RedirectResponse("/elsewhere?key=planted"), "HTTP 307"),
        (Response(status_code=503), "HTTP 503"),
    ],
    ids=["large", "compressed", "deep", "other", "redirect", "down"],
)
async def test_what_is_wrong_with_the_keys_stands_in_the_log(
    answer: Response, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C3: everybody is refused then, and only the operator can tell that it is not their tokens."""

    async def serve(_: Request) -> Response:
        return answer

    key = key_for("ES256")
    with served(Starlette(routes=[Route("/keys", serve)])) as url:
        verifier = IssuerTokens(
            issuer=ISSUER, audience=AUDIENCE, jwks_uri=f"{url}/keys?key=planted"
        )
        assert await verifier.verify_token(sign(key, "ES256")) is None
        assert await verifier.verify_token(sign(key, "ES256")) is None
    (line,) = (each for each in caplog.records if each.name == "mcp_mount")
    assert line.getMessage().startswith("The keys of AUTH_JWKS_URL cannot be fetched")
    assert why in caplog.text
    assert "planted" not in caplog.text
