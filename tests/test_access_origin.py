"""Which web pages may call the endpoint, as the endpoint answers them."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from mcp_mount import MountError, mount_mcp
from tests.access import bearer, static
from tests.raw import send_raw
from tests.starting import started
from tests.support import ERAS, Era, Reply, call, envelope, http, rpc

PUBLIC = "https://kb.example/mcp"
METHODS = ["tools/call", "tools/list", "initialize", "server/discover"]

eras = pytest.mark.parametrize("era", ERAS)


def origins_app(called: list[str] | None = None, **options: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/number")
    async def number() -> int:
        if called is not None:
            called.append("number")
        return 7

    mount_mcp(app, **options)
    return app


async def ask(app: FastAPI, era: Era, host: str, origin: str | None, **more: Any) -> Reply:
    headers = {"host": host, **({"origin": origin} if origin is not None else {})}
    return await call(app, "number", era=era, headers=headers, **more)


@eras
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://evil.example"),
        ("127.0.0.1:8000", "http://evil.example:8000"),
        ("evil.example:8000", "http://evil.example:8000"),
        ("evil.example", "https://evil.example"),
        ("127.0.0.1.evil.example", "http://127.0.0.1.evil.example"),
        ("kb.example", "http://localhost:3000"),
        ("kb.example", "http://kb.example"),
        ("kb.example", "https://kb.example.evil.example"),
        ("kb.example", "https://evil.example#https://kb.example"),
        ("kb.example", "https://kb.example@evil.example"),
        ("kb.example", "https://kb.example:8443"),
        ("localhost:8000", "null"),
        ("localhost:8000", ""),
        ("localhost:8000", "chrome-extension://abcdef"),
        ("localhost:8000", "chrome-extension://localhost"),
        ("127.0.0.1:8000", "x://127.0.0.1"),
    ],
)
async def test_a_page_that_is_not_allowed_gets_403_and_nothing_runs(
    era: Era, host: str, origin: str
) -> None:
    """X4: also one that has rebound its own name to this server, and sends it as both."""
    called: list[str] = []
    app = origins_app(called, public_url=PUBLIC, allowed_origins=["https://app.example"])
    reply = await ask(app, era, host, origin)
    assert reply.status == 403
    assert reply.answer["id"] is None
    assert f"The origin {origin!r} is not allowed." in reply.answer["error"]["message"]
    assert called == []


@eras
@pytest.mark.parametrize("method", METHODS)
async def test_every_method_is_checked_before_who_calls(era: Era, method: str) -> None:
    """X4."""
    app = origins_app(auth=static(alice=[]))
    for headers in ({}, bearer("alice")):
        page = {**headers, "origin": "https://evil.example"}
        assert (await rpc(app, era, method, headers=page)).status == 403


async def test_streams_and_the_ends_of_sessions_are_checked() -> None:
    """X4."""
    app = origins_app(sessions=True)
    async with started(app), http(app) as client:
        for method in ("GET", "DELETE", "POST"):
            answer = await client.request(
                method, "/mcp", headers={"origin": "https://evil.example"}
            )
            assert answer.status_code == 403


@eras
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("anything.example", None),
        ("localhost:8000", "http://localhost:6274"),
        ("127.0.0.1:8000", "http://localhost"),
        ("[::1]:8000", "http://127.0.0.1:9000"),
        ("localhost:8000", "https://kb.example"),
        ("internal:8000", "https://kb.example"),
        ("kb.example", "https://KB.example:443"),
        ("kb.example", "https://app.example"),
    ],
)
async def test_pages_that_are_allowed_are_served(era: Era, host: str, origin: str | None) -> None:
    """X4: no page at all; loopback with loopback; the public URL's; those of the list."""
    app = origins_app(public_url=PUBLIC, allowed_origins=["https://app.example"])
    assert not (await ask(app, era, host, origin)).is_error


