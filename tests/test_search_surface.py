"""surface="search": an API that is too large to list is searched, described and called."""

import json
import logging
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Header, Request, Response, Security
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer
from fastapi.testclient import TestClient
from fastmcp import Client
from fastmcp.exceptions import ToolError
from pydantic import BaseModel

from mcp_mount import InvalidSelector, Mounted, MountError, RateLimit, mount_mcp
from tests.foreign import HELD
from tests.raw import send_raw
from tests.sse import initialized
from tests.starting import started
from tests.steps import measured_steps
from tests.support import ERAS, Era, Reply, call, envelope, rpc, tools
from tests.test_session_unread import opened
from tests.ways import Way, either_way, force

eras = pytest.mark.parametrize("era", ERAS)

FOUR = ["search_tools", "describe_tool", "call_read_tool", "call_tool"]
ADMIN = {"x-scopes": "admin"}


class Part(BaseModel):
    name: str


def scopes_of(request: Request) -> list[str]:
    return request.headers.get("x-scopes", "").split()


def parts_app(**options: Any) -> tuple[FastAPI, Mounted]:
    app = FastAPI(title="Parts", openapi_tags=[{"name": "billing", "description": "Money."}])
    bearer = HTTPBearer(auto_error=False)

    @app.get("/parts", tags=["parts"])
    async def list_parts() -> list[str]:
        """List the parts in stock."""
        return ["bolt"]

    @app.get("/parts/{part_id}", tags=["parts"])
    async def get_part(part_id: int) -> Part:
        """Get one part."""
        return Part(name=f"part {part_id}")

    @app.delete("/parts/{part_id}", tags=["parts"], openapi_extra={"x-mcp": {"confirm": True}})
    async def delete_part(part_id: int) -> str:
        """Delete a part."""
        return f"deleted {part_id}"

    @app.post("/x17", tags=["billing"], openapi_extra={"x-mcp": {"keywords": ["reconciliation"]}})
    async def x17(part: Part) -> str:
        return f"paid {part.name}"

    @app.get("/secret", tags=["vault"], dependencies=[Security(bearer, scopes=["admin"])])
    async def read_vault() -> str:
        """Read the vault."""
        return "gold"

    @app.get("/story", tags=["parts"])
    async def tell_story() -> StreamingResponse:
        """Tell the story of the parts."""
        return StreamingResponse(iter(["once ", "upon"]), media_type="text/plain")

    return app, mount_mcp(app, **{"surface": "search", "scopes_of": scopes_of, **options})


def through(name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "arguments": dict(arguments or {})}


def found(reply: Reply) -> list[str]:
    return [each["name"] for each in json.loads(reply.text_content)["tools"]]


@eras
@either_way
async def test_a_few_tools_stand_for_all(era: Era, way: Way) -> None:
    app, mounted = parts_app()
    force(mounted, way)
    listed = await tools(app, era=era)
    assert list(listed) == FOUR
    hints = {name: tool["annotations"]["readOnlyHint"] for name, tool in listed.items()}
    assert hints == dict(zip(FOUR, [True, True, True, False], strict=True))
    assert "parts (4), billing (1)" in listed["search_tools"]["description"]


@eras
@either_way
async def test_a_tool_is_found_described_and_called(era: Era, way: Way) -> None:
    app, mounted = parts_app()
    force(mounted, way)
    reply = await call(app, "search_tools", {"query": "remove the part"}, era=era)
    assert found(reply)[0] == "delete_part"
    described = await call(app, "describe_tool", {"name": "get_part"}, era=era)
    said = json.loads(described.text_content)
    assert said["inputSchema"]["required"] == ["part_id"]
    assert said["call_with"] == "call_read_tool"
    arguments = {"part_id": 3}
    answer = await call(app, "call_read_tool", through("get_part", arguments), era=era)
    assert answer.result == (await call(app, "get_part", arguments, era=era)).result
    paid = await call(app, "call_tool", through("x17", {"name": "bolt"}), era=era)
    assert paid.text_content == '"paid bolt"'


