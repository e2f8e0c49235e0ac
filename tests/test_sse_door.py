"""The older HTTP+SSE transport stands behind the same door as Streamable HTTP."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader, APIKeyQuery, HTTPBearer
from fastapi.testclient import TestClient
from fastmcp.server.auth.providers.in_memory import InMemoryOAuthProvider
from starlette.types import ASGIApp

from mcp_mount import Limits, RateLimit, mount_mcp
from tests.access import BASE, PROVIDERS, bearer, static
from tests.mock_api.issuer import ISSUER, NOBODY, Issuer
from tests.mock_api.streaming import streamed
from tests.sse import client_at, initialized, opened, telling_app
from tests.starting import started
from tests.support import MODERN, http, rpc, served

NOWHERE = Issuer([], jwks_url=NOBODY)
METADATA = "/.well-known/oauth-protected-resource"
NOBODYS = "/sse/messages/?session_id=" + "1" * 32
ALICE, BOB = bearer("alice"), bearer("bob")
LISTING = {"jsonrpc": "2.0", "id": 99, "method": "tools/list", "params": {}}
named_app = partial(telling_app, "authorization")


async def refusals(app: ASGIApp, headers: Mapping[str, str]) -> list[Any]:
    """Return what both requests of the transport are refused with."""
    async with http(app) as client:
        return [
            await client.get("/sse", headers=headers),
            await client.post(NOBODYS, json=LISTING, headers=headers),
        ]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_pages_of_other_origins_are_refused(origin: str) -> None:
    """X4: before a stream is opened, and before a message is looked at."""
    async with started(named_app()) as running:
        for refused in await refusals(running, {"origin": origin}):
            assert refused.status_code == 403
            assert repr(origin) in refused.json()["error"]["message"]


async def test_pages_of_allowed_origins_are_served() -> None:
    """X4: those of `allowed_origins=`, and of `public_url=`."""
    app = named_app(public_url="https://kb.example/mcp", allowed_origins=["https://app.example"])
    async with started(app) as running:
        for origin in ("https://app.example", "https://kb.example"):
            async with initialized(running, {"origin": origin}) as stream:
                assert await stream.called("name") == '"nobody"'


async def who(request: Request) -> None:
    if request.headers.get("authorization") not in {"Bearer alice", "Bearer bob"}:
        raise HTTPException(401, "Who are you?", {"www-authenticate": "Bearer"})


async def test_the_apps_dependencies_guard_both_paths() -> None:
    """C8: with the overrides of the app."""
    app = named_app(dependencies=[Depends(who)])
    async with started(app) as running:
        for refused in await refusals(running, {}):
            assert (refused.status_code, refused.json()) == (401, {"detail": "Who are you?"})
        async with initialized(running, ALICE) as stream:
            assert await stream.called("name") == '"Bearer alice"'
            assert (await stream.post(LISTING, {})).status_code == 401
            app.dependency_overrides[who] = lambda: None
            assert (await stream.post(LISTING, {})).status_code == 404


async def test_a_message_has_a_limit() -> None:
    """C6: one of the limit is served, and a byte more is not."""
    limit = 1_000
    app = named_app(limits=Limits(max_request_bytes=limit))
    async with started(app) as running, initialized(running) as stream:
        body = b'{"jsonrpc": "2.0", "id": 5, "method": "ping"}'
        assert (await stream.post(body + b" " * (limit - len(body)))).status_code == 202
        assert (await stream.message())["id"] == 5
        refused = await stream.post(body + b" " * (limit + 1 - len(body)))
        assert refused.status_code == 413
        assert refused.json()["error"]["message"] == "The request is larger than 1000 bytes."


@pytest.mark.parametrize("name", ["remote", "azure", "several"])
async def test_a_stranger_is_told_where_the_tokens_come_from(name: str) -> None:
    """M5: RFC 9728 §5.1, for the resource that the client connected to."""
    async with started(named_app(auth=PROVIDERS[name](NOWHERE))) as running:
        url = f"{BASE}{METADATA}/sse"
        for headers in ({}, bearer("made-up")):
            for refused in await refusals(running, headers):
                assert refused.status_code == 401
                assert f'resource_metadata="{url}"' in refused.headers["www-authenticate"]
        async with http(running) as client:
            for path in ("/mcp", "/sse"):
                metadata = (await client.get(f"{METADATA}{path}")).json()
                assert metadata["resource"] == f"{BASE}{path}"
                assert metadata["authorization_servers"] == [ISSUER]
        # Streamable HTTP still names its own.
        reply = await rpc(running, "modern", "tools/list")
        assert f'{METADATA}/mcp"' in reply.headers["www-authenticate"]


def test_no_route_of_the_provider_is_there_twice() -> None:
    """M1: its routes for clients that sign in are the same for both paths."""
    app = FastAPI()
    mount_mcp(app, sse_path="/sse", auth=InMemoryOAuthProvider(base_url=BASE))
    paths = [route.path for route in app.routes if hasattr(route, "path")]
    assert {f"{METADATA}/mcp", f"{METADATA}/sse", "/token", "/authorize"} <= {*paths}
    assert len(paths) == len({*paths})


@pytest.mark.parametrize("is_started", [True, False])
def test_the_provider_issues_tokens_for_streamable_http(*, is_started: bool) -> None:
    """M5: whichever transport was started last."""
    named: list[str | None] = []

    class Provider(InMemoryOAuthProvider):
        def set_mcp_path(self, mcp_path: str | None) -> None:
            super().set_mcp_path(mcp_path)
            named.append(mcp_path)

    app = FastAPI()
    mount_mcp(app, sse_path="/sse", auth=Provider(base_url=BASE))
    if is_started:
        with TestClient(app):
            pass
    assert "/sse" in named
    assert named[-1] == "/mcp"


def scoped_app(**options: Any) -> FastAPI:
    """Return an app with a tool for everyone, and one for writers."""
    app = FastAPI()
    scheme = HTTPBearer(auto_error=False)

    @app.get("/read")
    async def read(request: Request) -> str:
        return request.headers.get("authorization", "nobody")

    @app.get("/write", dependencies=[Security(scheme, scopes=["write"])])
    async def write(request: Request) -> str:
        return request.headers.get("authorization", "nobody")

    mount_mcp(app, sse_path="/sse", **options)
    return app


def scopes_of(request: Request) -> list[str]:
    if request.headers.get("x-broken"):
        raise HTTPException(418, "Not today.")
    return request.headers.get("x-scopes", "").split()


async def test_scopes_are_those_of_the_message() -> None:
    """C1: what its caller may not use is hidden and refused; the GET had other ones."""
    async with (
        started(scoped_app(scopes_of=scopes_of)) as running,
        initialized(running, {"x-scopes": "write"}) as stream,
    ):
        for scopes, names in (("write", {"read", "write"}), ("", {"read"})):
            await stream.ask("tools/list", {}, {"x-scopes": scopes})
            listed = (await stream.message())["result"]["tools"]
            assert {tool["name"] for tool in listed} == names
        assert await stream.called("write", {"x-scopes": "write"}) == '"nobody"'
        body = {**LISTING, "method": "tools/call", "params": {"name": "write", "arguments": {}}}
        refused = await stream.post(body, {"x-scopes": "other"})
        assert refused.status_code == 403
        assert 'scope="write"' in refused.headers["www-authenticate"]
        assert await stream.called("read") == '"nobody"'
        broken = await stream.post(LISTING, {"x-broken": "1"})
        assert (broken.status_code, broken.json()) == (418, {"detail": "Not today."})


async def test_the_scopes_of_a_token_count() -> None:
    """C1: with a provider."""
    async with started(scoped_app(auth=static(reader=[], writer=["write"]))) as running:
        async with initialized(running, bearer("reader")) as stream:
            await stream.ask("tools/list", {})
            (tool,) = (await stream.message())["result"]["tools"]
            assert tool["name"] == "read"
            body = {**LISTING, "method": "tools/call", "params": {"name": "write"}}
            assert (await stream.post(body)).status_code == 403
        async with initialized(running, bearer("writer")) as stream:
            assert await stream.called("write") == '"Bearer writer"'


def test_a_token_of_the_provider_opens_the_door() -> None:
    """C1: for FastMCP's own client, over a socket."""
    app = named_app(auth=static(alice=[]))

    async def main(url: str) -> None:
        async with client_at(url, **ALICE) as client:
            result = await client.call_tool("name")
            assert result.structured_content == {"result": "Bearer alice"}

    with served(app) as url:
        anyio.run(main, url)


