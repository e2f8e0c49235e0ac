"""Scopes: what each caller is shown, and what is said when it asks for more."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import pytest
from fastapi import FastAPI, HTTPException, Request, Security
from fastapi.security import HTTPBearer
from fastmcp import Client
from fastmcp.server.auth import RemoteAuthProvider, require_scopes
from fastmcp.server.context import Context
from pydantic import AnyHttpUrl

from mcp_mount import Mounted, mount_mcp, proxy_app
from mcp_mount.access.auth import ScopesOf
from tests.access import BASE, METADATA, bearer, static
from tests.mock_api.issuer import ISSUER
from tests.starting import started
from tests.support import ERAS, LEGACY, Era, call, rpc, tools

Form = Literal["started", "unstarted", "sessions"]

CALLERS = {
    "nobody": [],
    "reader": ["kb:read"],
    "writer": ["kb:read", "kb:write"],
    "lone_writer": ["kb:write"],
}
SHOWN = {
    "nobody": {"open"},
    "reader": {"open", "read"},
    "writer": {"open", "read", "write"},
    "lone_writer": {"open"},
}
ASKED = {"read": "kb:read", "write": "kb:read kb:write"}

eras = pytest.mark.parametrize("era", ERAS)
forms = pytest.mark.parametrize("form", ["started", "unstarted", "sessions"])
ways = pytest.mark.parametrize("way", ["provider", "sync", "async"])


def provider() -> RemoteAuthProvider:
    return RemoteAuthProvider(static(**CALLERS), [AnyHttpUrl(ISSUER)], BASE)


def scopes_of(request: Request) -> Iterable[str] | None:
    name = request.headers.get("authorization", "Bearer nobody").removeprefix("Bearer ")
    return CALLERS[name]


async def scopes_of_later(request: Request) -> Iterable[str] | None:
    return scopes_of(request)


OPTIONS: dict[str, dict[str, Any]] = {
    "provider": {"auth": provider()},
    "sync": {"scopes_of": scopes_of},
    "async": {"scopes_of": scopes_of_later},
}


def kb_app(**options: Any) -> tuple[FastAPI, Mounted, list[str]]:
    """Return an app with an open tool and two that need scopes, and a list of who was called."""
    app, called = FastAPI(), list[str]()
    scheme = HTTPBearer(auto_error=False)

    @app.get("/open")
    async def open() -> str:  # noqa: A001
        called.append("open")
        return "open"

    @app.get("/read", dependencies=[Security(scheme, scopes=["kb:read"])])
    async def read() -> str:
        called.append("read")
        return "read"

    @app.put("/write", dependencies=[Security(scheme, scopes=["kb:read", "kb:write"])])
    async def write() -> str:
        called.append("write")
        return "written"

    return app, mount_mcp(app, **options), called


@asynccontextmanager
async def running(app: FastAPI, form: Form, era: Era, name: str) -> AsyncIterator[dict[str, str]]:
    """Yield the headers of a caller of an app that runs in one of its forms."""
    headers = bearer(name)
    if form == "unstarted":
        yield headers
        return
    async with started(app):
        if form == "sessions" and era == "legacy":
            client = {"name": "client", "version": "1"}
            params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client}
            opened = await rpc(app, era, "initialize", params, headers=headers)
            headers = {**headers, "mcp-session-id": opened.headers["mcp-session-id"]}
        yield headers


@eras
@forms
@ways
@pytest.mark.parametrize("name", CALLERS)
async def test_a_caller_is_shown_what_it_may_do_and_gets_nothing_else(
    era: Era, form: Form, way: str, name: str
) -> None:
    """C4: hidden in the list; refused with 403, before the route or anything of it runs."""
    app, _, called = kb_app(sessions=form == "sessions", **OPTIONS[way])
    where = f', resource_metadata="{METADATA}"' if way == "provider" else ""
    async with running(app, form, era, name) as headers:
        listed = await rpc(app, era, "tools/list", headers=headers)
        assert {tool["name"] for tool in listed.result["tools"]} == SHOWN[name]
        for tool in ("open", "read", "write"):
            reply = await call(app, tool, era=era, headers=headers)
            if tool in SHOWN[name]:
                assert not reply.is_error
                continue
            assert reply.status == 403
            challenge = f'Bearer error="insufficient_scope", scope="{ASKED[tool]}"{where}'
            assert reply.headers["www-authenticate"] == challenge
            assert reply.text == (
                '{"error":"insufficient_scope","error_description":'
                f'"This call needs the scope {ASKED[tool]}."}}'
            )
    assert set(called) == SHOWN[name]


@ways
async def test_no_list_is_kept_for_another_caller(way: str) -> None:
    """X4: `cacheScope` says so to whatever stands between."""
    app, _, _ = kb_app(**OPTIONS[way])
    for name in CALLERS:
        reply = await rpc(app, "modern", "tools/list", headers=bearer(name))
        assert reply.result["cacheScope"] == "private"


@eras
async def test_callers_whose_scopes_are_not_known_are_shown_everything(era: Era) -> None:
    """C4: the routes decide."""
    for option in (lambda _: None, None):
        app, _, called = kb_app(scopes_of=option)
        assert (await tools(app, era=era)).keys() == SHOWN["writer"]
        assert not (await call(app, "write", era=era)).is_error
        assert called == ["write"]


@eras
async def test_scopes_may_come_in_one_string_as_a_token_has_them(era: Era) -> None:
    """C4."""
    app, _, _ = kb_app(scopes_of=lambda _: "kb:read kb:write")
    assert (await tools(app, era=era)).keys() == SHOWN["writer"]


@eras
async def test_scopes_of_goes_before_the_scopes_of_the_token(era: Era) -> None:
    """C4: for providers whose tokens have roles instead."""

    async def none(request: Request) -> list[str]:
        assert request.user.scopes == CALLERS["writer"]
        return []

    app, _, called = kb_app(auth=provider(), scopes_of=none)
    assert (await tools(app, era=era, headers=bearer("writer"))).keys() == SHOWN["nobody"]
    assert (await call(app, "read", era=era, headers=bearer("writer"))).status == 403
    assert called == []


@eras
@pytest.mark.parametrize("tool", ["read", "nothing"])
async def test_a_stranger_learns_nothing_of_scopes(era: Era, tool: str) -> None:
    """C4, R3: 401 for what is there and for what is not, whatever `scopes_of` would say."""
    asked: list[Request] = []

    def nobody(request: Request) -> list[str]:
        asked.append(request)
        return []

    app, _, _ = kb_app(auth=provider(), scopes_of=nobody)
    for headers in ({}, bearer("mallory")):
        reply = await call(app, tool, era=era, headers=headers)
        assert reply.status == 401
        assert "kb:" not in reply.text + reply.headers["www-authenticate"]
    assert asked == []


async def fails(request: Request) -> list[str]:
    raise LookupError("postgres://u:p@db/prod")


def fails_at_once(request: Request) -> list[str]:
    raise LookupError("postgres://u:p@db/prod")


@eras
@pytest.mark.parametrize("method", ["tools/list", "tools/call"])
@pytest.mark.parametrize("failing", [fails, fails_at_once, lambda _: 3, lambda _: [["kb:read"]]])
async def test_where_the_scopes_cannot_be_told_nothing_is_done(
    era: Era, method: str, failing: ScopesOf
) -> None:
    """R3, C4: closed, and without the text of the exception."""
    app, _, called = kb_app(scopes_of=failing)
    params = {"name": "read", "arguments": {}} if method == "tools/call" else {}
    reply = await rpc(quiet(app), era, method, params)
    assert (reply.status, reply.text, called) == (500, "Internal Server Error", [])


def quiet(app: FastAPI) -> Any:
    """Swallow what an app raises, as a server does that writes it to its log."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        with suppress(LookupError, TypeError):
            await app(scope, receive, send)

    return served


