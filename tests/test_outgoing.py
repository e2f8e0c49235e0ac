"""What issuers, places with documents, and other servers answer in heads, and in small parts."""

import json
import re
import socketserver
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

import httpx2
import pytest

from mcp_mount import ClientCredentials, MountError
from mcp_mount.access.issuer import IssuerTokens
from mcp_mount.answers import EndpointClient, replacing
from mcp_mount.commands.asking import http_client
from mcp_mount.openapi.document import load_document
from mcp_mount.outgoing.tls import usual_tls
from tests.api import before
from tests.mock_api.issuer import AUDIENCE, ISSUER
from tests.starting import started, turns_taken
from tests.support import call
from tests.test_door_tokens import key_for, sign
from tests.test_tls import serving

KEY = key_for("ES256")
DOCUMENT = {"openapi": "3.1.0", "info": {"title": "a", "version": "1"}, "paths": {}}
ANSWERS = {
    "/keys": {"keys": [KEY.as_dict(private=False)]},
    "/token": {"access_token": "a", "token_type": "Bearer"},
    "/openapi.json": DOCUMENT,
}


async def keys(url: str) -> bool:
    verifier = IssuerTokens(issuer=ISSUER, audience=AUDIENCE, jwks_uri=f"{url}/keys")
    return await verifier.verify_token(sign(KEY, "ES256")) is not None


async def token(url: str) -> bool:
    auth = ClientCredentials(f"{url}/token", client_id="a", client_secret="b")
    flow = auth.async_auth_flow(httpx2.Request("GET", "http://api.example"))
    try:
        request = await anext(flow)
    except httpx2.RequestError:
        return False
    await flow.aclose()
    return request.headers["authorization"] == "Bearer a"


async def document(url: str) -> bool:
    try:
        return bool(load_document(f"{url}/openapi.json"))
    except MountError:
        return False


@pytest.mark.parametrize(("count", "is_read"), [(30, True), (2_000, False)])
@pytest.mark.parametrize("is_proxied", [False, True])
@pytest.mark.parametrize("ask", [keys, token, document])
async def test_more_informational_responses_than_an_answer_can_need_are_none(
    ask: Callable[[str], Awaitable[bool]],
    count: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_read: bool,
    is_proxied: bool,
) -> None:
    """S3: any number of them would be parsed, in one step, also of an issuer."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            path = urlsplit(self.request.recv(65_536).split()[1].decode()).path
            body = json.dumps(ANSWERS[path]).encode()
            head = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
            early = b"HTTP/1.1 100 \r\n\r\n" * count
            self.request.sendall(early + b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)

    with serving(Answering) as port:
        if is_proxied:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        assert await ask(f"http://127.0.0.1:{port}") == is_read


def answering(head: bytes = b"", chunks: int = 0) -> type[socketserver.BaseRequestHandler]:
    """Return what answers with more in its head, and its body in so many chunks of one byte."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            path = self.request.recv(65_536).split()[1].decode()
            body = json.dumps(ANSWERS.get(urlsplit(path).path, {})).encode()
            length = b"content-length: %d\r\n\r\n" % len(body)
            if chunks:
                length = b"transfer-encoding: chunked\r\n\r\n"
                spaced = body.ljust(chunks)
                body = b"".join(b"1\r\n%c\r\n" % each for each in spaced) + b"0\r\n\r\n"
            usual = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n"
            # Whoever has read enough is gone.
            with suppress(ConnectionError):
                self.request.sendall(usual + head + length + body)

    return Answering


async def api(url: str) -> bool:
    async with started(before(url)) as app:
        return not (await call(app, "get_part", {"part": "a"})).is_error


async def command(url: str) -> bool:
    async with http_client() as client:
        try:
            return bool((await client.get(f"{url}/token")).json() == ANSWERS["/token"])
        except httpx2.RequestError:
            return False


def endpoint_client() -> httpx2.AsyncClient:
    return EndpointClient(verify=usual_tls(), event_hooks={"response": [replacing(100_000)]})


