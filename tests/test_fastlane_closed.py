"""When the fast lane is closed: as soon as there is something that it would pass by."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import opentelemetry.trace as otel
import pytest
from fastapi import FastAPI
from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from fastmcp.server.extensions import ServerExtension
from fastmcp.server.middleware import Middleware
from fastmcp.server.providers import LocalProvider, Provider
from fastmcp.server.transforms import Namespace
from fastmcp.tools import Tool
from opentelemetry.trace import NoOpTracerProvider

from mcp_mount import Mounted, mount_mcp
from tests.lanes import Answer, exchange, handled_by_fastmcp, listed, request_of
from tests.support import ERAS, Era

pytestmark = pytest.mark.parametrize("era", ERAS)


def small_app(**options: Any) -> tuple[FastAPI, Mounted]:
    """Return an app with the tools ``ping`` and, which asks its user, ``remove``."""
    app = FastAPI()

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    @app.delete("/remove", openapi_extra={"x-mcp": {"confirm": True}})
    async def remove() -> str:
        return "gone"

    return app, mount_mcp(app, **options)


async def asked(
    app: FastAPI, era: Era, method: str, params: dict[str, Any] | None = None, **headers: str
) -> tuple[Answer, bool]:
    """Return the answer, and whether it came from FastMCP."""
    pairs, body = request_of(era, method, params)
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    with handled_by_fastmcp() as handled:
        kept = [pair for pair in pairs if pair[0] not in dict(named)]
        answer = await exchange(app, [*kept, *(pair for pair in named if pair[1])], body)
    return answer, bool(handled)


PING = {"name": "ping", "arguments": {}}


async def warmed(app: FastAPI, era: Era) -> None:
    """See the lane open, and let it learn the list."""
    assert await listed(app, era) == ["ping", "remove"]
    for method, params in [("tools/list", None), ("tools/call", PING)]:
        _, by_fastmcp = await asked(app, era, method, params)
        assert not by_fastmcp, "the lane is closed from the beginning"


def own_tool(server: FastMCP[Any]) -> None:
    @server.tool
    async def extra() -> str:
        return "extra"


def own_tool_of_the_same_name(server: FastMCP[Any]) -> None:
    @server.tool
    async def ping() -> str:
        return "mine"


def mounted_server(server: FastMCP[Any]) -> None:
    inner: FastMCP[Any] = FastMCP("inner", mask_error_details=True)
    own_tool(inner)
    server.mount(inner, namespace="in")


def added_provider(server: FastMCP[Any]) -> None:
    provider = LocalProvider()

    def extra() -> str:
        return "extra"

    provider.add_tool(Tool.from_function(extra))
    server.add_provider(provider)


def transform(server: FastMCP[Any]) -> None:
    server.add_transform(Namespace("ns"))


def transform_of_the_operations(server: FastMCP[Any]) -> None:
    operations(server).add_transform(Namespace("ns"))


def transform_of_the_local_provider(server: FastMCP[Any]) -> None:
    own_tool(server)
    server.local_provider.add_transform(Namespace("ns"))


def disabled(server: FastMCP[Any]) -> None:
    server.disable(names={"ping"})


def disabled_operations(server: FastMCP[Any]) -> None:
    operations(server).disable(names={"ping"})


def operations(server: FastMCP[Any]) -> Provider:
    return server.providers[-1]


SEEN: list[tuple[Callable[[FastMCP[Any]], None], Sequence[str]]] = [
    (own_tool, ["extra", "ping", "remove"]),
    (own_tool_of_the_same_name, ["ping", "remove"]),
    (mounted_server, ["in_extra", "ping", "remove"]),
    (added_provider, ["extra", "ping", "remove"]),
    (transform, ["ns_ping", "ns_remove"]),
    (transform_of_the_operations, ["ns_ping", "ns_remove"]),
    (transform_of_the_local_provider, ["ns_extra", "ping", "remove"]),
    (disabled, ["remove"]),
    (disabled_operations, ["remove"]),
]


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(("add", "names"), SEEN)
async def test_what_is_added_to_the_server_is_seen_at_once(
    era: Era, add: Callable[[FastMCP[Any]], None], names: Sequence[str], *, late: bool
) -> None:
    """X2: in the list and by the calls, before the first request or after some."""
    app, mounted = small_app()
    if late:
        await warmed(app, era)
    add(mounted.server)
    assert sorted(await listed(app, era)) == names
    answer, by_fastmcp = await asked(app, era, "tools/call", PING)
    assert by_fastmcp is (add is not own_tool)
    if "ping" not in names:
        assert answer.messages[-1]["error"]["code"] == -32602
    else:
        own = add is own_tool_of_the_same_name
        assert "pong" in answer.text or (own and answer.text == "mine")
    for name in set(names) - {"ping", "remove"}:
        added, _ = await asked(app, era, "tools/call", {"name": name, "arguments": {}})
        assert added.result["isError"] is False


@pytest.mark.parametrize("late", [True, False])
async def test_a_middleware_sees_every_list_and_call(era: Era, *, late: bool) -> None:
    """X2: and again none of them, when it is taken away."""
    app, mounted = small_app()
    seen: list[str | None] = []

    class Sees(Middleware):
        async def on_message(self, context: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
            seen.append(context.method)
            return await call_next(context)

    if late:
        await warmed(app, era)
    middleware = Sees()
    mounted.server.add_middleware(middleware)
    await asked(app, era, "tools/list")
    await asked(app, era, "tools/call", PING)
    assert [each for each in seen if each] == ["tools/list", "tools/call"]
    mounted.server.middleware.remove(middleware)
    await warmed(app, era)


async def test_an_extension_closes_the_lane(era: Era) -> None:
    """X2: it may take part in calls."""
    app, mounted = small_app()

    class Extension(ServerExtension):
        identifier = "example.com/extension"

    mounted.server.add_extension(Extension())
    _, by_fastmcp = await asked(app, era, "tools/call", PING)
    assert by_fastmcp


async def test_a_tracer_does_not_close_it(era: Era, monkeypatch: pytest.MonkeyPatch) -> None:
    """M7: where something collects spans, they are written here as well."""
    app, _ = small_app()
    await warmed(app, era)
    monkeypatch.setattr(otel, "get_tracer_provider", NoOpTracerProvider)
    _, by_fastmcp = await asked(app, era, "tools/call", PING)
    assert not by_fastmcp


async def test_the_guard_of_hosts_that_fastmcp_has_is_not_passed_by(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X4: whoever turns it on, in FastMCP's settings, means every request."""
    monkeypatch.setattr("fastmcp.settings.http_host_origin_protection", True)
    app, _ = small_app()
    pairs, body = request_of(era, "tools/call", PING)
    for host in [b"evil.example", b"evil.example"]:
        answer = await exchange(app, pairs, body, host=host)
        assert answer.status in {403, 421}


