"""Access tokens, with FastMCP's auth providers: which are accepted, and what is said to others."""

import logging
import math
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Annotated

import anyio
import pytest
from fastapi import FastAPI, HTTPException, Security
from fastapi.security import (
    HTTPAuthorizationCredentials,
    HTTPBearer,
    OAuth2AuthorizationCodeBearer,
    OAuth2PasswordBearer,
)
from fastmcp import Client
from fastmcp.server.auth import AuthProvider

from mcp_mount import mount_mcp
from tests.access import MACHINE, METADATA, PROVIDERS, bearer, remote, static, verifier
from tests.mock_api.issuer import Issuer, claims_of, new_key, serving, unsigned
from tests.mock_api.issuer import signed_with_public_key as forged
from tests.support import ERAS, Era, call, http, rpc, tools

METHODS = ["tools/list", "tools/call", "initialize", "server/discover"]
UNKNOWN, NAMESAKE = new_key("unknown"), new_key("first")

eras = pytest.mark.parametrize("era", ERAS)
providers = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with serving(new_key("first")) as issuer:
        yield issuer


def app_with(auth: AuthProvider, **options: object) -> FastAPI:
    """Return an app whose one tool, ``token``, tells with which token its route was called."""
    app = FastAPI()

    @app.get("/token")
    async def token(
        given: Annotated[HTTPAuthorizationCredentials, Security(HTTPBearer())],
    ) -> str:
        return given.credentials

    mount_mcp(app, auth=auth, **options)  # type: ignore[arg-type]
    return app


def params_of(method: str) -> dict[str, object]:
    return {"name": "token", "arguments": {}} if method == "tools/call" else {}


@eras
@providers
async def test_a_valid_token_lists_calls_and_is_the_routes_too(
    issuer: Issuer, era: Era, provider: str
) -> None:
    """C3: the route's own security dependency accepts what the endpoint accepted."""
    app = app_with(PROVIDERS[provider](issuer))
    for token in (issuer.token("kb:read"), issuer.token()):
        assert (await tools(app, era=era, headers=bearer(token))).keys() == {"token"}
        reply = await call(app, "token", era=era, headers=bearer(token))
        assert reply.result["structuredContent"] == {"result": token}


@eras
async def test_each_of_several_providers_is_asked(issuer: Issuer, era: Era) -> None:
    """C3."""
    app = app_with(PROVIDERS["several"](issuer))
    reply = await call(app, "token", era=era, headers=bearer(MACHINE))
    assert reply.result["structuredContent"] == {"result": MACHINE}


def bad_tokens(issuer: Issuer) -> dict[str, str]:
    now = int(time.time())
    claims = claims_of("kb:admin")
    return {
        "another audience": issuer.token("kb:admin", aud="other"),
        "no audience": issuer.token("kb:admin", aud=None),
        "another issuer": issuer.token("kb:admin", iss="https://elsewhere.example"),
        "no issuer": issuer.token("kb:admin", iss=None),
        "expired": issuer.token("kb:admin", exp=now - 5),
        "not yet valid": issuer.token("kb:admin", nbf=now + 300),
        "valid from a text on": issuer.token("kb:admin", nbf="yesterday"),
        "valid from no number on": issuer.token("kb:admin", nbf=math.nan),
        "valid from true on": issuer.token("kb:admin", nbf=True),
        "without an end that is a number": issuer.token("kb:admin", exp=math.inf),
        "a deep header": f"{segment(b'[' * 5_000)}.e30.e30",
        "a deep header, closed": f"{segment(b'[' * 2_500 + b']' * 2_500)}.e30.e30",
        "a deep header in an object": segment(b'{"a":' * 1_000) + ".e30.e30",
        "a deep payload": f"{ALGORITHM}.{segment(b'[' * 5_000)}.e30",
        "another's key": issuer.token("kb:admin", key=UNKNOWN),
        "a known key's name": issuer.token("kb:admin", key=NAMESAKE),
        "unsigned": unsigned({"alg": "none"}, claims),
        "unsigned, with a key's name": unsigned({"alg": "none", "kid": "first"}, claims),
        "signed with the public key": forged(issuer, claims),
        "cut": issuer.token("kb:admin")[:-10],
        "no token": "wrong",
    }


ALGORITHM = "eyJhbGciOiJSUzI1NiJ9"


def segment(text: bytes) -> str:
    return urlsafe_b64encode(text).decode().rstrip("=")