async def bridge(url: str) -> bool:
    async with endpoint_client() as client:
        return bool((await client.get(f"{url}/token")).json() == ANSWERS["/token"])


@pytest.mark.parametrize("is_proxied", [False, True])
@pytest.mark.parametrize("ask", [keys, token, document, api, command, bridge])
async def test_old_cookies_hold_up_nobody(
    ask: Callable[[str], Awaitable[bool]], monkeypatch: pytest.MonkeyPatch, *, is_proxied: bool
) -> None:
    """S3: Python parses `Set-Cookie2` in a time that grows with its square, whatever is kept."""
    old = b"set-cookie: a=b\r\nset-cookie2: " + b"a," * 48_000 + b"\r\n"
    with serving(answering()) as usual, serving(answering(old)) as port:
        # What is imported at first is not measured.
        assert await ask(f"http://127.0.0.1:{usual}")
        if is_proxied:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        # A document is read in a thread.
        begun = time.process_time()
        assert await ask(f"http://127.0.0.1:{port}")
        assert time.process_time() - begun < 0.3


async def test_a_command_keeps_few_cookies_and_short_ones() -> None:
    """S3: a load balancer finds a session by one; each is compared with each request."""
    sent: list[list[str]] = []
    more = [f"a{count}=b" for count in range(30)]
    answers = [["long=" + "a" * 5_000, "lb=1"], ["lb=2", *more[:8]], more]

    class Setting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            cookies = re.findall(r"(?<=[:;] )\w+=\w+", self.request.recv(65_536).decode())
            setting = "".join(f"set-cookie: {each}\r\n" for each in answers[len(sent) % 3])
            sent.append(cookies)
            head = f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n{setting}\r\n"
            self.request.sendall(head.encode())

    with serving(Setting) as port:
        async with http_client() as client:
            for _ in range(4):
                await client.get(f"http://127.0.0.1:{port}")
    assert sent == [[], ["lb=1"], ["lb=2", *more[:8]], ["lb=2", *more[:9]]]


@pytest.mark.parametrize("is_proxied", [False, True])
@pytest.mark.parametrize(("chunks", "is_read"), [(8_000, True), (60_000, False)])
@pytest.mark.parametrize("ask", [keys, token])
async def test_an_answer_in_chunks_of_one_byte_holds_up_nobody(
    ask: Callable[[str], Awaitable[bool]],
    chunks: int,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_read: bool,
    is_proxied: bool,
) -> None:
    """S3: what has come is read in turns, and of more chunks than an answer can need nothing."""
    with serving(answering()) as usual, serving(answering(chunks=chunks)) as port:
        assert await ask(f"http://127.0.0.1:{usual}")
        if is_proxied:
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        async with turns_taken() as turns:
            assert await ask(f"http://127.0.0.1:{port}") == is_read
    assert max(turns) < 0.05


@pytest.mark.parametrize("ask", [command, bridge])
async def test_a_command_reads_chunks_of_one_byte_in_turns(
    ask: Callable[[str], Awaitable[bool]],
) -> None:
    """S3: its loop tells of progress meanwhile, and ends when it is told to."""
    with serving(answering(chunks=60_000)) as port:
        async with turns_taken() as turns:
            assert await ask(f"http://127.0.0.1:{port}")
    assert max(turns) < 0.05


@pytest.mark.parametrize("connect", [http_client, endpoint_client])
async def test_no_endpoint_says_how_a_stream_is_decoded(
    connect: Callable[[], httpx2.AsyncClient],
) -> None:
    """S3: its parameters are read in a time that grows with their square; events are UTF-8."""
    kind = b"text/event-stream; charset=latin-1; " + b"a;" * 48_000
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: %s\r\n\r\n" % kind
    answer = head + b"data: \xc3\xa4\n\n"

    class Streaming(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(answer)

    with serving(Streaming) as port:
        async with connect() as client, client.stream("GET", f"http://127.0.0.1:{port}") as got:
            begun = time.thread_time()
            assert [each async for each in got.aiter_lines()] == ["data: ä", ""]
            assert time.thread_time() - begun < 0.1
