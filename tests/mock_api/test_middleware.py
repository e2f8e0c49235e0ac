"""What every request passes: request id, access log, API key, and the handler of failures."""

import logging
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from mock_api.app import create_app
from mock_api.middleware import request_id
from mock_api.settings import Settings
from tests.mock_api.conftest import http_client
from tests.mock_api.streaming import streamed

KEY = "s3cret-ключ"


@pytest.fixture
def locked(settings: Settings) -> FastAPI:
    return create_app(Settings(**{**settings.model_dump(), "mcp_api_key": f" {KEY} "}))


def access_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "mock_api.access"]


async def test_a_request_has_an_id_of_its_own(client: httpx.AsyncClient) -> None:
    ids = [(await client.get("/health")).headers["x-request-id"] for _ in range(2)]
    assert len(set(ids)) == 2
    assert all(len(one) == 32 for one in ids)


async def test_a_sane_id_of_the_caller_is_kept_and_others_are_not(
    client: httpx.AsyncClient,
) -> None:
    async def answered(sent: str) -> str:
        return (await client.get("/health", headers={"X-Request-ID": sent})).headers["x-request-id"]

    assert await answered("trace-7/a.b:c") == "trace-7/a.b:c"
    for sent in ("", "a b", "x" * 129, "a\tb", "<script>"):
        assert await answered(sent) != sent


async def test_routes_see_the_id_and_it_ends_with_the_request(app: FastAPI) -> None:
    @app.get("/seen")
    async def seen() -> str:
        return request_id.get()

    async with http_client(app) as client:
        response = await client.get("/seen", headers={"X-Request-ID": "abc"})
    assert response.json() == "abc"
    assert request_id.get() == "-"


async def test_a_tool_call_has_the_id_of_the_request_that_brought_it(app: FastAPI) -> None:
    answered: list[str] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered.append(dict(message["headers"])[b"x-request-id"].decode())

    token = request_id.set("outer")
    await app({**http_scope("/health"), "mcp_mount.tool": "health"}, no_body, send)
    await app(http_scope("/health"), no_body, send)
    request_id.reset(token)
    assert answered[0] == "outer"
    assert answered[1] != "outer"


async def test_a_long_path_is_cut_in_the_access_log(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mock_api.access")
    await client.get(f"/{'%FF' * 20_000}")
    (line,) = access_lines(caplog)
    assert " 404 " in line
    assert len(line) < 10_000


async def test_each_request_is_one_line_in_the_access_log(
    app: FastAPI, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mock_api.access")
    await client.get("/articles/nowhere?secret=1", headers={"X-Request-ID": "abc"})
    await client.get("/a%0d%0aGET%20/forged")
    await app({**http_scope("/health"), "mcp_mount.tool": "probe"}, no_body, ignore)
    first, second, third = access_lines(caplog)
    assert first.startswith("GET /articles/nowhere 404 ")
    assert first.endswith("ms id=abc")
    assert second.startswith("GET /a%0D%0AGET%20/forged 404 ")
    assert third.endswith(" tool=probe")


async def test_a_stream_is_logged_when_its_client_leaves(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mock_api.access")
    async with streamed(app, "GET", "/changes"):
        assert access_lines(caplog) == []
    (line,) = access_lines(caplog)
    assert line.startswith("GET /changes 200 ")


async def test_a_request_cancelled_before_its_answer_is_logged_as_left(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mock_api.access")
    entered = anyio.Event()

    @app.get("/slow")
    async def slow() -> None:
        entered.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app, http_scope("/slow"), no_body, ignore)
        await entered.wait()
        tasks.cancel_scope.cancel()
    (line,) = access_lines(caplog)
    assert line.startswith("GET /slow 499 ")


async def test_no_exception_text_reaches_a_client(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mock_api.access")

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("postgres://user:password@db/prod")

    async with http_client(app) as client:
        response = await client.get("/broken", headers={"X-Request-ID": "abc"})
    assert (response.status_code, response.json()) == (500, {"detail": "Internal Server Error"})
    assert response.headers["x-request-id"] == "abc"
    (line,) = access_lines(caplog)
    assert line.startswith("GET /broken 500 ")


async def test_without_a_key_in_the_settings_the_service_is_open(settings: Settings) -> None:
    for key in (None, "", "  "):
        app = create_app(Settings(**{**settings.model_dump(), "mcp_api_key": key}))
        async with http_client(app) as client:
            assert (await client.get("/articles")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY}"},
        {"X-Api-Key": KEY},
        {"Authorization": "Basic eA==", "X-Api-Key": KEY},
    ],
)
async def test_either_header_carries_the_key(locked: FastAPI, headers: dict[str, str]) -> None:
    raw = {name.encode(): value.encode() for name, value in headers.items()}
    async with http_client(locked) as client:
        assert (await client.get("/articles", headers=raw)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"X-Api-Key": ""},
        {"X-Api-Key": f"Bearer {KEY}"},
        {"X-Api-Key": "\xff\xfe"},
    ],
)
async def test_without_the_key_everything_but_health_is_401(
    locked: FastAPI, headers: dict[str, str]
) -> None:
    raw = {name.encode(): value.encode() for name, value in headers.items()}
    async with http_client(locked) as client:
        for path in (
            "/articles",
            "/chat",
            "/docs",
            "/openapi.json",
            "/mcp",
            "/nowhere",
            "/health/",
        ):
            response = await client.get(path, headers=raw)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.headers["x-request-id"]
            assert "API key" in response.json()["detail"]
        assert (await client.get("/health", headers=raw)).status_code == 200


async def test_without_the_key_a_browser_gets_the_page_that_asks_for_it(locked: FastAPI) -> None:
    async with http_client(locked) as client:
        page = await client.get("/mcp", headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert "Key or token" in page.text
        assert "search_articles" not in page.text
        for path in ("/", "/mcpx", "/docs"):
            answer = await client.get(path, headers={"Accept": "text/html"})
            assert answer.status_code == 401
        assert (await client.post("/mcp", headers={"Accept": "text/html"})).status_code == 401


async def test_health_is_open_under_a_root_path_too(locked: FastAPI) -> None:
    transport = httpx.ASGITransport(locked, root_path="/kb")
    async with httpx.AsyncClient(transport=transport, base_url="http://kb") as client:
        assert (await client.get("/kb/health")).status_code == 200
        assert (await client.get("/kb/articles")).status_code == 401


async def test_a_websocket_without_the_key_is_closed(locked: FastAPI) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    await locked({**http_scope("/socket"), "type": "websocket"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(("key", "said"), [(KEY, "an API key is set"), (None, "no API key is set")])
async def test_the_log_at_start_tells_whether_a_key_is_set_and_never_the_key(
    settings: Settings, caplog: pytest.LogCaptureFixture, key: str | None, said: str
) -> None:
    caplog.set_level(logging.DEBUG)
    app = create_app(Settings(**{**settings.model_dump(), "mcp_api_key": key}))
    async with app.router.lifespan_context(app):
        pass
    assert said in caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr(app.state.settings)


def http_scope(path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }


async def no_body() -> Message:
    return {"type": "http.request", "body": b""}


async def ignore(message: Message) -> None:
    pass
