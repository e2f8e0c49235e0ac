"""Redirects inside the app are followed; others are reported, and never fetched."""

import gc
import json
import socket
import tracemalloc
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from mcp_mount import mount_mcp
from tests.support import ERAS, Era, call


class Item(BaseModel):
    name: str


def build_app() -> tuple[FastAPI, list[str]]:
    """Return an app that redirects to wherever it is told, and the requests that came to it."""
    app = FastAPI()
    requests: list[str] = []

    @app.middleware("http")
    async def keep(request: Request, call_next: Any) -> Any:
        if "mcp_mount.tool" in request.scope:
            requests.append(f"{request.method} {request.url.path}?{request.url.query}")
        return await call_next(request)

    @app.post("/redirect")
    async def redirect(item: Item, location: str, status: int = 307) -> Response:
        return Response(status_code=status, headers={"location": location})

    @app.get("/target/{name}", operation_id="get_target")
    @app.post("/target/{name}", operation_id="post_target")
    async def target(request: Request, name: str) -> dict[str, Any]:
        return {
            "method": request.method,
            "name": name,
            "query": request.url.query,
            "body": (await request.body()).decode(),
            "type": request.headers.get("content-type"),
            "caller": request.headers.get("x-caller"),
        }

    @app.get("/secret")
    @app.get("/hidden", include_in_schema=False)
    async def secret() -> str:
        return "secret"

    mount_mcp(app, exclude=["/secret"])
    return app, requests


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        (301, "GET", ""),
        (302, "GET", ""),
        (303, "GET", ""),
        (307, "POST", '{"name":"n"}'),
        (308, "POST", '{"name":"n"}'),
    ],
)
@pytest.mark.parametrize(
    "location", ["/target/a?q=1", "target/a?q=1", "http://localhost:8000/target/a?q=1#x"]
)
async def test_a_redirect_inside_the_app_is_followed_as_the_caller(
    location: str, status: int, method: str, body: str, era: Era
) -> None:
    """R3: 307 and 308 keep method and body (RFC 9110 §15.4); the others become GET without one."""
    app, requests = build_app()
    arguments = {"location": location, "status": status, "name": "n"}
    reply = await call(app, "redirect", arguments, era=era, headers={"x-caller": "alice"})
    assert not reply.is_error
    assert reply.result["structuredContent"] == {
        "method": method,
        "name": "a",
        "query": "q=1",
        "body": body,
        "type": "application/json" if body else None,
        "caller": "alice",
    }
    assert len(requests) == 2


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("root_path", ["", "/api"])
async def test_the_apps_own_slash_redirect_is_followed(root_path: str, era: Era) -> None:
    """R3: what `redirect_slashes` answers, which names the host and the root path."""
    app = FastAPI()

    @app.get("/list/")
    async def list_items(request: Request) -> str:
        return request.url.path

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": root_path}, receive, send)

    @app.get("/short")
    async def short(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url.replace(path=f"{root_path}/list"))

    mount_mcp(app)
    reply = await call(server, "short", era=era, path=f"{root_path}/mcp")
    assert reply.result["structuredContent"] == {"result": f"{root_path}/list/"}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **_: object) -> None:
        pytest.fail(f"connected to {args}")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "location",
    [
        *("http://evil.com/target/a", "//evil.com/target/a", "https://evil.com", "HTTP://EVIL.COM"),
        *("http://localhost:8000@evil.com/target/a", "http://evil.com\\@localhost:8000/target/a"),
        *("http://localhost:8001/target/a", "http://user@localhost:8000/target/a", "//", "http://"),
        *("/\\evil.com/target/a", "\\\\evil.com\\target", "http:\\\\evil.com", "/target/a\\b"),
        *("///evil.com/target/a", "http:///target/a", "http:/target/a", "http:target", "gopher:"),
        *("ftp://localhost:8000/target/a", "file:///etc/passwd", "javascript:alert(1)", "data:,x"),
        *("http://[", "http://[::1", "/target/\u00fc", " //evil.com", "////evil.com"),
    ],
)
async def test_a_redirect_elsewhere_is_reported_and_never_fetched(location: str, era: Era) -> None:
    """R3: other hosts and schemes, and what some reader takes for one, are for the caller."""
    app, requests = build_app()
    reply = await call(app, "redirect", {"location": location, "name": "n"}, era=era)
    assert reply.text_content.startswith("307 Temporary Redirect\nLocation:")
    assert len(requests) == 1


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("location", "second"),
    [
        ("/target/%ff", "POST /target/\ufffd?"),
        ("?location=/target/b", "POST /redirect?location=/target/b"),
        ("", "POST /redirect?"),
    ],
)
async def test_odd_places_of_the_app_are_the_apps_own_matter(
    location: str, second: str, era: Era
) -> None:
    """R3: what stays on the host is asked of the app, which knows what it has there."""
    app, requests = build_app()
    reply = await call(app, "redirect", {"location": location, "name": "n"}, era=era)
    assert "result" in reply.answer
    assert requests[1] == second


