"""What the HTTP library writes of our requests, whatever the application's logging."""

import logging
import socket
import threading
from typing import Any

import httpx2
import pytest
from anyio import to_thread
from fastapi import FastAPI

from mcp_mount import ClientCredentials, MountError, Remote, Upstream, proxy_app
from tests.api import api, before
from tests.others import gateway, raw, text, tool
from tests.support import call, served

PLANTED = "PLANTED-"


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def parts_api() -> FastAPI:
    app = FastAPI()

    @app.get("/parts/{part}")
    async def get_part(part: str, q: str = "") -> str:
        return f"{part}: {q}"

    @app.post("/token")
    async def token() -> dict[str, Any]:
        return {"access_token": "given", "token_type": "Bearer", "expires_in": 60}

    return app


async def test_a_proxys_calls_are_logged_without_key_and_arguments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Proxy: the key of the API in its URL, and what stands in path and query, stay unwritten."""
    with served(parts_api()) as url:
        auth = ClientCredentials(
            f"{url}/token?of={PLANTED}client", client_id="id", client_secret=f"{PLANTED}secret"
        )
        upstream = Upstream(f"{url}?key={PLANTED}key", auth=auth)
        app = proxy_app(f"{url}/openapi.json?token={PLANTED}document", upstream)
        arguments = {"part": f"{PLANTED}path", "q": f"{PLANTED}query"}
        reply = await call(app, "get_part", arguments)
        assert reply.text_content == f'"{PLANTED}path: {PLANTED}query"'
        assert f'HTTP Request: GET {url} "HTTP/1.1 200 OK"' in caplog.messages
        assert f'HTTP Request: POST {url} "HTTP/1.1 200 OK"' in caplog.messages
    assert PLANTED not in caplog.text


async def test_a_document_that_is_not_there_is_logged_without_its_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Proxy: an error of the start does not tell either."""
    with served(parts_api()) as url, pytest.raises(MountError):
        proxy_app(f"{url}/nowhere?token={PLANTED}document", Upstream(url))
    assert PLANTED not in caplog.text


@pytest.mark.parametrize("modern", [True, False], ids=["modern", "legacy"])
async def test_a_gateways_requests_are_logged_without_the_token_of_a_server(
    caplog: pytest.LogCaptureFixture,
    modern: bool,  # noqa: FBT001
) -> None:
    """Gateway: a token in the URL of a `Remote` stays unwritten."""
    with raw([tool()], modern=modern, call=text("done")) as (_, url):
        async with gateway(Remote("raw", url=f"{url}?token={PLANTED}remote")) as app:
            assert (await call(app, "raw_tool")).text_content == "done"
    assert any(line.startswith("HTTP Request: POST http://") for line in caplog.messages)
    assert PLANTED not in caplog.text


async def test_what_the_application_asks_for_itself_is_logged_as_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing of the application's own logging changes."""
    with served(parts_api()) as url:
        await call(proxy_app(f"{url}/openapi.json", Upstream(url)), "get_part", {"part": "a"})
        async with httpx2.AsyncClient() as client:
            await client.get(f"{url}/parts/own?q=mine")
        assert f'HTTP Request: GET {url}/parts/own?q=mine "HTTP/1.1 200 OK"' in caplog.messages


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"\x01" * 90_000 + b"\r\n\r\n",
        b"SSH-2.0-" + b"\xff" * 90_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"Z" * 60_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: " + b"Z" * 90_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 90_000 + b"\r\n\r\n",
    ],
    ids=["field", "status line", "chunk", "encoding", "length"],
)
async def test_what_an_error_quotes_of_an_answer_is_cut(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxy: what is no HTTP costs no more than a line; where it is a document, too."""
    async with api(answer, answer) as parts:
        assert (await call(before(parts.url), "list_parts")).is_error
        with pytest.raises(MountError) as refused:
            await to_thread.run_sync(proxy_app, f"{parts.url}/openapi.json", parts.url)
    assert len(str(refused.value)) < 1_000
    assert any("RemoteProtocolError(" in each for each in caplog.messages)
    assert max(map(len, caplog.messages)) < 2_000


async def test_a_reason_phrase_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """Proxy: what an API says in its status line costs no more than a line."""

    class Talking:
        def __init__(self) -> None:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

        def answer(self) -> None:
            connection, _ = self.listener.accept()
            with connection:
                connection.recv(65_536)
                head = b"HTTP/1.1 200 " + b"x" * 50_000
                connection.sendall(head + b"\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")

    api = Talking()
    document = {
        "openapi": "3.1.0",
        "info": {"title": "x", "version": "1"},
        "paths": {"/a": {"get": {"operationId": "a", "responses": {}}}},
    }
    with api.listener:
        answering = threading.Thread(target=api.answer)
        answering.start()
        await call(proxy_app(document, Upstream(api.url)), "a")
        answering.join(5)
    (line,) = [each for each in caplog.messages if each.startswith("HTTP Request: GET")]
    assert len(line) < 300