async def test_a_rate_limit_counts_the_caller_of_each_message() -> None:
    """C6: over both transports together."""
    app = named_app(
        rate_limit=RateLimit("2/hour", caller_of=lambda request: request.headers["x-name"])
    )
    async with started(app) as running, initialized(running, {"x-name": "opener"}) as stream:
        for _ in range(2):
            assert await stream.called("name", {"x-name": "first"}) == '"nobody"'
        assert "Too many calls" in await stream.called("name", {"x-name": "first"})
        assert await stream.called("name", {"x-name": "second"}) == '"nobody"'
        params = {"name": "name", "arguments": {}}
        over = await rpc(running, "modern", "tools/call", params, headers={"x-name": "first"})
        assert "Too many calls" in over.text_content


async def test_clients_that_cannot_ask_their_user_are_not_asked() -> None:
    """C6: as over Streamable HTTP; the tool's hint says that it destroys."""
    app = FastAPI()

    @app.delete("/all")
    async def delete_all() -> str:
        return "deleted"

    mount_mcp(app, sse_path="/sse", confirm="destructive")
    async with started(app) as running, initialized(running) as stream:
        await stream.ask("tools/list", {})
        (tool,) = (await stream.message())["result"]["tools"]
        assert tool["annotations"]["destructiveHint"] is True
        assert await stream.called("delete_all") == '"deleted"'


