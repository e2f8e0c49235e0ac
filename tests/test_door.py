"""The door of both commands: who is let in, what goes no further, and what stops the start."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastmcp import Client
from fastmcp.client.transports import SSETransport
from starlette.types import ASGIApp

from mcp_mount import MountError, Remote, Upstream, gateway_app, proxy_app
from mcp_mount.door import mount_options, remote_credentials, upstream_credentials
from mcp_mount.options import ServeOptions
from tests.access import METADATA, METADATA_PATH, bearer
from tests.api import PARTS, api
from tests.lanes import closed, handled_by_fastmcp
from tests.mock_api.issuer import AUDIENCE, ISSUER, Issuer, new_key, serving
from tests.others import gateway, offered, parts_server
from tests.starting import started
from tests.support import ERAS, Era, Reply, call, http, rpc, served, tools

eras = pytest.mark.parametrize("era", ERAS)

KEY = "open-sesame"
GUARDED = PARTS | {
    "paths": {
        **PARTS["paths"],
        "/parts": {
            **PARTS["paths"]["/parts"],
            "post": {**PARTS["paths"]["/parts"]["post"], "security": [{"login": ["parts:write"]}]},
        },
    }
}
"""The parts, where adding one needs a scope."""

WITH_KEY: list[dict[str, str]] = [
    {"X-Api-Key": KEY},
    {"Authorization": f"Bearer {KEY}"},
    {"Authorization": f"bearer  {KEY} "},
    {"Authorization": "Bearer other", "X-Api-Key": KEY},
]
WITHOUT: list[dict[str, str]] = [
    {},
    {"X-Api-Key": ""},
    {"X-Api-Key": KEY[:-1]},
    {"X-Api-Key": f"Bearer {KEY}"},
    {"Authorization": KEY},
    {"Authorization": f"Basic {KEY}"},
    {"Authorization": "Bearer "},
    {"Cookie": f"x-api-key={KEY}", "X-Key": KEY},
]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with serving(new_key("first")) as issuer:
        yield issuer


def behind(
    url: str, *, document: Any = GUARDED, upstream: dict[str, Any] | None = None, **given: Any
) -> FastAPI:
    """Return a proxy as the command makes it."""
    api = Upstream(url, **(upstream or {}))
    options = mount_options(ServeOptions(**given), upstream_credentials(api))
    return proxy_app(document, api, **options)


def tokens_of(issuer: Issuer) -> dict[str, Any]:
    return {
        "auth_issuer": ISSUER,
        "auth_audience": AUDIENCE,
        "auth_jwks_url": issuer.jwks_url,
    }


@eras
async def test_the_key_lets_in_and_nothing_else_does(era: Era) -> None:
    """Proxy, C3: as a bearer token or in `X-Api-Key`; strangers reach nothing."""
    async with api() as parts:
        app = behind(parts.url, mcp_api_key=KEY, upstream={"headers": {"X-Own": "1"}})
        for headers in WITHOUT:
            for method in ("tools/list", "initialize"):
                assert (await rpc(app, era, method, {}, headers=headers)).status == 401
            refused = await call(app, "list_parts", era=era, headers=headers)
            assert refused.status == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
            assert KEY not in refused.text
        assert parts.requests == []
        for headers in WITH_KEY:
            reply = await call(app, "list_parts", era=era, headers=headers)
            assert reply.text_content == "here"
    assert len(parts.requests) == len(WITH_KEY)


@eras
async def test_the_key_may_do_everything(era: Era) -> None:
    """Proxy, X2: also what a token needs scopes for."""
    async with api() as parts:
        app = behind(parts.url, mcp_api_key=KEY)
        for headers in WITH_KEY[:2]:
            assert "add_part" in await tools(app, era=era, headers=headers)
            assert (await call(app, "add_part", era=era, headers=headers)).text_content == "here"


@eras
@pytest.mark.parametrize("shown", WITH_KEY)
async def test_the_key_of_the_door_never_reaches_the_api(shown: dict[str, str], era: Era) -> None:
    """Proxy, C3: whatever is forwarded, and in whichever header it is shown."""
    forwarded = ("Authorization", "X-Api-Key", "X-Tenant", "X-Other")
    async with api() as parts:
        app = behind(parts.url, mcp_api_key=KEY, upstream={"forward_headers": forwarded})
        headers = {**shown, "X-Tenant": "north", "X-Other": KEY}
        await call(app, "list_parts", era=era, headers=headers)
    (request,) = parts.requests
    assert "x-tenant: north" in request
    assert KEY not in request


@eras
async def test_what_is_beside_the_key_is_forwarded(era: Era) -> None:
    """Proxy: the door's key in one header, the caller's own credential for the API in the other."""
    forwarded = ("Authorization", "X-Api-Key")
    mine = [
        ({"Authorization": f"Bearer {KEY}", "X-Api-Key": "mine"}, "x-api-key: mine"),
        ({"Authorization": "Bearer mine", "X-Api-Key": KEY}, "authorization: Bearer mine"),
    ]
    async with api() as parts:
        app = behind(parts.url, mcp_api_key=KEY, upstream={"forward_headers": forwarded})
        for headers, _ in mine:
            await call(app, "list_parts", era=era, headers=headers)
    for request, (_, line) in zip(parts.requests, mine, strict=True):
        assert line in request
        assert KEY not in request


@eras
async def test_tokens_may_do_what_their_scopes_say(issuer: Issuer, era: Era) -> None:
    """Proxy, X2: `scope`, `scp` and the roles of an application that acts for itself."""
    writes: list[dict[str, Any]] = [
        {"scope": "parts:write"},
        {"scope": ["x", "parts:write"]},
        {"scp": "x parts:write"},
        {"scp": ["parts:write"]},
        {"scope": "x", "scp": "parts:write"},
        {"oid": "ada", "roles": ["parts:write", 7]},
    ]
    reads: list[dict[str, Any]] = [
        {},
        {"scope": "parts:writer"},
        {"scp": 5},
        # A user's roles are not what the application may do in the user's name.
        {"roles": ["parts:write"]},
        {"oid": "ada", "scp": "x", "roles": ["parts:write"]},
        {"oid": "eve", "roles": ["parts:write"]},
    ]
    async with api() as parts:
        app = behind(parts.url, **tokens_of(issuer), mcp_api_key=KEY)
        for claims in writes:
            headers = bearer(issuer.token(**{"scope": None, **claims}))
            assert (await call(app, "add_part", era=era, headers=headers)).text_content == "here"
        for claims in reads:
            headers = bearer(issuer.token(**{"scope": None, **claims}))
            assert "add_part" not in await tools(app, era=era, headers=headers)
            refused = await call(app, "add_part", era=era, headers=headers)
            assert refused.status == 403
            assert "parts:write" in refused.headers["www-authenticate"]
        allowed = await call(app, "add_part", era=era, headers={"X-Api-Key": KEY})
        assert allowed.text_content == "here"


@eras
async def test_tokens_of_others_and_tokens_without_an_end_are_refused(
    issuer: Issuer, era: Era
) -> None:
    """Proxy, C3, RFC 9068 §2.2: the issuer, the audience, and the time."""
    async with api() as parts:
        for given in (tokens_of(issuer), {**tokens_of(issuer), "mcp_api_key": KEY}):
            app = behind(parts.url, **given)
            for claims in (
                {"aud": "other"},
                {"iss": "https://other.example"},
                {"exp": 1},
                {"exp": None},
                {"nbf": 2**40},
            ):
                headers = bearer(issuer.token(**claims))
                assert (await call(app, "list_parts", era=era, headers=headers)).status == 401
            assert (await call(app, "list_parts", era=era)).status == 401
    assert parts.requests == []


async def test_clients_find_the_issuer_where_the_public_url_is_said(issuer: Issuer) -> None:
    """Proxy, RFC 9728: a public URL of the server alone is that of its endpoint."""
    for public_url in ("https://kb.example", "https://kb.example/", "https://kb.example/mcp"):
        app = behind("http://localhost:9", **tokens_of(issuer), public_url=public_url)
        refused = await rpc(app, "modern", "tools/list", {})
        assert f'resource_metadata="{METADATA}"' in refused.headers["www-authenticate"]
        async with http(app) as client:
            found = (await client.get(METADATA_PATH)).json()
        assert found["resource"] == "https://kb.example/mcp"
        assert found["authorization_servers"] == [ISSUER]


@eras
async def test_the_door_of_a_gateway_is_the_same(issuer: Issuer, era: Era) -> None:
    """Gateway, C3: nothing is listed or called for a stranger, and no remote gets the key."""
    with offered(parts_server()) as url:
        remotes = [Remote("parts", url=url, scopes=["parts:read"])]
        given = ServeOptions(mcp_api_key=KEY, **tokens_of(issuer))
        options = mount_options(given, remote_credentials(remotes))
        async with gateway(*remotes, **options) as app:
            assert (await find(app, era, {})).status == 401
            assert (await find(app, era, bearer(issuer.token("other")))).status == 403
            for headers in (*WITH_KEY, bearer(issuer.token("parts:read"))):
                assert not (await find(app, era, headers)).is_error


async def find(app: ASGIApp, era: Era, headers: dict[str, str]) -> Reply:
    return await call(app, "parts_find", {"word": "a"}, era=era, headers=headers)


async def test_the_key_keeps_the_quick_way(issuer: Issuer) -> None:
    """X2, M7: who shows the key is served without FastMCP's machinery, as everyone is."""
    async with api() as parts:
        app = behind(parts.url, mcp_api_key=KEY, **tokens_of(issuer))
        with handled_by_fastmcp() as handled:
            for headers in (WITH_KEY[0], WITH_KEY[1], bearer(issuer.token())):
                await call(app, "list_parts", headers=headers)
                await tools(app, headers=headers)
    assert handled == []