@eras
@providers
@pytest.mark.parametrize("method", METHODS)
async def test_a_stranger_gets_no_further_than_401(
    issuer: Issuer, era: Era, provider: str, method: str
) -> None:
    """C3, R3: before anything is listed, and with where to get a token (RFC 9728 §5.1)."""
    app = app_with(PROVIDERS[provider](issuer))
    found = "" if provider == "verifier" else f' resource_metadata="{METADATA}"'
    for name, token in bad_tokens(issuer).items():
        reply = await rpc(app, era, method, params_of(method), headers=bearer(token))
        assert reply.status == 401, name
        challenge = reply.headers["www-authenticate"]
        assert challenge.startswith('Bearer error="invalid_token"')
        assert challenge.endswith(found)
        assert "kb:" not in reply.text + challenge
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"X-Api-Key": issuer.token()}):
        reply = await rpc(app, era, method, params_of(method), headers=headers)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, f"Bearer{found}")


async def test_refusals_are_a_line_of_the_log_in_a_second() -> None:
    """F2: it says how many there were; strangers wrote two lines for each without bound."""
    lines, sent = list[tuple[int, str]](), 0

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((sent, record.getMessage()))

    app, logger, handler = app_with(static(alice=[])), logging.getLogger("fastmcp"), Lines()
    logger.addHandler(handler)
    try:
        with anyio.fail_after(30):
            while len(lines) < 2:
                sent += 1
                refused = await rpc(app, "modern", "tools/list", headers=bearer("wrong"))
                assert refused.status == 401
    finally:
        logger.removeHandler(handler)
    (first, _), (second, said) = lines
    more = f", and {second - first - 1} more before"
    assert said == f"Auth error returned: invalid_token (status=401){more}"


async def test_a_token_whose_issuers_clock_is_a_little_ahead_is_accepted(issuer: Issuer) -> None:
    """C3."""
    app = app_with(remote(issuer))
    token = issuer.token(nbf=int(time.time()) + 20)
    assert (await rpc(app, "modern", "tools/list", headers=bearer(token))).status == 200


async def test_a_new_key_of_the_issuer_is_fetched_and_a_retired_one_forgotten() -> None:
    """C3: key rotation."""
    with serving(new_key("old")) as issuer:
        auth = verifier(issuer, jwks_refresh_interval=0)
        app = app_with(auth)

        async def status(token: str) -> int:
            return (await rpc(app, "modern", "tools/list", headers=bearer(token))).status

        old = issuer.token()
        assert await status(old) == 200
        issuer.published = [new_key("new")]
        assert await status(issuer.token()) == 200
        assert await status(old) == 401
        assert issuer.fetches == 3


@eras
async def test_static_tokens_are_verified_too(era: Era) -> None:
    """C3."""
    app = app_with(static(alice=[], bob=[]))
    for name in ("alice", "bob"):
        reply = await call(app, "token", era=era, headers=bearer(name))
        assert reply.result["structuredContent"] == {"result": name}
    reply = await rpc(app, era, "tools/list", headers=bearer("mallory"))
    assert (reply.status, reply.headers["www-authenticate"][:28]) == (
        401,
        'Bearer error="invalid_token"',
    )


@eras
@pytest.mark.parametrize(
    "scheme",
    [
        OAuth2PasswordBearer(tokenUrl="token"),
        OAuth2AuthorizationCodeBearer("https://idp.example/authorize", "https://idp.example/token"),
    ],
)
async def test_oauth_schemes_of_a_route_accept_the_same_token(
    era: Era, scheme: OAuth2PasswordBearer | OAuth2AuthorizationCodeBearer
) -> None:
    """C3, C4: and the token is not an argument."""
    app = FastAPI()

    async def user(token: Annotated[str, Security(scheme)]) -> str:
        if token != "alice":
            raise HTTPException(401)
        return token

    @app.get("/me")
    async def me(name: Annotated[str, Security(user)]) -> str:
        return name

    mount_mcp(app, auth=static(alice=[], bob=[]))
    reply = await call(app, "me", era=era, headers=bearer("alice"))
    assert reply.result["structuredContent"] == {"result": "alice"}
    listed = await tools(app, era=era, headers=bearer("alice"))
    assert listed["me"]["inputSchema"]["properties"] == {}
    # Accepted at the endpoint, but not by the route, whose own rule holds.
    refused = await call(app, "me", era=era, headers=bearer("bob"))
    assert refused.is_error
    assert refused.text_content.startswith("401 Unauthorized")


async def test_an_app_whose_routes_are_open_stays_open_over_rest(issuer: Issuer) -> None:
    """M1: the provider guards the endpoint, not the app's own routes."""
    app = FastAPI()

    @app.get("/open")
    async def read() -> str:
        return "open"

    mount_mcp(app, auth=remote(issuer))
    async with http(app) as client:
        assert (await client.get("/open")).json() == "open"


async def test_fastmcps_in_memory_client_needs_no_token(issuer: Issuer) -> None:
    """C1: whoever holds the server in its hands is trusted."""
    app = FastAPI()

    @app.get("/open")
    async def read() -> str:
        return "open"

    mounted = mount_mcp(app, auth=remote(issuer))
    async with Client(mounted.server) as client:
        assert (await client.call_tool("read")).structured_content == {"result": "open"}
