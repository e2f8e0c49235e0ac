"""What the protocol says of headers for parameters, of promises, and of one caller's wishes."""

from collections.abc import Mapping
from typing import Annotated, Any

import anyio
import pytest
from fastapi import FastAPI, Query
from fastmcp import Context
from pydantic import Field
from starlette.types import ASGIApp

from mcp_mount import Mounted, mount_mcp
from tests.lanes import Answer, exchange, request_of
from tests.starting import started
from tests.support import ERAS, LEGACY, Era
from tests.ways import Way, either_way, force

pytestmark = either_way

HANDSHAKE = {
    "protocolVersion": LEGACY,
    "capabilities": {},
    "clientInfo": {"name": "client", "version": "1"},
}
REGION = {"x-mcp-header": "Region"}


async def ask(
    app: ASGIApp, era: Era, method: str, params: dict[str, Any] | None = None, **headers: str
) -> Answer:
    """Send a request, with headers more (`mcp_param_region`), or in the place of the usual ones."""
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    pairs, body = request_of(era, method, params)
    kept = [pair for pair in pairs if pair[0] not in named]
    return await exchange(app, [*kept, *named.items()], body)


def regional_app(way: Way) -> FastAPI:
    """Return an app with an operation and a tool of one's own that declare the same header."""
    app = FastAPI()

    @app.get("/operation")
    async def operation(
        region: Annotated[str, Query(json_schema_extra=REGION)] = "any",
        limit: Annotated[int, Query(json_schema_extra={"x-mcp-header": "Limit"})] = 1,
    ) -> str:
        return f"{region} {limit}"

    mounted = mount_mcp(app)

    @mounted.server.tool
    async def own(
        region: Annotated[str, Field(json_schema_extra=REGION)] = "any",
        limit: Annotated[int, Field(json_schema_extra={"x-mcp-header": "Limit"})] = 1,
    ) -> str:
        return f'"{region} {limit}"'

    force(mounted, way)
    return app


TOOLS = pytest.mark.parametrize("tool", ["operation", "own"])

AGREED: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({}, {}, "any 1"),
    ({"region": "eu"}, {"mcp_param_region": "eu"}, "eu 1"),
    ({"region": "é"}, {"mcp_param_region": "=?base64?w6k=?="}, "é 1"),
    ({"limit": 2}, {"mcp_param_limit": "2"}, "any 2"),
    ({"region": "eu"}, {"mcp_param_region": "eu", "mcp_param_other": "x"}, "eu 1"),
]
DIFFERENT: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"region": "eu"}, {"mcp_param_region": "us"}),
    ({"region": "eu"}, {}),
    ({}, {"mcp_param_region": "eu"}),
    ({"region": "é"}, {"mcp_param_region": "=?base64?!?="}),
    ({"limit": 2}, {"mcp_param_limit": "3"}),
]


@TOOLS
@pytest.mark.parametrize(("arguments", "headers", "text"), AGREED)
async def test_a_header_that_agrees_with_its_argument_is_taken(
    way: Way, tool: str, arguments: dict[str, Any], headers: dict[str, str], text: str
) -> None:
    """X2: as the SDK does, on an operation and on a tool of one's own."""
    params = {"name": tool, "arguments": arguments}
    answer = await ask(regional_app(way), "modern", "tools/call", params, **headers)
    assert (answer.status, answer.text) == (200, f'"{text}"')


@TOOLS
@pytest.mark.parametrize(("arguments", "headers"), DIFFERENT)
async def test_a_header_that_differs_from_its_argument_is_refused(
    way: Way, tool: str, arguments: dict[str, Any], headers: dict[str, str]
) -> None:
    """X2: whoever routes by the header must not be told anything but what the server does."""
    params = {"name": tool, "arguments": arguments}
    answer = await ask(regional_app(way), "modern", "tools/call", params, **headers)
    assert (answer.status, answer.messages[0].get("error", {}).get("code")) == (400, -32020)


@TOOLS
async def test_a_header_that_is_there_twice_is_refused(way: Way, tool: str) -> None:
    """X2: its readers would disagree."""
    params = {"name": tool, "arguments": {"region": "eu"}}
    pairs, body = request_of("modern", "tools/call", params)
    twice = [(b"mcp-param-region", b"eu")] * 2
    answer = await exchange(regional_app(way), [*pairs, *twice], body)
    assert (answer.status, answer.messages[0]["error"]["code"]) == (400, -32020)


@TOOLS
async def test_the_handshake_versions_know_no_headers_of_parameters(way: Way, tool: str) -> None:
    """X1: they came with 2026-07-28."""
    params = {"name": tool, "arguments": {"region": "eu"}}
    answer = await ask(regional_app(way), "legacy", "tools/call", params, mcp_param_region="us")
    assert (answer.status, answer.text) == (200, '"eu 1"')