@eras
async def test_where_nobody_is_asked_a_made_up_key_is_no_other_caller(era: Era) -> None:
    """Proxy, L3: the rate limit counts by address then, and by caller behind a key."""
    async with api() as parts:
        app = behind(parts.url, rate_limit="1/hour")
        replies = [
            await call(app, "list_parts", era=era, headers={"X-Api-Key": str(number)})
            for number in range(2)
        ]
        assert [reply.is_error for reply in replies] == [False, True]
        assert "1 per 1 hour" in replies[1].text_content


OPEN = "0.0.0.0"  # noqa: S104 - that is what is refused
OWN: list[dict[str, Any]] = [
    {"headers": {"X-Api-Key": "hunter2"}},
    {"url": "http://localhost:9/?key=hunter2"},
]


@pytest.mark.parametrize("host", [OPEN, "::", "", "192.0.2.7", "kb.example"])
@pytest.mark.parametrize("own", OWN)
def test_credentials_behind_an_open_door_stop_the_start(own: dict[str, Any], host: str) -> None:
    """Proxy: with the two ways out, and without the credentials."""
    with pytest.raises(MountError) as refused:
        behind(own.get("url", "http://localhost:9"), host=host, upstream=_headers(own))
    said = str(refused.value)
    assert "MCP_API_KEY" in said
    assert "AUTH_ISSUER" in said
    assert "--no-auth" in said
    assert "hunter2" not in said