OPTIONS: list[dict[str, Any]] = [
    {"auth": StaticTokenVerifier({"t": {"client_id": "c", "scopes": []}})},
    {"scopes_of": lambda _: []},
    {"sessions": True},
]


@pytest.mark.parametrize("options", OPTIONS)
async def test_options_that_check_callers_do_not_close_it(
    era: Era, options: dict[str, Any]
) -> None:
    """M7: it stands behind what checks them; only the messages of a session are FastMCP's."""
    app, _ = small_app(**options)
    answer, by_fastmcp = await asked(app, era, "tools/call", PING, authorization="Bearer t")
    if "sessions" in options and era == "legacy":
        assert answer.status == 503
    else:
        assert "pong" in answer.text
        assert not by_fastmcp
    if "auth" in options:
        assert (await asked(app, era, "tools/call", PING))[0].status == 401


async def test_a_tool_that_asks_its_user_is_not_called_at_once(era: Era) -> None:
    """X2: `confirm`, in the lane's own app."""
    app, _ = small_app()
    await warmed(app, era)
    capable: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    meta = capable if era == "modern" else {}
    params = {"name": "remove", "arguments": {}, "_meta": meta}
    answer, by_fastmcp = await asked(app, era, "tools/call", params)
    assert by_fastmcp
    assert "gone" not in str(answer.result) or era == "legacy"


ODD: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"inputResponses": {}}, {}),
    ({"requestState": "x"}, {}),
    ({"task": {"ttl": 1}}, {}),
    ({"cursor": "x"}, {}),
    ({"_meta": {"progressToken": None}}, {}),
    ({"_meta": {"fastmcp": {"version": "1"}}}, {}),
    ({}, {"mcp_param_x": "1"}),
    ({}, {"mcp_protocol_version": "2025-03-26"}),
    ({}, {"mcp_protocol_version": "2024-11-05"}),
    ({}, {"mcp_protocol_version": ""}),
    ({}, {"mcp_protocol_version": "2099-01-01"}),
    ({}, {"accept": "application/json"}),
]


@pytest.mark.parametrize(("params", "headers"), ODD)
async def test_an_unusual_request_is_fastmcps_to_answer(
    era: Era, params: dict[str, Any], headers: dict[str, str]
) -> None:
    """X2: the lane refuses nothing, and guesses nothing."""
    app, _ = small_app()
    await warmed(app, era)
    _, by_fastmcp = await asked(app, era, "tools/call", {**PING, **params}, **headers)
    assert by_fastmcp
