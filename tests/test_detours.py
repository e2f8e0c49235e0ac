"""No detour leads to what is not offered: other apps, middleware, redirects, late routes."""

from typing import Annotated, Any

import anyio
import pytest
from fastapi import APIRouter, Cookie, FastAPI, Header, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Limits, mount_mcp
from tests.support import ERAS, Era, call, http, tools


class Rewrites:
    """Middleware that rewrites the path of every request."""

    def __init__(self, app: ASGIApp, old: str, new: str) -> None:
        self.app, self.old, self.new = app, old, new

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].replace(self.old, self.new)}
        await self.app(scope, receive, send)


@pytest.mark.parametrize("era", ERAS)
async def test_middleware_that_chooses_another_app_is_followed_there(era: Era) -> None:
    """C2: the route is that of the app which middleware chose, as over REST."""

    def make(name: str) -> FastAPI:
        app = FastAPI()

        @app.get("/data/{x}")
        async def data(x: str) -> str:
            return f"data of {name}"

        return app

    other, app = make("other"), make("own")

    class Tenants:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            is_other = scope["type"] == "http" and dict(scope["headers"]).get(b"x-tenant")
            chosen = other if is_other and scope["path"] != "/mcp" else self.app
            await chosen(scope, receive, send)

    app.add_middleware(Tenants)
    mount_mcp(app)
    mount_mcp(other)
    headers = {"x-tenant": "other"}
    async with http(app) as client:
        assert (await client.get("/data/1", headers=headers)).json() == "data of other"
    reply = await call(app, "data", {"x": "1"}, era=era, headers=headers)
    assert reply.result["structuredContent"] == {"result": "data of other"}


@pytest.mark.parametrize("era", ERAS)
async def test_a_value_reaches_nothing_hidden_through_middleware(era: Era) -> None:
    """C5: the path that counts is the one that middleware leaves."""
    app = FastAPI()
    app.add_middleware(Rewrites, old="ME", new="me")

    @app.get("/users/me", include_in_schema=False)
    async def me() -> str:
        return "secret"

    @app.get("/users/{name}")
    async def user(name: str) -> str:
        return name

    mount_mcp(app)
    reply = await call(app, "user", {"name": "ME"}, era=era)
    assert reply.text_content.startswith("404 ")
    reply = await call(app, "user", {"name": "YOU"}, era=era)
    assert reply.result["structuredContent"] == {"result": "YOU"}


async def test_a_route_may_call_the_endpoint_of_its_own_app() -> None:
    """C2: a request made from the scope of a call is served like any other."""
    app = FastAPI()

    @app.get("/status")
    async def status(request: Request) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {**request.scope, "path": "/mcp", "method": "PUT"}
        await app(scope, request.receive, send)
        found: int = sent[0]["status"]
        return found

    mount_mcp(app)
    assert (await call(app, "status")).result["structuredContent"] == {"result": 405}


@pytest.mark.parametrize("era", ERAS)
async def test_a_redirect_asks_what_a_call_would_ask(era: Era) -> None:
    """R3: scopes, confirmation, and hidden neighbours that differ by a slash."""
    app = FastAPI()

    @app.get("/go")
    async def go(to: str) -> RedirectResponse:
        return RedirectResponse(to)

    @app.get("/purge", openapi_extra={"x-mcp": {"confirm": True}})
    @app.get("/admin", openapi_extra={"security": [{"oauth": ["admin"]}]})
    @app.get("/reports/", include_in_schema=False)
    async def secret() -> str:
        return "SECRET"

    @app.get("/reports")
    @app.get("/read", openapi_extra={"security": [{"oauth": ["read"]}]})
    async def public() -> str:
        return "public"

    mount_mcp(app, scopes_of=lambda _: ["read"], confirm="destructive")
    for to in ("/purge", "/admin", "/reports/"):
        reply = await call(app, "go", {"to": to}, era=era)
        assert "SECRET" not in reply.text
        assert f"Location: {to}" in reply.text_content
    for to in ("/reports", "/read", "/read/"):
        assert "public" in (await call(app, "go", {"to": to}, era=era)).text_content


