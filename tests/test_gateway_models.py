"""What the SDK makes models of is small: for each value that is wrong it writes several errors."""

import time
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from mcp_mount import Remote, gateway_app
from mcp_mount.remotes.catalog import Catalog, read_catalog
from mcp_mount.remotes.entries import VIA_KEY
from mcp_mount.remotes.listing import Lists, _Counts, _Entries
from mcp_mount.remotes.outgoing import OutgoingRequest
from mcp_mount.remotes.results import check_result
from mcp_mount.remotes.schemas import publish_output
from mcp_mount.remotes.session import Session
from tests.others import gateway, heard, raw, tool
from tests.starting import started
from tests.support import MODERN, call, rpc
from tests.test_gateway_fair import fair

pytestmark = pytest.mark.faults

WRONG: list[dict[str, Any]] = [{}] * 40_000


def asks(*content: Any, key: str = "a", **more: Any) -> dict[str, Any]:
    params = {"messages": [{"role": "user", "content": [*content]}], "maxTokens": 1, **more}
    request = {"method": "sampling/createMessage", "params": params}
    return {"resultType": "input_required", "inputRequests": {key: request}, "requestState": "x"}


def annotated(*audience: Any) -> dict[str, Any]:
    return {"type": "text", "text": "", "annotations": {"audience": [*audience]}}


@pytest.mark.parametrize(
    "answer",
    [
        asks(*WRONG),
        asks({"type": "tool_result", "toolUseId": "a", "content": WRONG}),
        asks(*WRONG, key="inputSchema"),
    ],
    ids=["question", "nested", "named"],
)
async def test_an_answer_full_of_errors_takes_no_time(answer: dict[str, Any]) -> None:
    """Promise F1: what is no question, and no block, is refused before models are made of it."""
    with raw([tool()], call=answer) as (_, url):
        async with gateway(Remote("raw", url=url)) as app, fair():
            result = await call(app, "raw_tool", {})
    assert result.is_error


@pytest.mark.parametrize(
    "answer",
    [
        {"completion": {"values": ["x"] * 190_000}},
        {"completion": {"values": [None] * 190_000}},
        {"completion": {"values": [], "inputSchema": [None] * 190_000}},
    ],
    ids=["texts", "wrong", "named"],
)
def test_a_completion_of_too_many_values_is_not_gone_through(answer: dict[str, Any]) -> None:
    """Promise F1: a hundred are allowed; all of them were counted, which took 50 ms and more."""
    times = []
    for _ in range(4):
        begun = time.thread_time()
        with pytest.raises(MCPError, match="too much"):
            check_result(answer, "completion/complete", 1)
        times.append(time.thread_time() - begun)
    assert min(times) < 0.01


async def test_a_form_is_looked_at_in_proportion_to_it() -> None:
    """Promise F1: also where the titles in it hold each other, or its characters many more."""
    field: dict[str, Any] = {"title": "aB" * 6_000}
    for _ in range(90):
        field = {"title": field}
    other = {"type": "string", "description": "\ufdfa" * 3_200}
    forms = [{"type": "object", "properties": {"a": each}} for each in [field, other] * 5]
    questions = {
        f"q{number}": {
            "method": "elicitation/create",
            "params": {"mode": "form", "message": "?", "requestedSchema": form},
        }
        for number, form in enumerate(forms)
    }
    answer = {"resultType": "input_required", "inputRequests": questions, "requestState": "x"}
    meta: dict[str, Any] = {
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}
    }
    with raw([tool()], call=answer) as (_, url):
        async with gateway(Remote("raw", url=url)) as app, fair():
            result = await call(app, "raw_tool", {}, meta=meta)
    assert result.result["inputRequests"].keys() == questions.keys()


async def test_blocks_are_for_users_and_models() -> None:
    """Promise F1: the SDK tries each of more than these several times."""
    block = annotated("user", "assistant")
    answers = iter([{"content": [block]}, {"content": [annotated("user", "assistant", "user")]}])
    with raw([tool()], call=lambda _: next(answers)) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            result = await call(app, "raw_tool", {})
            refused = await call(app, "raw_tool", {})
    assert result.result["content"] == [block]
    assert refused.is_error


