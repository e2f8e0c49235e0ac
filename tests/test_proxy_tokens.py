"""Access tokens of the proxy's own, for an API that asks for them."""

from base64 import b64decode
from typing import Annotated, Any

import anyio
import pytest
from fastapi import FastAPI, Form, Header, HTTPException
from fastapi.responses import JSONResponse

from mcp_mount import ClientCredentials, Upstream, proxy_app
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


@pytest.mark.parametrize("life", [{"expires_in": 1}, {"expires_in": "20"}])
async def test_a_token_that_ends_is_renewed_before_it_is_refused(life: dict[str, Any]) -> None:
    """Proxy: half a minute before its end, so that it does not end on the way."""
    issuer = Issuer(**life)
    with served(issuer.app) as url:
        app = before(issuer, url)
        for _ in range(2):
            await call(app, "list_parts")
    assert issuer.callers == ["Bearer t1", "Bearer t2"]


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


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"error": "invalid_client", "error_description": "hunter2"}, 401),
        JSONResponse({"access_token": None}),
        JSONResponse({"access_token": "a\r\nb"}),
        JSONResponse({"token_type": "Bearer"}),
        JSONResponse([1]),
        JSONResponse({"access_token": "t1", "expires_in": "soon"}),
        JSONResponse({}, 500),
    ],
)
async def test_without_a_token_the_call_is_an_error_that_says_so(
    answer: JSONResponse, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxy, X7: whatever the issuer says; its words and the secret stay out of it."""
    issuer = Issuer()
    odd = FastAPI()

    @odd.post("/token")
    async def give() -> JSONResponse:
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


def test_the_secret_is_not_shown() -> None:
    """X7."""
    auth = ClientCredentials("http://localhost/t", client_id="proxy", client_secret="hunter2")
    assert "hunter2" not in repr(auth)
    assert "hunter2" not in repr(Upstream("http://localhost", auth=auth))
