"""Promise: a route can use the tools of its own app, over MCP and as its caller."""

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Annotated, Any

import anyio
import httpx2
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Security
from fastapi.security import OAuth2AuthorizationCodeBearer
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from mcp.shared.exceptions import MCPError
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Mounted, MountError, mount_mcp
from tests.support import ERAS, Era, call, http, served

Use = Callable[[Mounted, Request], Awaitable[Any]]


def app_with(use: Use, **options: Any) -> FastAPI:
    """Return an app whose route `/use` does something with the mounted server."""
    app = FastAPI()
    mounted = mount_mcp(app, **options)

    @app.post("/use", openapi_extra={"x-mcp": {"name": "use"}})
    async def use_it(request: Request) -> Any:
        return await use(mounted, request)

    @app.get("/who")
    async def who(request: Request) -> dict[str, Any]:
        return {
            "headers": dict(request.headers),
            "client": request.client,
            "url": str(request.url),
            "tool": request.scope.get("mcp_mount.tool"),
        }

    return app


async def ask_who(mounted: Mounted, request: Request) -> Any:
    async with mounted.client(request) as client:
        return (await client.call_tool_mcp("who", {})).structured_content


async def test_the_tools_see_the_caller_of_the_route() -> None:
    """Agent, C2, C3: headers, address and scheme are the caller's; cookies stay outside."""
    headers = {"authorization": "Bearer t", "x-caller": "alice", "cookie": "a=b", "origin": "x"}
    async with http(app_with(ask_who), "https://kb.example") as client:
        seen = (await client.post("/use", headers=headers)).json()
    assert seen["headers"]["authorization"] == "Bearer t"
    assert seen["headers"]["x-caller"] == "alice"
    assert seen["headers"]["host"] == "kb.example"
    assert not {"cookie", "origin", "mcp-protocol-version"} & seen["headers"].keys()
    assert seen["client"] == ["127.0.0.1", 1234]
    assert seen["url"] == "https://kb.example/who"
    assert seen["tool"] == "who"


async def test_cookies_go_along_where_the_mount_forwards_them() -> None:
    """Agent, C3."""
    async with http(app_with(ask_who, forward_cookies=True)) as client:
        seen = (await client.post("/use", headers={"cookie": "a=b"})).json()
    assert seen["headers"]["cookie"] == "a=b"