@pytest.mark.parametrize("era", ERAS)
async def test_a_loop_of_redirects_is_left_after_the_fifth(era: Era) -> None:
    """R3: the last answer is the result, with its `Location`."""
    app = FastAPI()
    asked: list[int] = []

    @app.get("/loop")
    async def loop() -> RedirectResponse:
        asked.append(1)
        return RedirectResponse("/loop")

    mount_mcp(app)
    reply = await call(app, "loop", era=era)
    assert len(asked) == 6
    assert reply.text_content == "307 Temporary Redirect\nLocation: /loop"


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "location",
    [
        *("/secret", "/hidden", "/target/../secret", "/nowhere", "/mcp", "/secret/"),
        *("/%2e%2e//evil.com", "http://localhost:8000"),
    ],
)
async def test_a_redirect_is_no_way_to_what_is_left_out(location: str, era: Era) -> None:
    """R3, C5: it is followed to operations that are tools, and otherwise reported."""
    app, requests = build_app()
    arguments = {"location": location, "status": 303, "name": "n"}
    reply = await call(app, "redirect", arguments, era=era)
    assert f"Location: {location}" in reply.text_content
    assert "secret" not in reply.text_content.replace(location, "")
    assert len(requests) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_a_redirect_is_no_way_around_the_slots_of_a_tool(era: Era) -> None:
    """C6: what has slots of its own is called by its own name; the model is told where it is."""
    app = FastAPI()

    @app.get("/way")
    async def way() -> Response:
        return RedirectResponse("/narrow")

    @app.get("/narrow", openapi_extra={"x-mcp": {"limits": {"max_concurrency": 1}}})
    async def narrow() -> str:
        return "narrow"

    @app.get("/turn/{name}", openapi_extra={"x-mcp": {"limits": {"max_concurrency": 1}}})
    async def turn(name: str) -> Response:
        return RedirectResponse("/turn/new") if name == "old" else Response(name)

    mount_mcp(app)
    reply = await call(app, "way", era=era)
    assert reply.text_content.endswith("Location: /narrow")
    assert (await call(app, "narrow", era=era)).text_content == '"narrow"'
    # The slot that the call has is the one that it needs.
    assert "new" in json.dumps((await call(app, "turn", {"name": "old"}, era=era)).result)


async def test_a_long_redirect_is_not_followed_and_nothing_of_it_is_kept() -> None:
    """C6: `urllib` keeps the addresses that it has read, 128 of them, whatever their length."""
    app = FastAPI()

    @app.post("/search")
    async def search(words: Annotated[str, Body(embed=True)]) -> Response:
        return RedirectResponse(f"/found?words={words}", 303)

    @app.get("/found")
    async def found(words: str) -> int:
        return len(words)

    mount_mcp(app)
    assert (await call(app, "search", {"words": "a" * 60_000})).text_content == "60000"
    tracemalloc.start()
    for number in range(4):
        reply = await call(app, "search", {"words": f"{number}{'a' * 1_000_000}"})
        assert "Location: /found?words=" in reply.text_content
    del reply
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 4_000_000
