"""Who may call a proxy: its own providers decide, and their tokens stay with it."""

from collections.abc import Iterator
from copy import deepcopy

import pytest

from mcp_mount import proxy_app
from tests.access import bearer, static, verifier
from tests.api import PARTS, api
from tests.mock_api.issuer import Issuer, new_key, serving
from tests.support import ERAS, Era, call, tools

eras = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with serving(new_key("first")) as issuer:
        yield issuer


@eras
async def test_a_token_is_checked_at_the_proxy_and_stays_there(issuer: Issuer, era: Era) -> None:
    """Proxy, C3: `auth=` works as in the mount."""
    async with api() as parts:
        app = proxy_app(PARTS, parts.url, auth=verifier(issuer))
        for headers in ({}, bearer("wrong"), bearer(issuer.token(aud="other"))):
            assert (await call(app, "list_parts", era=era, headers=headers)).status == 401
        assert parts.requests == []
        reply = await call(app, "list_parts", era=era, headers=bearer(issuer.token()))
        assert reply.text_content == "here"
    assert "authorization" not in parts.requests[0].lower()


@eras
async def test_a_tool_asks_for_the_scopes_of_its_operation(era: Era) -> None:
    """Proxy, X2: hidden from who lacks them, and refused with what to ask for."""
    document = deepcopy(PARTS)
    document["paths"]["/parts"]["post"]["security"] = [{"login": ["parts:write"]}]
    async with api() as parts:
        auth = static(reader=["parts:read"], writer=["parts:write"])
        app = proxy_app(document, parts.url, auth=auth)
        assert "add_part" not in await tools(app, era=era, headers=bearer("reader"))
        refused = await call(app, "add_part", era=era, headers=bearer("reader"))
        assert refused.status == 403
        assert "parts:write" in refused.headers["www-authenticate"]
        allowed = await call(app, "add_part", era=era, headers=bearer("writer"))
        assert allowed.text_content == "here"
    assert parts.lines == ["POST /parts"]