@eras
async def test_scopes_of_may_refuse_in_its_own_words(era: Era) -> None:
    """R3: as a dependency would."""

    def refuse(request: Request) -> list[str]:
        raise HTTPException(401, "Who?", {"WWW-Authenticate": "Key"})

    app, _, called = kb_app(scopes_of=refuse)
    reply = await call(app, "open", era=era)
    assert (reply.status, reply.text, called) == (401, '{"detail":"Who?"}', [])
    assert reply.headers["www-authenticate"] == "Key"


class Translating(RemoteAuthProvider):
    """Asks for scopes as Entra ID does, in another form than tokens have them."""

    def get_challenge_scopes(self, required_scopes: list[str] | None = None) -> list[str]:
        return [f"api://kb/{scope}" for scope in required_scopes or []]


@eras
async def test_scopes_are_asked_for_in_the_form_of_the_issuer(era: Era) -> None:
    """C4: Entra ID wants the API before each scope."""
    app, _, _ = kb_app(auth=Translating(static(**CALLERS), [AnyHttpUrl(ISSUER)], BASE))
    reply = await call(app, "write", era=era, headers=bearer("reader"))
    assert 'scope="api://kb/kb:read api://kb/kb:write"' in reply.headers["www-authenticate"]


@eras
@ways
async def test_own_tools_are_their_authors_business(era: Era, way: str) -> None:
    """C4: they are shown to every caller that is let in, or as their own check says."""
    app, mounted, _ = kb_app(**OPTIONS[way])

    @mounted.server.tool
    def own() -> str:
        return "own"

    @mounted.server.tool(auth=require_scopes("kb:write"))
    def secret() -> str:
        return "secret"

    for name, scopes in CALLERS.items():
        listed = await tools(app, era=era, headers=bearer(name))
        may = way == "provider" and "kb:write" in scopes
        assert listed.keys() == SHOWN[name] | {"own"} | ({"secret"} if may else set())
        assert (await call(app, "own", era=era, headers=bearer(name))).text_content == "own"