async def test_clients_of_the_modern_era_are_asked_over_it_too() -> None:
    """C6, X1: the first message decides which era a stream speaks."""
    app = FastAPI()

    @app.delete("/all")
    async def delete_all() -> str:
        raise AssertionError

    mount_mcp(app, sse_path="/sse", confirm="destructive")
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
    }
    async with started(app) as running, opened(running) as stream:
        await stream.call("delete_all", _meta=meta)
        asked = (await stream.message())["result"]["inputRequests"]["confirm"]["params"]
        assert asked["message"] == "Run DELETE /all with no arguments?"


async def test_cookies_are_forwarded_only_if_that_is_asked_for() -> None:
    """C3."""
    for forwards, told in ((False, '"none"'), (True, '"a=1"')):
        app = FastAPI()

        @app.get("/cookie")
        async def cookie(request: Request) -> str:
            return request.headers.get("cookie", "none")

        mount_mcp(app, sse_path="/sse", forward_cookies=forwards)
        headers = {"cookie": "a=1"}
        async with started(app) as running, initialized(running, headers) as stream:
            assert await stream.called("cookie") == told


@pytest.mark.parametrize("way", ["provider", "guard", "route"])
async def test_a_stream_is_not_there_for_anyone_but_its_caller(way: str) -> None:
    """C1, X1: with the very answer that a made-up id gets; and it goes on for its caller."""
    options: dict[str, dict[str, Any]] = {
        "provider": {"auth": static(alice=[], bob=[])},
        "guard": {"dependencies": [Depends(who)]},
        "route": {},
    }
    async with started(named_app(**options[way])) as running:
        async with initialized(running, ALICE) as stream:
            others = await stream.post(LISTING, BOB)
            unknown = await stream.post(LISTING, BOB, endpoint=NOBODYS)
            assert others.status_code == 404
            assert (unknown.status_code, unknown.text) == (404, others.text)
            assert (await stream.post(LISTING, {})).status_code == (404 if way == "route" else 401)
            # The answer to none of these has reached the stream.
            assert await stream.called("name") == '"Bearer alice"'
        assert (await stream.post(LISTING)).status_code == 404