async def test_a_late_hidden_route_is_seen_although_the_document_stays() -> None:
    """M4, C5: with an `openapi` of the app's own that keeps what it wrote."""
    app, router = FastAPI(), APIRouter()

    @router.get("/first")
    async def first() -> int:
        return 1

    app.include_router(router)

    @app.get("/files/{name}.txt")
    async def file(name: str) -> str:
        return name

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = get_openapi(title="x", version="1", routes=app.routes)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    mount_mcp(app)
    assert not (await call(app, "file", {"name": "a"})).is_error

    @router.get("/files/secret.txt", include_in_schema=False)
    async def secret() -> str:
        return "SECRET"

    assert (await call(app, "file", {"name": "secret"})).is_error


async def test_a_prefix_that_routing_takes_off_leads_nowhere_else() -> None:
    """C5, M5: the server names `/api` as the root and leaves it out of the path."""
    app = FastAPI()

    @app.get("/hidden", include_in_schema=False)
    async def hidden() -> str:
        return "SECRET"

    @app.get("/api/{name}")
    async def named(name: str) -> str:
        return name

    mount_mcp(app)

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/api"}, receive, send)

    assert (await call(server, "named", {"name": "hidden"})).is_error


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_that_waited_for_its_turn_ends_at_its_own_deadline(era: Era) -> None:
    """C6: the time begins when the call does, and is kept from then on."""
    app = FastAPI()
    began = anyio.Event()

    @app.get("/wait")
    async def wait(seconds: float) -> int:
        began.set()
        await anyio.sleep(seconds)
        return 1

    mount_mcp(app, limits=Limits(timeout=0.3, max_concurrency=1))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, app, "wait", {"seconds": 0.2})
            await began.wait()
            reply = await call(app, "wait", {"seconds": 30}, era=era)
    assert "0.3 seconds" in reply.text_content


async def test_a_media_type_is_refused_as_fast_as_it_is_read() -> None:
    """C5: a pattern that looks at each beginning again would take minutes."""
    app = FastAPI()

    @app.post("/up", openapi_extra={"requestBody": {"content": {"image/png": {}}}})
    async def up() -> int:
        return 1

    mount_mcp(app)
    with anyio.fail_after(2):
        body = {"text": "x", "media_type": "/;" * 100_000 + "\n"}
        reply = await call(app, "up", {"body": body})
    assert "`media_type` that is none" in reply.text_content


async def test_what_a_proxy_says_of_the_caller_is_no_argument() -> None:
    """C4: the model cannot say who calls, or from where."""
    app = FastAPI()

    @app.get("/me")
    async def me(
        x_forwarded_user: Annotated[str, Header()] = "",
        x_note: Annotated[str, Header()] = "",
        session_id: Annotated[str, Cookie()] = "",
        theme: Annotated[str, Cookie()] = "",
    ) -> str:
        return x_forwarded_user

    mount_mcp(app)
    properties = (await tools(app))["me"]["inputSchema"]["properties"]
    assert set(properties) == {"x-note", "theme"}
    headers = {"x-forwarded-user": "mallory"}
    reply = await call(app, "me", headers=headers)
    assert reply.result["structuredContent"] == {"result": "mallory"}


@pytest.mark.parametrize(
    "disposition", ["attachment; filename*=idna''x%ff", "attachment; filename*=utf-7''+2AA-"]
)
async def test_a_file_name_that_cannot_be_read_is_left_out(disposition: str) -> None:
    """R2: the file itself is there."""
    app = FastAPI()

    @app.get("/file")
    async def file() -> Response:
        headers = {"content-disposition": disposition, "content-type": "application/zip"}
        return Response(b"zip", headers=headers)

    mount_mcp(app)
    block = (await call(app, "file")).result["content"][0]
    assert block["resource"]["uri"] == "attachment:///content.zip"