@pytest.mark.parametrize("modern", [True, False])
async def test_what_a_server_says_of_itself_is_small(modern: bool) -> None:  # noqa: FBT001
    """Each session keeps it, and there may be hundreds of them."""
    capabilities: dict[str, Any] = {"tools": {}}
    said: dict[str, Any] = {"capabilities": capabilities, "instructions": "x" * 1_000_000}
    if modern:
        said |= {"supportedVersions": [MODERN]}
    else:
        server = {"name": "raw", "version": "1"}
        said |= {"protocolVersion": "2025-06-18", "serverInfo": server}
    answers: dict[str, Any] = {"discover" if modern else "initialize": said}
    with raw([tool()], modern=modern, **answers) as (_, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url)])):
            await log.line("is down")


def test_a_schema_of_many_alternatives_is_read_in_proportion_to_them() -> None:
    """Gateway: the other servers' lists wait meanwhile."""
    options = [{"const": f"option {number}"} for number in range(1_500)]
    begun = time.thread_time()
    published = publish_output({"type": "object", "properties": {"a": {"anyOf": options}}})
    assert time.thread_time() - begun < 0.3
    assert published is not None
    assert published["properties"]["a"]["anyOf"] == options


async def test_many_templates_are_compared_in_turns() -> None:
    """Promise F1: an address may be compared with a thousand templates, of fifty segments each."""
    segments = "/".join(f"{{a{number}}}" for number in range(48))
    templates = [
        {"name": "t", "uriTemplate": f"x://{segments}/{number}"} for number in range(1_000)
    ]
    deep = {"name": "deep", "uriTemplate": "y://" + "/".join("{a}" for _ in range(300))}
    listed = {"resourceTemplates": [deep, *templates]}
    answers: dict[str, Any] = {
        "resources/templates/list": listed,
        "resources/read": {"contents": []},
    }
    uri = "x://raw/" + "/".join(["a"] * 48) + "/none"
    with raw([], **answers) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            reply = await rpc(app, "modern", "resources/templates/list", {})
            assert len(reply.result["resourceTemplates"]) == 999
            async with fair():
                await rpc(app, "modern", "resources/read", {"uri": uri})


async def test_a_server_that_changes_costs_the_others_nothing() -> None:
    """Promise F1: what they offer is made ready once; thousands of prompts take a while."""
    with raw([tool()]) as (changing, url), raw([tool()]) as (_, steady), heard() as log:
        remotes = [Remote("a", url=url, refresh=0.1), Remote("b", url=steady)]
        app = gateway_app(remotes)
        async with started(app):
            await log.line("'a' is up")
            await log.line("'b' is up")
            before = await app.state.mcp.server.get_tool("b_tool")
            changing.answers["tools/list"] = {"tools": [tool("new")]}
            await log.line("offers something else")
            assert await app.state.mcp.server.get_tool("a_new") is not None
            assert await app.state.mcp.server.get_tool("b_tool") is before


def test_what_an_entry_of_a_list_says_is_bounded() -> None:
    """Promise F1: a model of it is made in one step, and its name is looked at in one."""
    long = [tool("t" * 1_001), tool("a", icons=WRONG), tool("b", execution=WRONG)]
    resource = {"name": "r", "uri": "x://a", "annotations": {"audience": ["user"] * 500}}
    begun = time.thread_time()
    lists = Lists(tools=[*long, tool("c", annotations=WRONG)], resources=[resource])
    catalog = read_catalog(lists, Remote("raw", url="https://raw.example"), "gateway")
    assert time.thread_time() - begun < 0.3
    assert [*catalog.tools] == ["a"]
    ((_, fields),) = catalog.resources
    assert fields["annotations"].audience == ["user"]


def read(*tools: dict[str, Any]) -> Catalog:
    return read_catalog(Lists(tools=tools), Remote("raw", url="https://raw.example"), "gateway")