async def test_a_stream_without_a_caller_is_not_there_for_one_who_is_known() -> None:
    """X1."""
    async with started(named_app()) as running, initialized(running) as stream:
        assert (await stream.post(LISTING, ALICE)).status_code == 404
        assert await stream.called("name") == '"nobody"'


async def test_a_call_cannot_be_cancelled_by_another_caller() -> None:
    """C7, X1: request ids are easily guessed."""
    async with started(named_app()) as running, initialized(running, ALICE) as stream:
        body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}
        assert (await stream.post(body, BOB)).status_code == 404
        assert await stream.called("name") == '"Bearer alice"'


async def test_an_id_has_one_form() -> None:
    """X1: others, which name the same UUID, name no stream."""
    async with started(named_app()) as running, initialized(running) as stream:
        path, _, id_ = stream.endpoint.partition("=")
        for other in (id_.upper(), f"{{{id_}}}", f"{id_[:8]}-{id_[8:]}", f"{id_}&session_id=x", ""):
            reply = await stream.post(LISTING, endpoint=f"{path}={other}")
            assert reply.status_code == (202 if other == id_ else 404), other
        assert (await stream.post(LISTING, endpoint="/sse/messages/")).status_code == 400
        assert await stream.called("name") == '"nobody"'


@pytest.mark.parametrize(
    ("scheme", "alice", "bob"),
    [
        (APIKeyHeader(name="X-Team"), {"x-team": "alice"}, {"x-team": "bob"}),
        (APIKeyCookie(name="team"), {"cookie": "a=1; team=alice"}, {"cookie": "a=1; team=bob"}),
    ],
    ids=["header", "cookie"],
)
async def test_keys_of_the_apps_own_schemes_tell_callers_apart(
    scheme: Any, alice: dict[str, str], bob: dict[str, str]
) -> None:
    """X1: wherever the OpenAPI document says that they are."""
    app = keyed_app(scheme)
    async with started(app) as running, initialized(running, alice) as stream:
        assert (await stream.post(LISTING, bob)).status_code == 404
        assert await stream.called("name") == '"alice"'


def keyed_app(scheme: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/name")
    async def name(key: Annotated[str, Security(scheme)]) -> str:
        return key

    mount_mcp(app, sse_path="/sse", forward_cookies=True)
    return app


async def test_a_key_in_the_query_comes_along_with_each_message() -> None:
    """C4, X1: clients POST to where the stream says, and add nothing to it."""
    app = keyed_app(APIKeyQuery(name="team"))
    path = "/sse?other=1&team=al%26ice%0D%0A"
    async with started(app) as running, initialized(running, path=path) as stream:
        assert stream.endpoint.endswith("&team=al%26ice%0D%0A")
        assert await stream.called("name") == '"al&ice\\r\\n"'
        others = stream.endpoint.replace("team=al", "team=bob")
        assert (await stream.post(LISTING, endpoint=others)).status_code == 404


async def test_a_refused_stream_is_no_stream() -> None:
    """M1: what stands before the transport answers a GET in its own words."""
    async with (
        started(scoped_app(scopes_of=scopes_of)) as running,
        streamed(running, "GET", "/sse", headers={"x-broken": "1"}) as response,
    ):
        assert response.status == 418
        assert await response.chunk() == b'{"detail":"Not today."}'
        assert await response.chunk() is None


async def test_other_cookies_may_change_within_a_stream() -> None:
    """X1: servers renew them with every answer."""
    async with (
        started(named_app()) as running,
        initialized(running, {"cookie": "seen=1"}) as stream,
    ):
        assert await stream.called("name", {"cookie": "seen=2"}) == '"nobody"'