@eras
@forms
@ways
async def test_a_tool_that_calls_tools_is_no_way_around(era: Era, form: Form, way: str) -> None:
    """C4: the tool's own check refuses what the gate did not see, as if it were not there."""
    app, mounted, called = kb_app(sessions=form == "sessions", **OPTIONS[way])

    @mounted.server.tool
    async def run(name: str, context: Context) -> str:
        try:
            result = await context.fastmcp.call_tool(name, {})
        except Exception as error:  # noqa: BLE001 - told
            return str(error).replace(name, "it")
        return str(result.structured_content)

    async def told(caller: str, name: str) -> str:
        async with running(app, form, era, caller) as headers:
            reply = await call(app, "run", {"name": name}, era=era, headers=headers)
        return reply.text_content

    assert await told("writer", "write") == "{'result': 'written'}"
    assert await told("reader", "write") == await told("reader", "nothing")
    assert called == ["write"]


async def test_an_in_memory_client_is_shown_everything() -> None:
    """C4: it comes over no transport, and so from nobody but the app itself."""
    for options in OPTIONS.values():
        _, mounted, called = kb_app(**options)
        async with Client(mounted.server) as client:
            assert {tool.name for tool in await client.list_tools()} == SHOWN["writer"]
            result = await client.call_tool("write")
        assert result.structured_content == {"result": "written"}
        assert called == ["write"]


@eras
async def test_what_a_foreign_document_calls_a_scope_is_no_other_header(era: Era) -> None:
    """F1: a scope that is none (RFC 6749 §3.3) is named in the body alone, and still asked for."""
    scopes = ["kb:read", "x\r\nSet-Cookie: a=b", 'x", realm="y', "x\u20ac", "x" * 201]
    document = {
        "openapi": "3.1.0",
        "info": {"title": "KB", "version": "1"},
        "paths": {"/it": {"get": {"operationId": "it", "security": [{"key": scopes}]}}},
    }
    upstream = "http://api.example"
    app = proxy_app(document, upstream, scopes_of=lambda _: ["kb:read"])
    reply = await call(app, "it", era=era)
    assert reply.status == 403
    challenge = 'Bearer error="insufficient_scope", scope="kb:read"'
    assert reply.headers["www-authenticate"] == challenge