def test_a_large_entry_of_a_list_is_not_written_whole() -> None:
    """Promise F1: it was in one step, and nothing else ran meanwhile, though it is in a thread."""
    large = tool(more=[number + 1.2345678901234567e-05 for number in range(450_000)])
    entries = _Entries()
    begun = time.thread_time()
    entries.add([large], _Counts())
    assert time.thread_time() - begun < 0.2
    assert entries.taken == [tool()]


def test_a_long_text_of_a_list_is_not_written_whole() -> None:
    """Promise F1: 20 MB with one wide character were a step of 150 ms, for what is cut anyway."""
    large = tool(description="x" * 20_000_000 + "\U0001f600")
    entries = _Entries()
    begun = time.thread_time()
    entries.add([large, tool("other")], _Counts())
    assert time.thread_time() - begun < 0.05
    assert [each["name"] for each in entries.taken] == ["tool", "other"]
    assert entries.size < 20_000


def test_a_schema_that_is_too_long_is_not_gone_through_for_headers() -> None:
    """The SDK takes time and memory for each name, as often as there are names around it."""
    schema: dict[str, Any] = {"properties": {f"a{number}": {} for number in range(40_000)}}
    for _ in range(450):
        schema = {"properties": {"a": schema}}
    begun = time.thread_time()
    catalog = read(tool(inputSchema={"type": "object", **schema}))
    assert time.thread_time() - begun < 0.15
    assert catalog.tools["tool"].schema == {"type": "object"}


def test_the_schemas_of_a_server_are_bounded_together() -> None:
    """Promise F1: a list of tools is written in one step."""
    schema = {"type": "object", "properties": {"a": {"enum": ["x" * 40_000]}}}
    catalog = read(*(tool(f"t{number}", inputSchema=schema) for number in range(200)))
    assert len(catalog.tools) == 200
    assert sum("properties" in each.schema for each in catalog.tools.values()) == 99


def test_what_is_no_gateway_is_not_passed_on_as_one() -> None:
    odd: list[Any] = []
    for _ in range(5_000):
        odd = [odd]
    catalog = read(tool(_meta={VIA_KEY: [odd, "other"]}))
    assert catalog.tools["tool"].via == ("gateway", "other")


async def test_questions_that_are_taken_back_leave_room_for_others() -> None:
    """Gateway: a hundred wait at the most, however many a session has had."""

    async def never(*_: Any) -> ErrorData:
        await anyio.sleep_forever()
        raise AssertionError

    to_session, read = anyio.create_memory_object_stream[SessionMessage | Exception]()
    write, from_session = anyio.create_memory_object_stream[SessionMessage]()
    asks = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}
    with to_session, from_session:
        async with Session(read, write, max_blocks=1, elicitation_callback=never):
            with anyio.fail_after(20):
                for number in range(150):
                    question = JSONRPCRequest(
                        jsonrpc="2.0", id=number, method="elicitation/create", params=asks
                    )
                    taken_back = JSONRPCNotification(
                        jsonrpc="2.0",
                        method="notifications/cancelled",
                        params={"requestId": number},
                    )
                    await to_session.send(SessionMessage(question))
                    await to_session.send(SessionMessage(taken_back))
                ping = JSONRPCRequest(jsonrpc="2.0", id="last", method="ping")
                await to_session.send(SessionMessage(ping))
                answer = (await from_session.receive()).message
    assert isinstance(answer, JSONRPCResponse)
    assert answer.id == "last"


async def test_a_question_keeps_its_time_while_another_is_answered() -> None:
    """Gateway: nor does progress shorten what a user has."""
    request = OutgoingRequest()
    with request.limited(5):
        with request.waiting_for_user():
            with request.waiting_for_user():
                pass
            request.extend()
            assert request.scope.deadline == request.latest
        assert request.scope.deadline < request.latest


async def test_a_user_is_asked_no_longer_than_a_call_can_last() -> None:
    request = OutgoingRequest()
    with request.limited(0.01):
        pass
    with pytest.raises(TimeoutError), request.waiting_for_user():
        await anyio.sleep_forever()