def _headers(own: dict[str, Any]) -> dict[str, Any]:
    return {"headers": own["headers"]} if "headers" in own else {}


@pytest.mark.parametrize("own", OWN)
def test_the_ways_out_are_ways_out(
    own: dict[str, Any], issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxy: a key, an issuer, an address that is nobody else's, or to mean it, which is logged."""
    url, upstream = own.get("url", "http://localhost:9"), _headers(own)
    behind(url, upstream=upstream, host=OPEN, mcp_api_key=KEY)
    behind(url, upstream=upstream, host=OPEN, **tokens_of(issuer))
    for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        behind(url, upstream=upstream, host=host)
    assert caplog.records == []
    behind(url, upstream=upstream, host=OPEN, no_auth=True)
    (line,) = (each.getMessage() for each in caplog.records)
    assert line.startswith("Nobody is asked for a key")


@pytest.mark.parametrize(
    ("remote", "named"),
    [
        ({"url": "https://x.example/mcp", "headers": {"X-Key": "hunter2"}}, "headers of"),
        ({"url": "https://x.example/mcp", "auth": "hunter2"}, "auth of"),
        ({"url": "https://x.example/mcp?key=hunter2"}, "the URL of"),
        ({"url": "https://u:hunter2@x.example/mcp"}, "the URL of"),
        ({"command": "x", "env": {"TOKEN": "hunter2"}}, "env of"),
    ],
)
def test_credentials_of_remotes_behind_an_open_door_stop_the_start(
    remote: dict[str, Any], named: str
) -> None:
    """Gateway: as in the proxy."""
    own = remote_credentials([Remote("x", **remote), Remote("y", url="https://y.example/mcp")])
    with pytest.raises(MountError, match=r"MCP_API_KEY.*--no-auth") as refused:
        mount_options(ServeOptions(host=OPEN), own)
    assert f"{named} the server 'x'" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    mount_options(ServeOptions(host=OPEN, mcp_api_key=KEY), own)


def test_nothing_behind_an_open_door_is_only_told(caplog: pytest.LogCaptureFixture) -> None:
    """M8: one line."""
    own = remote_credentials([Remote("y", url="https://y.example/mcp"), Remote("z", command="z")])
    mount_options(ServeOptions(host=OPEN), own)
    (line,) = (each.getMessage() for each in caplog.records)
    assert "whoever reaches 0.0.0.0 can call the tools" in line


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"auth_issuer": ISSUER}, "AUTH_AUDIENCE and AUTH_JWKS_URL missing"),
        ({"auth_jwks_url": "http://localhost/keys"}, "AUTH_ISSUER and AUTH_AUDIENCE missing"),
        ({"mcp_api_key": "pass word"}, "MCP_API_KEY holds what no header takes"),
        ({"mcp_api_key": "schlüssel"}, "MCP_API_KEY holds what no header takes"),
        ({"mcp_api_key": KEY, "no_auth": True}, "take one of the two away"),
        ({"auth_issuer": "a", "auth_audience": "b", "auth_jwks_url": "c"}, "AUTH_JWKS_URL cannot"),
        (
            {
                "auth_issuer": ISSUER,
                "auth_audience": "b",
                "auth_jwks_url": "https://c.example/keys",
                "public_url": "https://kb.example/tools",
            },
            "must end with '/mcp'",
        ),
        ({"timeout": 0}, "Limits.timeout must be"),
    ],
)
def test_options_that_cannot_be_are_refused(given: dict[str, Any], said: str) -> None:
    """Errors are instructions, and hold no secret."""
    with pytest.raises(MountError) as refused:
        mount_options(ServeOptions(**given), [])
    assert said in str(refused.value)
    assert "pass word" not in str(refused.value)
    assert "schlüssel" not in str(refused.value)


