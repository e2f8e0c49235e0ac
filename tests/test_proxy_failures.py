"""An API that is down, slow, cut off, elsewhere or no API at all: a clear tool error each."""

import ssl
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi import FastAPI

from mcp_mount import Limits, proxy_app
from tests.api import PARTS, api, before, ok, sent_to
from tests.others import free_port
from tests.support import ERAS, Era, Reply, call, served

pytestmark = pytest.mark.faults

eras = pytest.mark.parametrize("era", ERAS)


async def get_part(app: FastAPI, *, era: Era = "modern") -> Reply:
    with anyio.fail_after(30):
        return await call(app, "get_part", {"part": "a"}, era=era)


@eras
async def test_an_api_that_is_down_is_an_error_until_it_is_up(era: Era) -> None:
    """Proxy: the next call works as soon as the API does."""
    port = free_port()
    app = before(f"http://127.0.0.1:{port}", retries=0)
    down = await get_part(app, era=era)
    assert down.is_error
    assert down.text_content == "502 Bad Gateway\nThe API cannot be reached."
    parts = FastAPI()

    @parts.get("/parts/{part}")
    def get(part: str) -> str:
        return part

    with served(parts, at=port):
        assert (await get_part(app, era=era)).text_content == '"a"'


@eras
async def test_an_api_that_says_nothing_is_given_up(era: Era) -> None:
    """Proxy: after `read_timeout`, or the call's own limit, whichever comes first."""
    async with api(None) as parts:
        slow = await get_part(before(parts.url, read_timeout=0.2), era=era)
        assert slow.is_error
        said = "The API gave no answer within 0.2 seconds."
        assert slow.text_content == f"504 Gateway Timeout\n{said}"
        late = await get_part(before(parts.url, limits=Limits(timeout=0.2)), era=era)
        assert late.is_error
        assert "within 0.2 seconds" in late.text_content
    assert parts.lines == ["GET /parts/a"] * 2


@eras
async def test_what_changes_nothing_is_sent_again_when_nothing_came_back(era: Era) -> None:
    """Proxy: retries for methods that may be repeated (RFC 9110 §9.2.2) only."""
    async with api(b"", b"", ok()) as parts:
        assert (await get_part(before(parts.url), era=era)).text_content == "here"
        assert len(parts.requests) == 3
    async with api(b"") as parts:
        given_up = await get_part(before(parts.url, retries=1), era=era)
        said = "The API closed the connection without an answer."
        assert given_up.text_content == f"502 Bad Gateway\n{said}"
        assert len(parts.requests) == 2
    async with api(b"", ok()) as parts:
        added = await call(before(parts.url), "add_part", era=era)
        assert added.text_content == f"502 Bad Gateway\n{said}"
        assert parts.lines == ["POST /parts"]


