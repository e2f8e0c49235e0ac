"""TLS with servers that choose what is slow, or begin again and again."""

import base64
import logging
import select
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mcp_mount.flags import read_tls
from mcp_mount.outgoing.tls import Network, usual_tls
from tests.api import before
from tests.starting import started
from tests.support import call
from tests.test_proxy_failures import certificate

BITS = 10_000
"""The longest that OpenSSL takes: 0.8 seconds for each handshake."""


def der(tag: int, content: bytes) -> bytes:
    """Write a value in DER."""
    size = len(content).to_bytes(2, "big")
    return bytes([tag, 0x82]) + size + content


def group(folder: Path) -> Path:
    """Return the file of a group for DHE; what is no prime is as slow."""
    odd = (1 << BITS) - 1
    numbers = (der(2, each.to_bytes(BITS // 8 + 1, "big")) for each in (odd, 2))
    text = base64.encodebytes(der(0x30, b"".join(numbers))).decode()
    file = folder / "group.pem"
    file.write_text(f"-----BEGIN DH PARAMETERS-----\n{text}-----END DH PARAMETERS-----\n")
    return file


class Part(BaseHTTPRequestHandler):
    """Answers, and closes the connection."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a part")

    def log_message(self, *_: object) -> None:
        """Write nothing."""


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n"


@contextmanager
def slow(folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve with a group that is slow; yield the URL and the certificate."""
    pem, key = certificate(folder, rsa.generate_private_key(65_537, 2_048))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("DHE+AES:ECDHE+AES")
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_dh_params(str(group(folder)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Part)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", pem
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_slow_handshake_holds_up_nobody(tmp_path: Path) -> None:
    """Security: it goes on in a thread, also with a context of the operator's own."""
    with slow(tmp_path) as (url, pem):
        app = before(
            url, tls=ssl.create_default_context(cafile=pem), connect_timeout=60, read_timeout=60
        )
        async with started(app) as running:
            begun = time.thread_time()
            with anyio.fail_after(60):
                reply = await call(running, "get_part", {"part": "a"})
            held = time.thread_time() - begun
    assert reply.text_content == "a part"
    assert held < 0.3


@pytest.mark.parametrize("is_named", [False, True])
def test_no_server_chooses_a_group_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_named: bool
) -> None:
    """Security: nor does it begin again in the midst of an answer, also with ``--ca-file``."""
    usual_tls.cache_clear()
    with slow(tmp_path) as (url, pem), monkeypatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(pem))
        try:
            context = read_tls(pem, None, None) if is_named else usual_tls()
        finally:
            usual_tls.cache_clear()
        assert context is not None
        with (
            httpx2.Client(verify=context, timeout=60) as client,
            client.stream("GET", url) as response,
        ):
            cipher = response.extensions["network_stream"].get_extra_info("ssl_object").cipher()
    assert ssl.OP_NO_RENEGOTIATION in context.options
    assert cipher[0].startswith("ECDHE-")


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """Serve at a port."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def answering(folder: Path, *records: bytes, end: bytes = b"") -> Iterator[tuple[str, Path]]:
    """Serve what answers each request with records that are sent at once, and what is none."""
    pem, key = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    # Without tickets, which come after the handshake.
    context.num_tickets = 0

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            """Answer as long as somebody asks."""
            received, written = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(received, written, server_side=True)
            step: Callable[[], object] = tls.do_handshake
            while True:
                try:
                    step()
                    if step != tls.do_handshake:
                        for record in records:
                            tls.write(record)
                        self.request.sendall(written.read() + end)
                    step = tls.read
                except ssl.SSLWantReadError:
                    self.request.sendall(written.read())
                    if not (data := self.request.recv(65_536)):
                        return
                    received.write(data)

    with serving(Answering) as port:
        yield f"https://127.0.0.1:{port}", pem


class Tunnel(socketserver.BaseRequestHandler):
    """Leads to what is asked for with CONNECT."""

    def handle(self) -> None:
        """Carry bytes, until one side goes."""
        said = b""
        while b"\r\n\r\n" not in said:
            said += self.request.recv(65_536)
        host, port = said.split()[1].decode().split(":")
        with socket.create_connection((host, int(port))) as other:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            ways = {other: self.request, self.request: other}
            while True:
                for each in select.select([*ways], [], [])[0]:
                    if not (data := each.recv(65_536)):
                        return
                    ways[each].sendall(data)


@pytest.mark.parametrize("is_proxied", [False, True])
async def test_the_second_answer_in_a_record_of_its_own_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_proxied: bool
) -> None:
    """Security: what has come and is not read stands between the socket and the HTTP library."""
    with (
        answering(tmp_path, HEAD + b"a part", HEAD + b"stolen") as (url, pem),
        serving(Tunnel) as port,
    ):
        if is_proxied:
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        app = before(url, tls=ssl.create_default_context(cafile=pem))
        async with started(app) as running:
            with anyio.fail_after(60):
                replies = [await call(running, "get_part", {"part": "a"}) for _ in range(3)]
    assert [each.text_content for each in replies] == ["a part"] * 3


@pytest.mark.parametrize(("count", "is_read"), [(30, True), (2_000, False)])
async def test_informational_responses_are_counted_behind_a_tunnel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, *, is_read: bool
) -> None:
    """S3: endless ones held the event loop for 1.6 seconds at a time."""
    early = b"HTTP/1.1 103 \r\n\r\n" * count
    with answering(tmp_path, early + HEAD + b"a part") as (url, pem), serving(Tunnel) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        app = before(url, tls=ssl.create_default_context(cafile=pem))
        async with started(app) as running:
            with anyio.fail_after(60):
                reply = await call(running, "get_part", {"part": "a"})
    assert (reply.text_content == "a part") == is_read


async def test_a_proxy_of_the_environment_that_refuses_is_told_apart_from_the_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Proxy: the API has answered nothing."""
    with serving(Part) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        async with started(before("https://127.0.0.1:9")) as running:
            reply = await call(running, "get_part", {"part": "a"})
    assert "through the proxy that the environment names" in reply.text_content
    assert "501" not in reply.text_content


async def test_what_is_no_tls_in_the_midst_of_an_answer_breaks_it_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Security: it is an error of the API's, and no traceback."""
    with answering(tmp_path, HEAD + b"a", end=b"\x17\x03\x03\x00\x05wrong") as (url, pem):
        app = before(url, tls=ssl.create_default_context(cafile=pem))
        async with started(app) as running:
            with anyio.fail_after(60):
                reply = await call(running, "get_part", {"part": "a"})
    assert "broke off" in reply.text_content
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_records_that_take_long_for_what_is_in_them_are_read_slowly(tmp_path: Path) -> None:
    """Security: keys and tickets, of which there can be as many, take up to ten times as long."""
    with answering(tmp_path, *[b"x"] * 20_000) as (url, pem):
        tcp = await Network().connect_tcp("127.0.0.1", httpx2.URL(url).port)
        context = ssl.create_default_context(cafile=pem)
        stream = await tcp.start_tls(context, "127.0.0.1", timeout=60)
        await stream.write(b"?", timeout=60)
        left = 20_000 - len(await stream.read(65_536, timeout=60))
        begun, used = time.monotonic(), time.thread_time()
        while left:
            left -= len(await stream.read(65_536, timeout=60))
        used, passed = time.thread_time() - used, time.monotonic() - begun
        await stream.aclose()
    assert passed > 2 * used