@eras
@either_way
async def test_callers_find_and_call_what_they_may(era: Era, way: Way) -> None:
    """C4: hidden from the overview, the search and the description; a call asks for the scope."""
    app, mounted = parts_app()
    force(mounted, way)
    for headers, may in (({}, False), (ADMIN, True), ({}, False)):
        listed = await tools(app, era=era, headers=headers)
        assert ("vault (1)" in listed["search_tools"]["description"]) is may
        reply = await call(
            app, "search_tools", {"query": "read the vault"}, era=era, headers=headers
        )
        assert ("read_vault" in found(reply)) is may
        described = await call(
            app, "describe_tool", {"name": "read_vault"}, era=era, headers=headers
        )
        assert described.is_error is not may
        tagged = await call(app, "search_tools", {"tag": "vault"}, era=era, headers=headers)
        assert tagged.is_error is not may
        answer = await call(app, "call_read_tool", through("read_vault"), era=era, headers=headers)
        assert answer.status == (200 if may else 403)
        if not may:
            assert 'scope="admin"' in answer.headers["www-authenticate"]


@eras
@either_way
async def test_an_unknown_tool_is_a_protocol_error_that_names_near_ones(era: Era, way: Way) -> None:
    """X3."""
    app, mounted = parts_app()
    force(mounted, way)
    for outer in ("call_tool", "call_read_tool"):
        reply = await call(app, outer, through("list_prts"), era=era)
        assert reply.status == 200
        assert reply.answer["error"]["code"] == -32602
        assert reply.answer["error"]["message"].startswith(
            "Unknown tool: 'list_prts'. Near: list_parts"
        )
        assert "read_vault" not in (await call(app, outer, through("vault"), era=era)).text
    itself = await call(app, "call_tool", through("call_tool", through("list_parts")), era=era)
    assert itself.answer["error"]["code"] == -32602


@eras
@either_way
async def test_what_a_call_lacks_is_said_as_to_a_direct_call(era: Era, way: Way) -> None:
    app, mounted = parts_app()
    force(mounted, way)
    wrong = {"part": 1}
    answer = await call(app, "call_read_tool", through("get_part", wrong), era=era)
    assert answer.is_error
    assert answer.result == (await call(app, "get_part", wrong, era=era)).result
    reply = await call(app, "call_read_tool", through("delete_part", {"part_id": 1}), era=era)
    assert reply.is_error
    assert reply.text_content == "'delete_part' may change something: use 'call_tool'."
    for given in ({}, {"name": 5}, {"name": "get_part", "arguments": []}, {"nme": "get_part"}):
        reply = await call(app, "call_tool", given, era=era)
        assert reply.is_error
        assert "The tool takes: 'name', 'arguments'." in reply.text_content
    reply = await call(app, "search_tools", {"query": "x", "limit": 0}, era=era)
    assert reply.is_error
    reply = await call(app, "search_tools", {"tag": "part"}, era=era)
    assert reply.text_content == "Unknown tag 'part'. Tags: 'parts'."