@eras
@pytest.mark.parametrize(
    "begun",
    [
        b"content-length: 100\r\n\r\nhalf",
        b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"transfer-encoding: chunked\r\n\r\nnope\r\n",
    ],
)
async def test_a_response_that_is_cut_in_the_middle_is_an_error(begun: bytes, era: Era) -> None:
    """Proxy: and is not asked for again, for a byte has arrived."""
    async with api(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n" + begun) as parts:
        cut = await get_part(before(parts.url), era=era)
        assert cut.is_error
        assert "The response broke off here" in cut.text_content
        assert len(parts.requests) == 1


@eras
async def test_a_url_that_is_too_long_is_an_error_that_says_so(era: Era) -> None:
    """Proxy: in the path, in the query, and where a redirect leads."""
    document = deepcopy(PARTS)
    document["paths"]["/parts"]["get"]["parameters"] = [
        {"name": "q", "in": "query", "schema": {"type": "string"}}
    ]
    far = f"/parts/latest?{'x' * 66_000}"
    async with api(sent_to(far)) as parts:
        app = proxy_app(document, parts.url)
        for tool, name in (("get_part", "part"), ("list_parts", "q")):
            reply = await call(app, tool, {name: "ü" * 15_000}, era=era)
            assert reply.is_error
            assert "65,000 characters" in reply.text_content
        assert parts.requests == []
        reply = await call(app, "list_parts", era=era)
        assert reply.text_content.startswith("302 Found\nLocation: /parts/latest?xxx")


@eras
@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n\r\n",
        b"\x00\xff" * 100,
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_an_error(garbage: bytes, era: Era) -> None:
    """Proxy: answering garbage; and the proxy goes on."""
    async with api(garbage, garbage, garbage, ok()) as parts:
        app = before(parts.url, retries=0)
        for _ in range(3):
            reply = await get_part(app, era=era)
            assert reply.is_error
            assert reply.text_content == "502 Bad Gateway\nThe API answered with what is no HTTP."
        assert (await get_part(app, era=era)).text_content == "here"


@eras
async def test_a_redirect_to_elsewhere_is_reported_and_never_fetched(era: Era) -> None:
    """Proxy: it never follows to another host, port or scheme, however that is written."""
    async with api() as other:
        elsewhere = other.url.removeprefix("http:")
        for location in (
            f"{other.url}/parts/latest",
            f"{elsewhere}/parts/latest",
            f"/\\{elsewhere[2:]}/",
            f"https:{elsewhere}/",
            "http://[",
            "file:///etc/passwd",
        ):
            async with api(sent_to(location)) as parts:
                reply = await get_part(before(parts.url), era=era)
                assert "302" in reply.text_content
                assert location in reply.text_content
                assert len(parts.requests) == 1
    assert other.requests == []


@eras
async def test_a_redirect_on_the_same_host_is_followed_to_what_is_offered(era: Era) -> None:
    """Proxy, R3: to another tool's operation, or to the same path with a slash; nowhere else."""
    async with api(sent_to("/parts/a/", 307), sent_to("../latest"), ok()) as parts:
        assert (await get_part(before(parts.url), era=era)).text_content == "here"
        assert parts.lines == ["GET /parts/a", "GET /parts/a/", "GET /parts/latest"]
    async with api(sent_to("/parts/latest?x=1", 303), ok()) as parts:
        assert (await call(before(parts.url), "add_part", era=era)).text_content == "here"
        assert parts.lines == ["POST /parts", "GET /parts/latest?x=1"]
    for location in ("/parts/latest", "/admin", "/parts/b/c", "//parts/b"):
        async with api(sent_to(location), ok()) as parts:
            app = before(parts.url, exclude=["get_latest"])
            reply = await call(app, "get_part", {"part": "a"}, era=era)
            assert "302" in reply.text_content
            assert parts.lines == ["GET /parts/a"]


def certificate(folder: Path, key: rsa.RSAPrivateKey | None = None) -> tuple[Path, Path]:
    """Return the files of a certificate for 127.0.0.1 that nobody has vouched for, and its key."""
    used = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "parts")])
    now = datetime.now(UTC)
    host = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(used.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(used, hashes.SHA256())
    )
    pem = folder / "cert.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = folder / "key.pem"
    private.write_bytes(
        used.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, private


async def test_a_certificate_must_be_trusted(tmp_path: Path) -> None:
    """Proxy: TLS is checked, and an authority of one's own can be named."""
    parts = FastAPI()

    @parts.get("/parts/{part}")
    def get(part: str) -> str:
        return part

    pem, key = certificate(tmp_path)
    with served(parts, ssl_certfile=pem, ssl_keyfile=key) as url:
        secure = url.replace("http:", "https:")
        refused = await get_part(before(secure, retries=0))
        assert refused.text_content == (
            "502 Bad Gateway\n"
            "The API cannot be reached securely: its certificate, or its TLS, is not accepted."
        )
        trusting = before(secure, tls=ssl.create_default_context(cafile=pem))
        assert (await get_part(trusting)).text_content == '"a"'
