"""Access tokens of the proxy's own, for an API that asks for them."""

import gzip
import subprocess
import sys
import time
from base64 import b64decode
from contextlib import suppress
from types import SimpleNamespace
from typing import Annotated, Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from fastapi import FastAPI, Form, Header, HTTPException, Response
from fastapi.responses import JSONResponse

from mcp_mount import ClientCredentials, MountError, Upstream, proxy_app
from mcp_mount.backends import token
from tests.api import PARTS, api, ok
from tests.others import free_port
from tests.support import call, served


class Issuer:
    """Gives tokens with numbers, and an API that takes the last of them."""

    def __init__(self, **more: Any) -> None:
        self.more = more
        self.asked: list[tuple[str, str | None]] = []
        self.callers: list[str] = []
        self.refused: set[str] = set()
        self.app = FastAPI()
        self.app.post("/token", include_in_schema=False)(self.give)
        self.app.get("/parts", operation_id="list_parts")(self.parts)
        self.app.post("/parts", operation_id="add_part")(self.parts)

    async def give(
        self,
        grant_type: Annotated[str, Form()],
        authorization: Annotated[str, Header()],
        scope: Annotated[str | None, Form()] = None,
    ) -> JSONResponse:
        assert grant_type == "client_credentials"
        self.asked.append((b64decode(authorization.removeprefix("Basic ")).decode(), scope))
        token = {"access_token": f"t{len(self.asked)}", "token_type": "Bearer"}
        return JSONResponse({**token, **self.more})

    async def parts(self, authorization: Annotated[str, Header()] = "") -> str:
        self.callers.append(authorization)
        if authorization in self.refused or not authorization.startswith("Bearer t"):
            raise HTTPException(401)
        return "here"


def before(issuer: Issuer, url: str, token_url: str = "", **more: Any) -> FastAPI:
    auth = ClientCredentials(
        token_url or f"{url}/token", client_id="proxy", client_secret="hunter2", scope="read"
    )
    return proxy_app(issuer.app.openapi(), Upstream(url, auth=auth, **more))


async def test_one_token_serves_all_callers_until_it_is_refused() -> None:
    """Proxy, RFC 6749 §4.4: asked for once, with HTTP Basic, however many calls there are."""
    issuer = Issuer(expires_in=3600)
    with served(issuer.app) as url:
        app = before(issuer, url)
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(call, app, "list_parts")
        assert issuer.asked == [("proxy:hunter2", "read")]
        assert {*issuer.callers} == {"Bearer t1"}
        issuer.refused.add("Bearer t1")
        issuer.callers.clear()
        assert (await call(app, "add_part")).text_content == '"here"'
        # RFC 6750 §3.1: a refused request has done nothing, whatever its method.
        assert issuer.callers == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(("life", "later"), [(3600, 3571), ("20", 11), (1, 4), (-9, 4)])