def test_the_key_is_not_shown() -> None:
    """X7."""
    assert KEY not in repr(ServeOptions(mcp_api_key=KEY))


@eras
async def test_a_gateway_offers_the_tools_that_are_named(era: Era) -> None:
    """Gateway: `include`, then `exclude`, by the names that callers see; nothing else is called."""
    with offered(parts_server()) as url:
        remote = Remote("parts", url=url)
        for options, listed in (
            ({"include": ["parts_f*"], "exclude": ["*_fail"]}, {"parts_find"}),
            ({"exclude": ["parts_[cp]*"]}, {"parts_find", "parts_fail"}),
        ):
            async with gateway(remote, **options) as app:
                assert {*await tools(app, era=era)} == listed
                unknown = await call(app, "parts_count", {"to": 1}, era=era)
                assert unknown.answer["error"]["code"] == -32602
                found = await call(app, "parts_find", {"word": "a"}, era=era)
                assert not found.is_error


@pytest.mark.parametrize("pattern", ["wiki_*", "parts", "parst_find", "tag:kb", "GET *"])
def test_a_name_that_no_server_can_have_stops_the_start(pattern: str) -> None:
    """Gateway: a slip in `exclude` would leave a tool open."""
    remote = Remote("parts", url="http://localhost:9/mcp")
    for option in ("include", "exclude"):
        options: dict[str, Any] = {option: [pattern]}
        with pytest.raises(MountError, match=r"matches no tool: they are called 'parts_\*'"):
            gateway_app([remote], **options)
    gateway_app([remote], exclude=["*_delete", "parts_x", "p?rts_*", "[p]*"])


@eras
async def test_the_other_ways_of_an_mcp_server_know_the_key_too(era: Era) -> None:
    """Proxy, X4: FastMCP's own way, and one with sessions."""
    async with api() as parts:
        options = mount_options(ServeOptions(mcp_api_key=KEY), [])
        forwards = Upstream(parts.url, forward_headers=("X-Api-Key", "Authorization"))
        options["sessions"] = True
        app = proxy_app(PARTS, forwards, **options)
        closed(app.state.mcp)
        method = "tools/list" if era == "modern" else "initialize"
        params = {} if era == "modern" else INITIALIZE
        async with started(app) as running:
            for headers in WITH_KEY:
                assert (await rpc(running, era, method, params, headers=headers)).status == 200
                if era == "modern":
                    reply = await call(running, "list_parts", era=era, headers=headers)
                    assert reply.text_content == "here"
            for headers in WITHOUT:
                assert (await rpc(running, era, "tools/list", {}, headers=headers)).status == 401
    assert all(KEY not in request for request in parts.requests)


INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


async def test_a_stream_of_the_older_transport_is_behind_the_door() -> None:
    """Proxy, X4: on the GET that opens it, and on each POST; the key goes no further there."""
    async with api() as parts:
        options = mount_options(ServeOptions(mcp_api_key=KEY), [])
        forwards = Upstream(parts.url, forward_headers=("X-Api-Key", "Authorization"))
        app = proxy_app(PARTS, forwards, **options)
        with served(app) as url:
            async with httpx2.AsyncClient(base_url=url) as client:
                assert (await client.get("/sse")).status_code == 401
                assert (await client.post("/sse/messages/?session_id=1")).status_code == 401
            transport = SSETransport(f"{url}/sse", headers={"X-Api-Key": KEY})
            async with Client(transport, mode="legacy") as mcp:
                result = await mcp.call_tool("list_parts", {})
        assert [block.text for block in result.content] == ["here"]
    assert KEY not in parts.requests[0]
