"""How a proxy fetches the document of an API that asks for a key or a token."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from fastapi import FastAPI, Form, Header, HTTPException, Request
from fastapi.responses import RedirectResponse
from starlette.types import Receive, Scope, Send

from mcp_mount import ClientCredentials, MountError, Upstream, proxy_app
from mcp_mount.openapi import fetching
from tests.support import call, served
from tests.test_proxy_failures import certificate


@dataclass
class Site:
    """An API whose document, like everything else, needs a key or a token."""

    url: str = ""
    away: str = ""
    seen: list[str | None] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI(title="Locked", servers=[{"url": "/"}], openapi_url=None)

        @app.get("/parts", operation_id="list_parts")
        async def parts(request: Request) -> str:
            self.check(request)
            return "here"

        @app.get("/openapi.json", include_in_schema=False)
        async def document(request: Request) -> dict[str, Any]:
            self.check(request)
            return app.openapi()

        @app.get("/away", include_in_schema=False)
        async def away(request: Request) -> RedirectResponse:
            return RedirectResponse(f"{self.away}/openapi.json")

        @app.post("/token", include_in_schema=False)
        async def token(grant_type: Annotated[str, Form()]) -> dict[str, str]:
            return {"access_token": "t1", "token_type": "Bearer"}

        @app.get("/open.json", include_in_schema=False)
        async def open_document(x_key: Annotated[str | None, Header()] = None) -> dict[str, Any]:
            self.seen.append(x_key)
            return app.openapi()

        return app

    def check(self, request: Request) -> None:
        self.seen.append(request.headers.get("x-key"))
        if request.headers.get("x-key") != "hunter2" and request.headers.get("authorization") != (
            "Bearer t1"
        ):
            raise HTTPException(401)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    with served(site.app()) as site.url:
        yield site


async def test_a_document_behind_the_apis_own_key_is_fetched_with_it(site: Site) -> None:
    """Proxy: with the headers of the upstream, whether or not the upstream is named."""
    for url in (site.url, ""):
        upstream = Upstream(url, headers={"X-Key": "hunter2"})
        app = proxy_app(f"{site.url}/openapi.json", upstream)
        assert (await call(app, "list_parts")).text_content == '"here"'
    assert site.seen == ["hunter2"] * 4


async def test_a_document_behind_the_apis_own_token_is_fetched_with_it(site: Site) -> None:
    """Proxy, RFC 6749 §4.4: also where an event loop runs already."""
    auth = ClientCredentials(f"{site.url}/token", client_id="proxy", client_secret="hunter2")
    app = proxy_app(f"{site.url}/openapi.json", Upstream(site.url, auth=auth))
    assert (await call(app, "list_parts")).text_content == '"here"'


def test_a_document_on_another_origin_gets_no_key(site: Site) -> None:
    """Proxy: what is meant for the API goes to the API."""
    other = Upstream("http://localhost:9", headers={"X-Key": "hunter2"})
    proxy_app(f"{site.url}/open.json", other)
    assert site.seen == [None]
    with pytest.raises(MountError, match=r"HTTP 401\. Give the API's own key .* own origin"):
        proxy_app(f"{site.url}/openapi.json", other)


def test_a_document_that_leads_to_another_origin_takes_no_key_there(site: Site) -> None:
    """Proxy: the host is the same, the port is not."""
    upstream = Upstream(site.url, headers={"X-Key": "hunter2"})
    stranger = Site()
    with (
        served(stranger.app()) as site.away,
        pytest.raises(MountError, match="it leads to another origin"),
    ):
        proxy_app(f"{site.url}/away", upstream)
    assert stranger.seen == []


def test_a_wrong_key_is_told_and_not_shown(site: Site) -> None:
    upstream = Upstream(site.url, headers={"X-Key": "swordfish"})
    with pytest.raises(
        MountError, match=r"HTTP 401\. The headers or the token .* are not accepted"
    ) as refused:
        proxy_app(f"{site.url}/openapi.json", upstream)
    assert "swordfish" not in str(refused.value)


def test_a_document_is_fetched_with_the_upstreams_own_authorities(tmp_path: Path) -> None:
    """Proxy: `tls`, where the document is on the upstream's own origin."""
    pem, key = certificate(tmp_path)
    with served(Site().app(), ssl_certfile=pem, ssl_keyfile=key) as plain:
        url = plain.replace("http:", "https:")
        trusting = ssl.create_default_context(cafile=pem)
        proxy_app(f"{url}/open.json", Upstream(url, tls=trusting))
        for upstream in (Upstream(url), Upstream("https://localhost:9", tls=trusting)):
            with pytest.raises(MountError, match="CERTIFICATE_VERIFY_FAILED"):
                proxy_app(f"{url}/open.json", upstream)


def test_a_document_that_does_not_come_to_its_end_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Proxy: each byte comes in time, and they never end."""
    monkeypatch.setattr(fetching, "DEADLINE", 0.5)

    async def drip(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        message = await receive()
        for _ in range(400):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            with anyio.move_on_after(0.05):
                message = await receive()
            if message["type"] == "http.disconnect":
                return
        await send({"type": "http.response.body", "body": b"{}"})

    late = pytest.raises(MountError, match=r"within 0\.5 seconds")
    with served(drip, lifespan="off") as url, late:
        proxy_app(f"{url}/openapi.json", url)