async def test_headers_of_the_route_take_the_place_of_the_callers() -> None:
    """Agent: a route can mark what it sends."""

    async def use(mounted: Mounted, request: Request) -> Any:
        async with mounted.client(request, headers={"X-Mark": "new", "X-More": "1"}) as client:
            return (await client.call_tool_mcp("who", {})).structured_content

    async with http(app_with(use)) as client:
        seen = (await client.post("/use", headers={"x-mark": "old", "x-kept": "2"})).json()
    assert [seen["headers"][name] for name in ("x-mark", "x-more", "x-kept")] == ["new", "1", "2"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_route_that_was_called_over_mcp_still_sends_requests_of_its_own(era: Era) -> None:
    """Agent, F1: to middleware it is a request to the endpoint and no tool call, as the caller's.

    The SDK's client would ask for the list after a call, and compare the result with the schema in
    it once more, in Python: ten thousand rows held the event loop for 0.4 s.
    """
    app = app_with(ask_who)
    log: list[tuple[str, str | None]] = []

    class Noting:
        def __init__(self, inner: ASGIApp) -> None:
            self.inner = inner

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            log.append((scope["path"], scope.get("mcp_mount.tool")))
            await self.inner(scope, receive, send)

    app.add_middleware(Noting)
    reply = await call(app, "use", era=era, headers={"x-caller": "alice"})
    assert reply.result["structuredContent"]["headers"]["x-caller"] == "alice"
    assert log == [("/mcp", None), ("/use", "use"), ("/mcp", None), ("/who", "who")]


async def test_two_callers_at_once_are_not_confused() -> None:
    """Agent, C1: nothing is shared between callers."""
    both = anyio.Event()
    arrived: list[str] = []

    async def use(mounted: Mounted, request: Request) -> Any:
        async with mounted.client(request) as client:
            arrived.append("here")
            if len(arrived) == 2:
                both.set()
            await both.wait()
            return (await client.call_tool_mcp("who", {})).structured_content

    app = app_with(use)
    seen: dict[str, str] = {}

    async def ask(name: str) -> None:
        async with http(app) as client:
            reply = await client.post("/use", headers={"x-caller": name})
        seen[name] = reply.json()["headers"]["x-caller"]

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for name in ("alice", "bob"):
                tasks.start_soon(ask, name)
    assert seen == {"alice": "alice", "bob": "bob"}


@pytest.mark.parametrize("lane", ["own", "fastmcp"])
@pytest.mark.parametrize("waits", ["before it answers", "while it streams"])
async def test_giving_up_ends_the_tool_which_is_told_first(lane: str, waits: str) -> None:
    """Agent, C7: a route that is cancelled takes the tools that run for it along."""
    started, closed = anyio.Event(), anyio.Event()
    told: list[str] = []

    async def use(mounted: Mounted, request: Request) -> Any:
        async with mounted.client(request) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool_mcp, "slow", {}, _nothing)
            await started.wait()
            tasks.cancel_scope.cancel()
        return "gave up"

    # Where the user has added a tool, FastMCP answers and not the fast lane.
    app = FastAPI()
    mounted = mount_mcp(app)
    if lane == "fastmcp":
        mounted.server.tool(lambda: "own", name="own")

    @app.post("/use")
    async def use_it(request: Request) -> Any:
        return await use(mounted, request)

    @app.get("/slow", response_class=PlainTextResponse)
    async def slow() -> Response:
        return _Slow(waits, started, closed, told)

    with anyio.fail_after(30):
        async with http(app) as client:
            assert (await client.post("/use")).json() == "gave up"
        await closed.wait()
    assert told == ["http.disconnect"]


async def _nothing(progress: float, total: float | None, message: str | None) -> None:
    return


class _Slow(Response):
    """A response that waits until it is told that its client is gone."""

    def __init__(
        self, waits: str, started: anyio.Event, closed: anyio.Event, told: list[str]
    ) -> None:
        super().__init__(media_type="text/plain")
        self.waits, self.started, self.closed, self.told = waits, started, closed, told

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        await receive()  # The request's empty body.
        if self.waits == "while it streams":
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        self.started.set()
        try:
            self.told.append((await receive())["type"])
        finally:
            self.closed.set()


async def test_the_tools_that_run_end_when_the_caller_of_the_route_goes() -> None:
    """Agent, C7: an MCP caller goes, and with it what the route had begun."""
    started, closed = anyio.Event(), anyio.Event()

    async def use(mounted: Mounted, request: Request) -> Any:
        async with mounted.client(request) as client:
            await client.call_tool_mcp("slow", {})

    app = app_with(use)

    @app.get("/slow")
    async def slow() -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            closed.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, app, "use")
            await started.wait()
            tasks.cancel_scope.cancel()
        await closed.wait()


async def test_under_a_prefix_and_in_a_sub_application_the_endpoint_is_found() -> None:
    """Agent, M5."""
    inner, outer = app_with(ask_who), FastAPI()
    outer.mount("/v1", inner)
    async with http(outer) as client:
        assert (await client.post("/v1/use")).json()["url"] == "http://localhost:8000/v1/who"
    prefixed = FastAPI()
    mounted = mount_mcp(prefixed, path="/ai/mcp")

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        await prefixed({**scope, "root_path": "/api"}, receive, send)

    @prefixed.post("/use")
    async def use_it(request: Request) -> Any:
        return await ask_who(mounted, request)

    @prefixed.get("/who")
    async def who(request: Request) -> dict[str, Any]:
        return {"url": str(request.url)}

    for path in ("/use", "/api/use"):
        async with http(server) as client:
            seen = (await client.post(path)).json()
        # Written as the server has written the path of the route.
        assert seen["url"] == "http://localhost:8000" + path.replace("use", "who")