async def test_a_token_that_ends_is_renewed_before_it_is_refused(
    life: int | str, later: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxy: half a minute before its end, so that it does not end on the way; not for each call.

    Calls wait for the issuer one after the other.
    """
    issuer = Issuer(expires_in=life)
    with served(issuer.app) as url:
        app = before(issuer, url)
        for _ in range(2):
            await call(app, "list_parts")
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + later)
        monkeypatch.setattr(token, "time", clock)
        await call(app, "list_parts")
    assert issuer.callers == ["Bearer t1", "Bearer t1", "Bearer t2"]


async def test_who_is_trusted_is_not_read_anew_for_each_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Security: that held the event loop for 20 ms, and with proxies in the environment for 60."""
    issuer = Issuer()
    with served(issuer.app) as url:
        app = before(issuer, url)
        assert (await call(app, "list_parts")).text_content == '"here"'
        issuer.refused.add("Bearer t1")
        monkeypatch.setenv("SSL_CERT_FILE", "/no/such.pem")
        assert (await call(app, "list_parts")).text_content == '"here"'


async def test_a_token_without_an_end_is_kept() -> None:
    issuer = Issuer()
    with served(issuer.app) as url:
        app = before(issuer, url)
        for _ in range(3):
            await call(app, "list_parts")
    assert len(issuer.asked) == 1


async def test_an_api_that_refuses_every_token_is_asked_twice_at_the_most() -> None:
    issuer = Issuer()
    with served(issuer.app) as url:
        app = before(issuer, url)
        issuer.refused.update({"Bearer t1", "Bearer t2", "Bearer t3"})
        reply = await call(app, "list_parts")
    assert reply.text_content.startswith("401 Unauthorized")
    assert issuer.callers == ["Bearer t1", "Bearer t2"]


async def test_an_api_that_refuses_every_token_does_not_burden_the_issuer() -> None:
    """Proxy: each of its refusals cost a token, for which all others waited."""
    issuer = Issuer()
    issuer.refused.update(f"Bearer t{number}" for number in range(1, 30))
    with served(issuer.app) as url:
        app = before(issuer, url)
        for _ in range(5):
            reply = await call(app, "list_parts")
            assert reply.text_content.startswith("401 Unauthorized")
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"error": "invalid_client", "error_description": "hunter2"}, 401),
        JSONResponse({"access_token": None}),
        JSONResponse({"access_token": "a\r\nb"}),
        JSONResponse({"token_type": "Bearer"}),
        JSONResponse([1]),
        JSONResponse({"access_token": "t1", "expires_in": "soon"}),
        JSONResponse({"access_token": "t1", "expires_in": 10**400}),
        Response('{"access_token": "t1", "expires_in": 1e999}', media_type="application/json"),
        Response("[" * 100_000, media_type="application/json"),
        JSONResponse({}, 500),
        JSONResponse({"access_token": "t1", "more": "x" * 65_536}),
        Response(
            gzip.compress(b'{"access_token": "t1"}'),
            media_type="application/json",
            headers={"content-encoding": "gzip"},
        ),
    ],
)
async def test_without_a_token_the_call_is_an_error_that_says_so(
    answer: Response, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxy, X7: whatever the issuer says; its words and the secret stay out of it."""
    issuer = Issuer()
    odd = FastAPI()

    @odd.post("/token")
    async def give() -> Response:
        return answer

    with served(issuer.app) as url, served(odd) as elsewhere:
        app = before(issuer, url, f"{elsewhere}/token")
        reply = await call(app, "list_parts")
        said = "The API cannot be called: the proxy was given no access token for it."
        assert reply.text_content == f"502 Bad Gateway\n{said}"
    assert issuer.callers == []
    assert "hunter2" not in caplog.text


async def test_an_issuer_that_is_down_is_told_as_well() -> None:
    issuer = Issuer()
    with served(issuer.app) as url:
        app = before(issuer, url, f"http://127.0.0.1:{free_port()}/token", retries=0)
        reply = await call(app, "list_parts")
    assert "the proxy was given no access token" in reply.text_content


@pytest.mark.faults
async def test_an_issuer_that_is_slow_keeps_nobody_waiting_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Proxy: those who wait for the same token share what comes of it."""
    issuer = Issuer()
    with served(issuer.app) as url:
        async with api(None) as slow:
            auth = ClientCredentials(slow.url, client_id="proxy", client_secret="s", timeout=1.0)
            app = proxy_app(issuer.app.openapi(), Upstream(url, auth=auth))
            with anyio.fail_after(30):
                async with anyio.create_task_group() as tasks:
                    for _ in range(20):
                        tasks.start_soon(call, app, "list_parts")
            assert len(slow.requests) == 1
            # Nor is it asked by whoever comes soon; later it is.
            await call(app, "list_parts")
            assert len(slow.requests) == 1
            monkeypatch.setattr(token, "_PAUSE", 0.0)
            await call(app, "list_parts")
            assert len(slow.requests) == 2
    assert issuer.callers == []


async def test_an_issuer_that_never_comes_to_an_end_is_given_up() -> None:
    """Proxy: `timeout` is for the whole answer, however many bytes come meanwhile."""
    begun = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"

    async def drip(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(begun)
            with suppress(anyio.BrokenResourceError):
                while True:
                    await stream.send(b" ")
                    await anyio.sleep(0.05)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - not Django's
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, drip)
        source = f"http://127.0.0.1:{port}"
        auth = ClientCredentials(source, client_id="proxy", client_secret="s", timeout=0.3)
        app = proxy_app(PARTS, Upstream("http://localhost:9", auth=auth))
        with anyio.fail_after(30):
            reply = await call(app, "get_latest")
        assert "the proxy was given no access token" in reply.text_content
        tasks.cancel_scope.cancel()


async def test_a_token_that_one_is_refused_with_serves_the_others_meanwhile() -> None:
    """Proxy: who calls what the API refuses makes nobody else wait for the issuer."""
    issuer = Issuer(expires_in=3600)
    given = '{"access_token": "t1", "token_type": "Bearer", "expires_in": 3600}'
    async with api(ok(given), None) as slow:
        with served(issuer.app) as url:
            auth = ClientCredentials(slow.url, client_id="proxy", client_secret="s")
            app = proxy_app(issuer.app.openapi(), Upstream(url, auth=auth))
            assert (await call(app, "list_parts")).text_content == '"here"'
            slow.asked = anyio.Event()
            issuer.refused.add("Bearer t1")
            with anyio.fail_after(5):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(call, app, "add_part")
                    await slow.asked.wait()
                    issuer.refused.clear()
                    assert (await call(app, "list_parts")).text_content == '"here"'
                    tasks.cancel_scope.cancel()


async def test_one_who_goes_leaves_the_others_their_token() -> None:
    """Proxy: the token is asked for by whoever is first; when that one goes, by the next."""
    issuer = Issuer()
    given = b'{"access_token": "t1", "token_type": "Bearer"}'
    head = f"content-type: application/json\r\ncontent-length: {len(given)}\r\n\r\n".encode()
    with served(issuer.app) as url:
        async with api(None, b"HTTP/1.1 200 OK\r\n" + head + given) as slow:
            auth = ClientCredentials(slow.url, client_id="proxy", client_secret="s")
            app = proxy_app(issuer.app.openapi(), Upstream(url, auth=auth))
            with anyio.fail_after(30):
                async with anyio.create_task_group() as first:
                    first.start_soon(call, app, "list_parts")
                    await slow.asked.wait()
                    first.cancel_scope.cancel()
                assert (await call(app, "list_parts")).text_content == '"here"'


async def test_what_comes_with_a_refusal_is_not_waited_for() -> None:
    """Proxy: the body of a 401, which may have no end."""
    issuer = Issuer()
    never = anyio.Event()
    refused = b"HTTP/1.1 401 X\r\ncontent-type: text/plain\r\n\r\nno"
    with served(issuer.app) as url:
        auth = ClientCredentials(f"{url}/token", client_id="proxy", client_secret="s")
        async with api([refused, never], ok()) as parts:
            with anyio.fail_after(30):
                reply = await call(proxy_app(PARTS, Upstream(parts.url, auth=auth)), "get_latest")
            assert reply.text_content == "here"


def test_what_asks_for_tokens_is_loaded_before_the_first_call() -> None:
    """Proxy: loading it takes as long as many calls."""
    code = (
        "import sys; from mcp_mount import ClientCredentials as C;"
        "C('http://localhost', client_id='a', client_secret='b');"
        "print('authlib.integrations.httpx_client' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"


@pytest.mark.parametrize("url", ["localhost/token", "", "ftp://localhost", "http://", "http://["])
def test_an_issuer_that_cannot_be_is_refused(url: str) -> None:
    """Proxy: at once, and not on every call."""
    with pytest.raises(MountError, match="Tokens cannot be asked for at"):
        ClientCredentials(url, client_id="proxy", client_secret="s")


def test_the_secret_is_not_shown() -> None:
    """X7."""
    auth = ClientCredentials("http://localhost/t", client_id="proxy", client_secret="hunter2")
    assert "hunter2" not in repr(auth)
    assert "hunter2" not in repr(Upstream("http://localhost", auth=auth))
