"""Which credentials are accepted, and what each is worth."""

import math
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from mock_api.tokens import SCOPES, ApiKey, BearerTokens
from tests.mock_api.issuer import AUDIENCE, ISSUER, Issuer, claims_of, new_key, serving, unsigned
from tests.mock_api.issuer import signed_with_public_key as forged

Claims = dict[str, Any]


@pytest.fixture(scope="module")
def keys() -> list[RSAKey]:
    return [new_key("old"), new_key("new"), new_key("foreign")]


@pytest.fixture
def issuer(keys: list[RSAKey]) -> Iterator[Issuer]:
    with serving(keys[0]) as issuer:
        yield issuer


def verifier(at: Issuer, **options: Any) -> BearerTokens:
    chosen = {"issuer": ISSUER, "audience": AUDIENCE, "refetch_pause": 0, **options}
    return BearerTokens(jwks_url=at.jwks_url, **chosen)


async def worth(tokens: BearerTokens, token: str) -> list[str] | None:
    """Return the scopes of a token, or None where it is not accepted."""
    accepted = await tokens.verify_token(token)
    return accepted.scopes if accepted else None


async def test_a_token_is_worth_its_scopes_and_those_they_include(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    assert await worth(tokens, issuer.token("kb:read")) == ["kb:read"]
    assert await worth(tokens, issuer.token("email kb:write")) == ["email", "kb:write", "kb:read"]
    assert set(await worth(tokens, issuer.token("kb:admin")) or ()) == set(SCOPES)
    assert await worth(tokens, issuer.token()) == []
    assert await worth(tokens, issuer.token("kb:superadmin KB:ADMIN")) == [
        "kb:superadmin",
        "KB:ADMIN",
    ]


async def test_only_this_issuer_and_this_audience_will_do(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    assert await worth(tokens, issuer.token("kb:read", aud=["other", AUDIENCE])) is not None
    for claims in (
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": None},
        {"aud": AUDIENCE + "x"},
        {"iss": "https://login.microsoftonline.com/other/v2.0"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"iss": [ISSUER]},
    ):
        assert await worth(tokens, issuer.token("kb:read", **claims)) is None, claims


async def test_a_token_has_begun_and_has_an_end_that_has_not_come(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    now = int(time.time())
    for claims in (
        {"exp": now - 5},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"nbf": now + 300},
        {"nbf": "yesterday"},
        {"iat": now + 300},
    ):
        assert await worth(tokens, issuer.token("kb:read", **claims)) is None, claims
    # The issuer's clock may be a little ahead.
    assert await worth(tokens, issuer.token("kb:read", nbf=now + 20, iat=now + 20)) is not None


async def test_a_token_that_cannot_be_read_is_worth_nothing(issuer: Issuer) -> None:
    deep = urlsafe_b64encode(b"[" * 5_000).decode()
    for token in (f"{deep}.e30.e30", issuer.token("kb:read", exp=math.inf)):
        assert await worth(verifier(issuer), token) is None


async def test_only_the_issuers_signature_will_do(issuer: Issuer, keys: list[RSAKey]) -> None:
    tokens = verifier(issuer)
    claims = claims_of("kb:admin")
    head, body, signature = issuer.token("kb:read").split(".")
    impostor = RSAKey.import_key({**keys[2].as_dict(private=True), "kid": "old"})
    for token in (
        unsigned({"alg": "none"}, claims),
        unsigned({"alg": "none", "kid": "old"}, claims),
        unsigned({"alg": "RS256", "kid": "old"}, claims),
        forged(issuer, claims),
        issuer.token("kb:admin", key=impostor),
        issuer.token("kb:admin", key=keys[2]),
        f"{head}.{issuer.token('kb:admin').split('.')[1]}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{signature}.",
        unsigned({"alg": "RS256", "kid": ["old"]}, claims),
        f"{'W10'}.{body}.{signature}",  # a header that is a list
        "",
        "..",
        "\xff.\xfe.\xfd",
    ):
        assert await worth(tokens, token) is None, token
    assert await worth(tokens, f"{head}.{body}.{signature}") == ["kb:read"]


async def test_a_new_key_is_accepted_once_it_is_published(
    issuer: Issuer, keys: list[RSAKey]
) -> None:
    tokens = verifier(issuer)
    old, new = issuer.token("kb:read"), issuer.token("kb:read", key=keys[1])
    assert await worth(tokens, old) is not None
    assert await worth(tokens, new) is None
    issuer.published.append(keys[1])
    assert await worth(tokens, new) is not None
    assert await worth(tokens, old) is not None
    assert issuer.fetches == 3


async def test_a_retired_key_is_refused_when_another_is_fetched_or_its_time_is_over(
    issuer: Issuer, keys: list[RSAKey]
) -> None:
    keeping, forgetting = verifier(issuer, key_lifetime=600), verifier(issuer, key_lifetime=0)
    old, new = issuer.token("kb:read"), issuer.token("kb:read", key=keys[1])
    for tokens in (keeping, forgetting):
        assert await worth(tokens, old) is not None
    issuer.published[:] = [keys[1]]
    assert await worth(keeping, old) is not None
    assert await worth(forgetting, old) is None
    assert await worth(keeping, new) is not None
    assert await worth(keeping, old) is None


async def test_unknown_keys_do_not_make_it_fetch_again_and_again(
    issuer: Issuer, keys: list[RSAKey]
) -> None:
    tokens = verifier(issuer, refetch_pause=600)
    for _ in range(5):
        assert await worth(tokens, issuer.token("kb:admin", key=keys[2])) is None
    assert await worth(tokens, issuer.token("kb:read")) is not None
    assert issuer.fetches == 1


async def test_without_the_issuers_keys_no_token_is_accepted(issuer: Issuer) -> None:
    tokens = BearerTokens(issuer=ISSUER, audience=AUDIENCE, jwks_url=f"{issuer.jwks_url}/nowhere")
    assert await worth(tokens, issuer.token("kb:read")) is None


async def test_a_user_s_token_of_entra_is_worth_its_scp_and_not_the_user_s_roles(
    issuer: Issuer,
) -> None:
    tokens = verifier(issuer)
    user: Claims = {
        "oid": "0001",
        "sub": "pairwise",
        "azp": "client",
        "ver": "2.0",
        "roles": ["kb:admin"],
    }
    assert await worth(tokens, issuer.token(scp="kb:read User.Read", **user)) == [
        "kb:read",
        "User.Read",
    ]
    assert await worth(tokens, issuer.token(**user)) == []  # an ID token


async def test_an_application_s_own_token_of_entra_is_worth_its_roles(issuer: Issuer) -> None:
    tokens = verifier(issuer)
    itself: Claims = {"oid": "0001", "sub": "0001", "azp": "client"}
    assert await worth(tokens, issuer.token(roles=["kb:write", 7], **itself)) == [
        "kb:write",
        "kb:read",
    ]
    assert await worth(tokens, issuer.token(roles="kb:admin", **itself)) == []
    assert await worth(tokens, issuer.token("kb:read", roles=["kb:admin"], **itself)) == ["kb:read"]


def test_entra_is_asked_for_scopes_under_the_api_s_name(issuer: Issuer) -> None:
    supported = verifier(issuer).scopes_supported
    assert supported == [f"api://{AUDIENCE}/{scope}" for scope in SCOPES]
    named = verifier(issuer, audience="api://kb.example.com")
    assert named.get_challenge_scopes(["kb:write"]) == ["api://kb.example.com/kb:write"]
    elsewhere = verifier(issuer, issuer="https://login.microsoftonline.com.example.org/v2.0")
    assert elsewhere.scopes_supported == [*SCOPES]


async def test_the_api_key_is_worth_everything_and_nothing_else_is_it() -> None:
    key = ApiKey("ключ".encode())
    accepted = await key.verify_token("ключ".encode().decode("latin-1"))
    assert accepted is not None
    assert accepted.scopes == [*SCOPES]
    for wrong in ("", "ключ", "????", "key", "ключ ".encode().decode("latin-1")):
        assert await key.verify_token(wrong) is None