@eras
@either_way
async def test_the_line_in_the_log_is_that_of_the_real_tool(
    era: Era, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    app, mounted = parts_app()
    force(mounted, way)
    caplog.set_level(logging.INFO, "mcp_mount.calls")
    await call(app, "call_tool", through("x17", {"name": "bolt"}), era=era)
    await call(app, "call_tool", {"name": 5}, era=era)
    await call(app, "search_tools", {"query": "parts"}, era=era)
    calls = [record.__dict__["call"] for record in caplog.records if hasattr(record, "call")]
    said = [(each["tool"], each["operation"], each["outcome"]) for each in calls]
    assert said == [
        ("x17", "POST /x17", "ok"),
        ("call_tool", "search", "refused"),
        ("search_tools", "search", "ok"),
    ]


@eras
async def test_a_stream_shows_its_progress_through_the_search(era: Era) -> None:
    """S1."""
    app, _ = parts_app()
    params = {"name": "call_read_tool", "arguments": through("tell_story")}
    reply = await rpc(app, era, "tools/call", params, token="t")
    assert "".join(reply.progress) == "once upon"
    assert reply.text_content == "once upon"


async def test_a_question_is_asked_through_the_search() -> None:
    app, _ = parts_app()
    arguments = through("delete_part", {"part_id": 7})
    meta: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    params: dict[str, Any] = {"name": "call_tool", "arguments": arguments, "_meta": meta}
    async with started(app) as served:
        asked = await rpc(served, "modern", "tools/call", params)
        assert asked.result["resultType"] == "input_required"
        assert "DELETE /parts/{part_id}" in asked.text
        params["requestState"] = asked.result["requestState"]
        params["inputResponses"] = {"confirm": {"action": "accept", "content": {}}}
        done = await rpc(served, "modern", "tools/call", params)
        assert done.text_content == '"deleted 7"'
        params["arguments"] = through("delete_part", {"part_id": 8})
        other = await rpc(served, "modern", "tools/call", params)
        assert "deleted" not in other.text


@eras
@either_way
async def test_calls_through_the_search_count_for_the_rate(era: Era, way: Way) -> None:
    app, mounted = parts_app(rate_limit=RateLimit("3/minute"))
    force(mounted, way)
    assert not (await call(app, "search_tools", {"query": "parts"}, era=era)).is_error
    assert not (await call(app, "describe_tool", {"name": "get_part"}, era=era)).is_error
    assert not (await call(app, "call_read_tool", through("list_parts"), era=era)).is_error
    assert (await call(app, "call_read_tool", through("list_parts"), era=era)).is_error
    assert (await call(app, "search_tools", {"query": "parts"}, era=era)).is_error


@eras
async def test_a_client_chooses_with_its_url(era: Era) -> None:
    app, _ = parts_app(surface="tools")
    assert "get_part" in await tools(app, era=era)
    unknown = await call(app, "search_tools", {"query": "parts"}, era=era)
    assert unknown.answer["error"]["message"] == "Unknown tool: 'search_tools'"
    path = "/mcp?surface=search"
    listed = await rpc(app, era, "tools/list", path=path)
    assert [tool["name"] for tool in listed.result["tools"]] == FOUR
    params = {"name": "call_read_tool", "arguments": through("list_parts")}
    assert (await rpc(app, era, "tools/call", params, path=path)).text_content == '["bolt"]'
    refused = await rpc(app, era, "tools/list", path="/mcp?surface=all")
    assert refused.status == 400
    assert "surface='all' is not known" in refused.text


async def test_a_client_of_the_older_transport_chooses_with_its_url_too() -> None:
    """X1: the messages go to where the stream says, and are of the same surface."""
    app, _ = parts_app(surface="tools", sse_path="/sse")
    async with started(app) as running:
        async with initialized(running, path="/sse?surface=search") as stream:
            await stream.ask("tools/list", {})
            listed = (await stream.message())["result"]["tools"]
            assert [tool["name"] for tool in listed] == FOUR
            await stream.call("call_read_tool", arguments=through("list_parts"))
            assert (await stream.message())["result"]["content"][0]["text"] == '["bolt"]'
        async with initialized(running) as stream:
            await stream.ask("tools/list", {})
            assert "get_part" in str(await stream.message())
        refused = await rpc(running, "legacy", "tools/list", path="/sse/messages?surface=all")
        assert refused.status == 400
        assert "surface='all' is not known" in refused.text


@eras
@either_way
async def test_pinned_tools_stand_beside_the_search(era: Era, way: Way) -> None:
    app, mounted = parts_app(pinned=["GET /parts", "tag:vault", "own"])
    force(mounted, way)

    @mounted.server.tool
    def own() -> str:
        return "own"

    assert list(await tools(app, era=era)) == [*FOUR, "own", "list_parts"]
    assert list(await tools(app, era=era, headers=ADMIN)) == [
        *(*FOUR, "own", "list_parts", "read_vault")
    ]


def test_a_pinned_selector_that_matches_nothing_stops_the_start() -> None:
    app, _ = parts_app(pinned=["get_prt"])
    said = r"'get_prt', which matches no tool. Near.*'get_part'"
    with pytest.raises(InvalidSelector, match=said), TestClient(app):
        pass


@eras
@either_way
async def test_own_tools_are_found_and_called_too(era: Era, way: Way) -> None:
    app, mounted = parts_app()
    force(mounted, way)

    @mounted.server.tool(tags={"units"})
    def convert(inches: float) -> float:
        """Convert inches to millimetres."""
        return inches * 25.4

    reply = await call(app, "search_tools", {"query": "inches to millimetres"}, era=era)
    assert found(reply)[0] == "convert"
    answer = await call(app, "call_tool", through("convert", {"inches": 2}), era=era)
    assert answer.text_content == "50.8"
    tagged = await call(app, "search_tools", {"tag": "units"}, era=era)
    assert json.loads(tagged.text_content) == {"tag": "units", "tools": ["convert"]}


@eras
async def test_names_that_are_taken_are_given_with_a_prefix(era: Era) -> None:
    app = FastAPI()
    app.add_api_route("/call", lambda: "mine", operation_id="call_tool")
    mount_mcp(app, surface="search")
    assert list(await tools(app, era=era)) == [
        *("api_search_tools", "api_describe_tool", "api_call_tool")
    ]
    assert (await call(app, "call_tool", era=era)).text_content == '"mine"'
    reply = await call(app, "api_call_tool", through("call_tool"), era=era)
    assert reply.text_content == '"mine"'


@eras
async def test_arguments_that_clients_mirror_are_mirrored_for_them(era: Era) -> None:
    app = FastAPI()
    marked = Header(json_schema_extra={"x-mcp-header": "Region"})

    @app.get("/near")
    async def near(region: Annotated[str, marked]) -> str:
        return region

    mount_mcp(app, surface="search")
    reply = await call(app, "call_tool", through("near", {"region": "éu"}), era=era)
    assert reply.status == 200


async def test_header_and_body_that_disagree_are_refused_as_ever() -> None:
    app, _ = parts_app()
    params = {"name": "call_tool", "arguments": through("list_parts")}
    reply = await rpc(app, "modern", "tools/call", params, headers={"mcp-name": "x17"})
    assert (reply.status, reply.answer["error"]["code"]) == (400, -32020)


@eras
async def test_weak_matches_are_said_to_be_weak_and_never_nothing(era: Era) -> None:
    app, _ = parts_app()
    weak = await call(app, "search_tools", {"query": "book a flight to Zurich"}, era=era)
    assert json.loads(weak.text_content)["match"].startswith("weak")
    assert found(weak)
    sure = await call(app, "search_tools", {"query": "list the parts"}, era=era)
    assert "match" not in json.loads(sure.text_content)
    keyword = await call(app, "search_tools", {"query": "reconciliation"}, era=era)
    assert found(keyword)[0] == "x17"
    described = await call(app, "search_tools", {"query": "money"}, era=era)
    assert found(described)[0] == "x17"


def large_app(count: int, **options: Any) -> FastAPI:
    app = FastAPI()
    for number in range(count):
        app.add_api_route(
            f"/warehouse/{number}/report",
            lambda: 1,
            operation_id=f"get_warehouse_report_of_number_{number}",
            summary=f"Return the report of the warehouse with the number {number}, in whole",
            tags=[f"the area with the number {number % 60}"],
        )
    mount_mcp(app, **options)
    return app


@eras
async def test_auto_has_clients_search_from_sixty_tools_on(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mcp_mount")
    assert len(await tools(large_app(59, surface="auto"), era=era)) == 59
    async with started(large_app(60, surface="auto")) as app:
        assert list(await tools(app, era=era)) == ["search_tools", "describe_tool", "call_tool"]
        assert "60 tools: with surface='auto', clients search them." in caplog.text


@eras
async def test_answers_and_the_overview_are_short(era: Era) -> None:
    app = large_app(200, surface="search")
    listed = await tools(app, era=era)
    assert len(listed["search_tools"]["description"]) < 1_500
    assert "more" in listed["search_tools"]["description"]
    assert listed["call_tool"]["annotations"]["readOnlyHint"] is True
    reply = await call(app, "search_tools", {"query": "warehouse report"}, era=era)
    assert len(found(reply)) == 10
    assert len(reply.text_content.encode()) <= 800
    assert "structuredContent" not in reply.result


async def test_a_client_in_this_process_searches_too() -> None:
    _, mounted = parts_app()
    async with Client(mounted.server) as client:
        assert [tool.name for tool in await client.list_tools()] == FOUR
        answer = await client.call_tool("call_read_tool", through("list_parts"))
        assert answer.content[0].text == '["bolt"]'
        with pytest.raises(ToolError, match="may change something"):
            await client.call_tool("call_read_tool", through("x17", {"name": "bolt"}))


def test_a_surface_that_is_not_known_is_refused() -> None:
    with pytest.raises(MountError, match="surface= must be 'tools', 'search' or 'auto'"):
        mount_mcp(FastAPI(), surface="all")  # type: ignore[arg-type]


async def test_a_middleware_sees_the_real_call() -> None:
    app, _ = parts_app()

    @app.middleware("http")
    async def tell(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        seen.append((request.url.path, request.scope.get("mcp_mount.tool")))
        return response

    seen: list[tuple[str, object]] = []
    await call(app, "call_read_tool", through("list_parts"))
    assert seen == [("/parts", "list_parts"), ("/mcp", None)]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("search_tools", {"\ud800": 1}),
        ("search_tools", {"query": "\ud800"}),
        ("search_tools", {"tag": "a\ud800"}),
        ("describe_tool", {"name": "\ud800"}),
        ("call_tool", {"\ud800": 1}),
        ("call_tool", {"name": "\ud800"}),
        ("call_tool", {"name": "near", "arguments": {"region": "\ud800"}}),
        ("call_read_tool", {"name": "near", "arguments": {"region": "\ud800"}}),
    ],
)
async def test_half_a_character_is_an_error_and_no_line_in_the_log(
    tool: str, arguments: dict[str, Any], era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """X5: it left the app as an exception, or wrote a traceback for each request."""
    app = FastAPI()
    marked = Header(json_schema_extra={"x-mcp-header": "Region"})

    @app.get("/near")
    async def near(region: Annotated[str, marked]) -> str:
        return region

    mount_mcp(app, surface="search")
    headers, body = envelope(era, "tools/call", through(tool, arguments))
    reply = await send_raw(app, [json.dumps(body).encode()], headers)
    error = reply.answer.get("error")
    assert error is not None or reply.answer["result"]["isError"]
    assert error is None or error["code"] in {-32700, -32602, -32020}
    assert not [each for each in caplog.records if each.exc_info]


@pytest.mark.in_process
async def test_a_large_call_that_fastmcp_answers_is_rewritten_soon() -> None:
    """F1: 190,000 fractions took 51 ms in one step, most of it in Python's own reader."""
    app, _ = parts_app(surface="search", sessions=True)
    fractions = "[" + ",".join(f"0.{number:017}" for number in range(190_000)) + "]"
    params = {"name": "call_tool", "arguments": through("get_part", {"part_id": "@"})}
    async with started(app) as running:
        session = await opened(running)
        headers, body = envelope("legacy", "tools/call", params)
        content = json.dumps(body).replace('"@"', fractions).encode()
        async with measured_steps() as steps:
            reply = await send_raw(running, [content], {**headers, **session})
    assert "part_id" in str(reply.answer)
    assert max(steps) < HELD


@eras
@pytest.mark.parametrize("value", [b'"\xff"', b"1" * 5_000, b'"\x01"', b"[" * 2_000], ids=repr)
async def test_a_call_that_is_no_json_is_a_parse_error(value: bytes, era: Era) -> None:
    """Whoever sent one made a traceback in the server's log."""
    app, _ = parts_app(surface="search")
    headers, body = envelope(era, "tools/call", {"name": "call_tool", "arguments": {"name": "x17"}})
    content = json.dumps(body).encode().replace(b'"x17"', b'"x17", "arguments": {"a": %b}' % value)
    async with started(app) as running:
        reply = await send_raw(running, [content], headers)
    assert (reply.status, reply.answer["error"]["code"]) == (400, -32700)