@TOOLS
@pytest.mark.parametrize("era", ERAS)
async def test_the_list_says_which_parameters_have_a_header(way: Way, era: Era, tool: str) -> None:
    """X2: clients can send only what they are told of."""
    answer = await ask(regional_app(way), era, "tools/list")
    schemas = {each["name"]: each["inputSchema"] for each in answer.result["tools"]}
    properties: Mapping[str, Any] = schemas[tool]["properties"]
    found = {name: schema.get("x-mcp-header") for name, schema in properties.items()}
    assert found == {"region": "Region", "limit": "Limit"}


async def test_a_header_name_that_is_none_takes_no_tool_from_the_list(way: Way) -> None:
    """P1: conforming clients drop a tool that declares a header which cannot be."""
    app = FastAPI()

    @app.get("/odd")
    async def odd(region: Annotated[str, Query(json_schema_extra={"x-mcp-header": "a b"})]) -> str:
        return region

    force(mount_mcp(app), way)
    (tool,) = (await ask(app, "modern", "tools/list")).result["tools"]
    assert "x-mcp-header" not in tool["inputSchema"]["properties"]["region"]
    params = {"name": "odd", "arguments": {"region": "eu"}}
    assert (await ask(app, "modern", "tools/call", params)).text == '"eu"'


def furnished_app(way: Way, **options: Any) -> tuple[FastAPI, Mounted]:
    """Return an app with an operation, and with everything of one's own beside it."""
    app = FastAPI()
    app.add_api_route("/one", lambda: 1, operation_id="one")
    mounted = mount_mcp(app, **options)
    server = mounted.server

    @server.tool
    async def tell(context: Context) -> str:
        await context.info("heard")
        return "told"

    server.resource("data://one")(lambda: "data")
    server.resource("data://two", meta={"mine": 1})(lambda: "data")

    @server.resource("data://some/{name}")
    def template(name: str) -> str:
        return name

    @server.prompt
    def greet(name: str) -> str:
        return name

    force(mounted, way)
    return app, mounted


async def test_no_change_is_promised_to_be_told_where_none_can_be(way: Way) -> None:
    """X1: without sessions there is no stream to tell it on."""
    app, _ = furnished_app(way)
    result = (await ask(app, "legacy", "initialize", HANDSHAKE)).result
    promised = {name: said.get("listChanged") for name, said in result["capabilities"].items()}
    assert {"tools", "resources", "prompts"} <= promised.keys()
    assert not any(promised.values()), promised


@pytest.mark.filterwarnings("ignore:The logging capability is deprecated")
async def test_one_callers_log_level_is_no_one_elses(way: Way) -> None:
    """X1: nothing is kept of a caller where there are no sessions."""
    app, _ = furnished_app(way)
    call = {"name": "tell", "arguments": {}}
    for _ in range(2):
        messages = (await ask(app, "legacy", "tools/call", call)).messages
        assert [each.get("method") for each in messages] == ["notifications/message", None]
        await ask(app, "legacy", "logging/setLevel", {"level": "emergency"})


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
        ("prompts/list", "prompts"),
    ],
)
async def test_nothing_of_fastmcps_own_is_said_of_resources_and_prompts(
    way: Way, era: Era, method: str, key: str
) -> None:
    """P4: as for tools; what their author says of them stays."""
    app, _ = furnished_app(way)
    listed = (await ask(app, era, method)).result[key]
    metas = {each.get("uri", each["name"]): each.get("_meta", {}) for each in listed}
    assert metas
    assert metas.pop("data://two", {"mine": 1}) == {"mine": 1}
    assert not any(metas.values()), metas


async def test_sessions_without_a_start_are_refused_with_what_to_do(way: Way) -> None:
    """M3: no session is given that the next request would not find."""
    app, _ = furnished_app(way, sessions=True)
    for method, params in [("initialize", HANDSHAKE), ("tools/list", {}), ("ping", {})]:
        answer = await ask(app, "legacy", method, params)
        assert "mcp-session-id" not in answer.headers
        assert answer.status in {200, 400, 503}
        assert "lifespan" in answer.messages[-1]["error"]["message"]


async def test_modern_requests_need_no_start_beside_sessions(way: Way) -> None:
    """M3: they have no session."""
    app, _ = furnished_app(way, sessions=True)
    assert "one" in str((await ask(app, "modern", "tools/list")).result["tools"])
    answer = await ask(app, "modern", "tools/call", {"name": "one", "arguments": {}})
    assert answer.result["structuredContent"] == {"result": 1}


async def test_a_session_of_a_started_app_is_found_again(way: Way) -> None:
    """M3: with the lifespan it is kept."""
    app, _ = furnished_app(way, sessions=True)
    async with started(app) as served:
        with anyio.fail_after(30):
            opened = await ask(served, "legacy", "initialize", HANDSHAKE)
            named: dict[str, Any] = {"mcp_session_id": opened.headers["mcp-session-id"]}
            assert "one" in str((await ask(served, "legacy", "tools/list", **named)).result)