@eras
@pytest.mark.parametrize(
    ("host", "origin", "is_allowed"),
    [
        ("192.168.1.5:443", "https://192.168.1.5", True),
        ("kb.example", "https://kb.example", False),
        ("kb.example:8443", "https://kb.example:8443", False),
        ("192.168.1.5:8000", "http://192.168.1.5:8000", True),
        ("[fd00::5]:8000", "http://[fd00::5]:8000", True),
        ("kb.example", "http://kb.example", False),
        ("kb.example:8443", "https://kb.example", False),
        ("kb.example", "https://evil.example", False),
        ("192.168.1.5:8000", "http://192.168.1.5:9000", False),
        ("192.168.1.5:8000", "http://192.168.1.6:8000", False),
        ("192.168.1.5.evil.example", "http://192.168.1.5.evil.example", False),
        ("app:8000", "app://app:8000", False),
    ],
)
async def test_without_a_public_url_the_endpoint_s_own_page_is_served_where_no_name_is_rebound(
    era: Era, host: str, origin: str, *, is_allowed: bool
) -> None:
    """X4: an address is no name."""
    reply = await ask(origins_app(), era, host, origin)
    assert reply.status == (200 if is_allowed else 403)


@eras
async def test_a_star_allows_every_page(era: Era) -> None:
    """X4."""
    app = origins_app(allowed_origins=["*"])
    for origin in ("https://evil.example", "null"):
        assert not (await ask(app, era, "kb.example", origin)).is_error


async def test_the_apps_other_routes_are_not_checked() -> None:
    """X4, M1."""
    app = origins_app(public_url=PUBLIC)
    async with http(app) as client:
        for path in ("/number", "/openapi.json", "/docs"):
            answer = await client.get(path, headers={"origin": "https://evil.example"})
            assert answer.status_code == 200


@eras
@pytest.mark.parametrize("root_path", ["", "/api"])
async def test_an_app_behind_a_proxy_is_called_from_its_public_pages(
    era: Era, root_path: str
) -> None:
    """X4, M5: the proxy strips a prefix and calls under an internal name."""
    app = origins_app(public_url="https://kb.example/api/mcp")
    own, body = envelope(era, "tools/call", {"name": "number", "arguments": {}})
    for origin, status in (("https://kb.example", 200), ("https://10.0.0.5:8000", 403)):
        headers = {**own, "host": "10.0.0.5:8000", "origin": origin}
        reply = await send_raw(app, [json.dumps(body).encode()], headers, root_path=root_path)
        assert reply.status == status


@eras
async def test_the_origin_is_nothing_that_the_route_gets(era: Era) -> None:
    """C3: the call is the endpoint's, not the page's."""
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["http://localhost:6274"])

    @app.get("/number")
    async def number() -> int:
        return 7

    mount_mcp(app)
    reply = await ask(app, era, "localhost:8000", "http://localhost:6274")
    assert reply.headers["access-control-allow-origin"] == "http://localhost:6274"
    assert not reply.is_error


async def test_a_second_origin_header_is_no_way_around() -> None:
    """X4: browsers send one."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    headers = {"content-type": "application/json", "origin": "http://localhost"}
    app = origins_app()

    async def doubled(scope: Any, receive: Any, send: Any) -> None:
        more = [(b"origin", b"https://evil.example")]
        await app({**scope, "headers": [*scope["headers"], *more]}, receive, send)

    headers |= {"host": "localhost", "accept": "application/json, text/event-stream"}
    assert (await send_raw(doubled, [body], headers)).status == 403
    assert (await send_raw(app, [body], headers)).status == 200


def test_a_public_url_without_a_host_stops_the_start_up() -> None:
    """X4: it would never match."""
    with pytest.raises(MountError, match="/mcp"):
        origins_app(public_url="/mcp")


@pytest.mark.parametrize("name", ["origin", "content-type"])
async def test_a_long_field_is_not_said_again(name: str) -> None:
    """Nor is it remembered, as Python does with what is taken for a URL."""
    app = FastAPI()
    mount_mcp(app)
    headers, body = envelope("modern", "tools/list")
    headers |= {name: "https://" + "a" * 50_000}
    reply = await send_raw(app, [json.dumps(body).encode()], headers)
    assert reply.status == (403 if name == "origin" else 400)
    assert len(json.dumps(reply.answer)) < 1_000
