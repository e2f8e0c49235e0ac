"""What issuers, and places with documents, answer in their heads."""

import json
import socketserver
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from mcp_mount import ClientCredentials, MountError
from mcp_mount.access.issuer import IssuerTokens
from mcp_mount.openapi.document import load_document
from tests.mock_api.issuer import AUDIENCE, ISSUER
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


@pytest.mark.parametrize(("count", "is_read"), [(300, True), (2_000, False)])
@pytest.mark.parametrize("ask", [keys, token, document])
async def test_more_informational_responses_than_an_answer_can_need_are_none(
    ask: Callable[[str], Awaitable[bool]], count: int, *, is_read: bool
) -> None:
    """S3: any number of them would be parsed, in one step, also of an issuer."""

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            path = self.request.recv(65_536).split()[1].decode()
            body = json.dumps(ANSWERS[path]).encode()
            head = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
            early = b"HTTP/1.1 100 \r\n\r\n" * count
            self.request.sendall(early + b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)

    with serving(Answering) as port:
        assert await ask(f"http://127.0.0.1:{port}") == is_read