async def test_a_request_to_another_app_is_refused_with_what_to_do() -> None:
    """Agent: whose caller that is, the mounted app could not tell."""
    mounted = mount_mcp(FastAPI())
    other = FastAPI()

    @other.get("/use")
    async def use_it(request: Request) -> str:
        with pytest.raises(MountError, match="'/use' is not one to the app that has this MCP"):
            mounted.client(request)
        return "refused"

    async with http(other) as client:
        assert (await client.get("/use")).json() == "refused"


async def test_in_a_running_server_it_works_over_a_socket_too() -> None:
    """Agent, M2: with the lifespan run, beside M3 above, where it is not."""
    with served(app_with(ask_who)) as url:
        async with httpx2.AsyncClient() as client:
            seen = (await client.post(f"{url}/use", headers={"x-caller": "alice"})).json()
    assert seen["headers"]["x-caller"] == "alice"
    assert seen["url"] == f"{url}/who"


async def test_what_guards_the_endpoint_guards_it_from_routes_too() -> None:
    """Agent: dependencies and scopes decide by the caller's own credential."""

    async def keyed(request: Request) -> None:
        if request.headers.get("x-api-key") != "k":
            raise HTTPException(401)

    async def use(mounted: Mounted, request: Request) -> Any:
        try:
            async with mounted.client(request) as client:
                return [tool.name for tool in await client.list_tools()]
        except MCPError:
            return "refused"

    async with http(app_with(use, dependencies=[Depends(keyed)])) as client:
        assert (await client.post("/use")).json() == "refused"
        listed = await client.post("/use", headers={"x-api-key": "k"})
    assert listed.json() == ["use", "who"]


async def test_the_list_is_that_of_the_callers_scopes() -> None:
    """Agent: a tool that the caller may not use is neither listed nor called."""
    tokens = {name: {"client_id": name, "scopes": [name]} for name in ("read", "write")}

    async def use(mounted: Mounted, request: Request) -> Any:
        async with mounted.client(request) as client:
            names = [tool.name for tool in await client.list_tools()]
            try:
                return [*names, bool((await client.call_tool_mcp("wipe", {})).is_error)]
            except MCPError:
                return [*names, "refused"]

    app = app_with(use, auth=StaticTokenVerifier(tokens))
    scheme = OAuth2AuthorizationCodeBearer("/authorize", "/token")

    @app.delete("/all", operation_id="wipe")
    async def wipe(_: Annotated[str, Security(scheme, scopes=["write"])]) -> str:
        return "wiped"

    async with http(app) as client:
        for token, expected in (
            ("read", ["use", "who", "refused"]),
            ("write", ["use", "who", "wipe", False]),
        ):
            reply = await client.post("/use", headers={"authorization": f"Bearer {token}"})
            assert reply.json() == expected


async def test_context_variables_of_the_route_are_seen_by_its_tools() -> None:
    """Agent, C1."""
    current: ContextVar[str] = ContextVar("current", default="nothing")

    async def use(mounted: Mounted, request: Request) -> Any:
        current.set("set by the route")
        async with mounted.client(request) as client:
            return (await client.call_tool_mcp("seen", {})).structured_content

    app = app_with(use)

    @app.get("/seen")
    async def seen() -> str:
        return current.get()

    async with http(app) as client:
        assert (await client.post("/use")).json() == {"result": "set by the route"}


async def test_an_app_that_fails_before_its_endpoint_is_an_error_and_not_a_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Agent, C6, R3: what it raised is in the log, and nowhere else."""

    async def use(mounted: Mounted, request: Request) -> Any:
        try:
            async with mounted.client(request) as client:
                await client.list_tools()
        except (MCPError, httpx2.HTTPError) as error:
            return str(error)

    app = app_with(use)

    class Failing:
        def __init__(self, inner: ASGIApp) -> None:
            self.inner = inner

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/mcp":
                raise RuntimeError("private")
            await self.inner(scope, receive, send)

    app.add_middleware(Failing)
    with anyio.fail_after(30), caplog.at_level(logging.ERROR, "mcp_mount"):
        async with http(app) as client:
            reply = await client.post("/use")
    assert reply.json()
    assert "private" not in reply.text
    assert "private" in caplog.text
