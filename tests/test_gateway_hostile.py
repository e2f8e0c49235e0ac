"""Other servers that send too much, too long, or what is no MCP: it costs nobody but themselves."""

import json
from textwrap import indent
from typing import Any

import anyio
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message

from mcp_mount import Limits, Remote, gateway_app
from mcp_mount.remotes.catalog import read_catalog
from mcp_mount.remotes.listing import Lists
from tests.lanes import scope_of
from tests.others import Raw, gateway, heard, program, raw, text, tool
from tests.starting import started
from tests.support import ERAS, Era, call, envelope, rpc, served, tools

pytestmark = pytest.mark.faults

eras = pytest.mark.parametrize("era", ERAS)

# A program that speaks a handshake version; `{answer}` answers the call of its one tool.
PROGRAM = """
import json, sys, threading
def send(message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
def result(content):
    return {{"content": [{{"type": "text", "text": content}}]}}
{begin}
for line in sys.stdin:
    message = json.loads(line)
    method, asked = message.get("method"), message.get("id")
    if method == "initialize":
        {greet}
        send({{"jsonrpc": "2.0", "id": asked, "result": {{"protocolVersion": "2025-06-18",
            "capabilities": {{"tools": {{}}}}, "serverInfo": {{"name": "x", "version": "1"}}}}}})
    elif method == "tools/list":
        listed = [{{"name": "tool", "inputSchema": {{"type": "object"}}}}]
        send({{"jsonrpc": "2.0", "id": asked, "result": {{"tools": listed}}}})
    elif method == "tools/call":
        {answer}
    elif method is None:
        answers += 1
    elif asked is not None:
        send({{"jsonrpc": "2.0", "id": asked, "error": {{"code": -32601, "message": "no"}}}})
"""


def written(*, begin: str = "answers = 0", greet: str = "pass", answer: str) -> str:
    deep = " " * 8
    return PROGRAM.format(
        begin=begin, greet=indent(greet, deep).lstrip(), answer=indent(answer, deep).lstrip()
    )


@pytest.mark.parametrize("modern", [True, False], ids=["modern", "legacy"])
@pytest.mark.parametrize("wrong", [{"type": "string"}, {}, None, "object"], ids=repr)
async def test_a_tool_that_is_not_of_mcp_costs_no_other(wrong: object, modern: bool) -> None:  # noqa: FBT001
    """Gateway: it is left out, with a line in the log; the list and the server stay."""
    listing = [tool("bad", inputSchema=wrong), tool("good"), {"name": 5}]
    with raw(listing, modern=modern, call=text("done")) as (_, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url)])) as app:
            await log.line("'raw' is up: tools: 1")
            assert {*await tools(app)} == {"raw_good"}
            assert (await call(app, "raw_good")).text_content == "done"
    told = [line for line in log.lines if "left out" in line]
    assert "The remote 'raw': the tool 'bad' is not valid MCP, and is left out." in told
    assert len(told) == 2


async def test_a_list_without_end_is_looked_at_from_its_beginning() -> None:
    """Gateway: thousands of wrong entries keep nobody waiting."""
    listing: list[Any] = [tool("first"), *([{}] * 20_000), tool("last")]
    with raw(listing) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            assert {*await tools(app)} == {"raw_first"}


async def test_a_resource_or_prompt_that_is_not_of_mcp_costs_no_other() -> None:
    """Gateway: as for tools."""
    lists: dict[str, Any] = {
        "resources/list": {"resources": [{"uri": 5}, {"uri": "data://a", "name": "a"}]},
        "resources/templates/list": {"resourceTemplates": [{}, 3]},
        "prompts/list": {"prompts": [{"name": None}, {"name": "good"}]},
    }
    with raw([tool()], **lists) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            listed = (await rpc(app, "modern", "resources/list")).result["resources"]
            assert [each["uri"] for each in listed] == ["data://raw/a"]
            prompts = (await rpc(app, "modern", "prompts/list")).result["prompts"]
            assert [each["name"] for each in prompts] == ["raw_good"]


async def test_prompts_have_only_so_many_arguments_together() -> None:
    """F1: FastMCP and the SDK list them in one step, 0.3 s for fifty of each of a thousand."""
    arguments = [{"name": f"a{number}"} for number in range(50)]
    long = [{"name": f"long{number}", "arguments": arguments} for number in range(50)]
    prompts: Any = {"prompts": [*long, {"name": "short"}]}
    with raw([tool()], **{"prompts/list": prompts}) as (_, url), heard() as log:
        async with gateway(Remote("raw", url=url)) as app:
            listed = (await rpc(app, "modern", "prompts/list")).result["prompts"]
            assert len(listed) == 2_000 // 50 + 1
            assert listed[-1]["name"] == "raw_short"
            await log.line("prompt 'long40' is left out")


async def test_a_program_that_asks_and_never_reads_gets_few_answers() -> None:
    """Gateway: what waits for it is bounded, whatever it asks for."""
    flood = """
for number in range(3000):
    send({'jsonrpc': '2.0', 'id': f'{number}' + 'x' * 1000, 'method': 'ping'})
"""
    answer = "send({'jsonrpc': '2.0', 'id': asked, 'result': result(str(answers))})"
    code = written(greet=flood, answer=answer)
    async with gateway(program("raw", code)) as app:
        answers = int((await call(app, "raw_tool")).text_content)
    assert 0 < answers < 1_000


async def test_a_message_that_is_too_large_ends_its_own_call_and_no_other() -> None:
    """Gateway: a program serves all callers, and stays when one of them asks for too much."""
    answer = """
size = message['params']['arguments'].get('size', 0)
if not size:
    waiting = asked
else:
    send({'jsonrpc': '2.0', 'id': asked, 'result': result('x' * size)})
    send({'result': result('y' * size), 'jsonrpc': '2.0', 'id': waiting + 1})
    send({'jsonrpc': '2.0', 'id': waiting, 'result': result('small')})
"""
    limits = Limits(max_bytes=1_000)
    said: list[str] = []
    async with gateway(program("raw", written(answer=answer)), limits=limits) as app:

        async def waits() -> None:
            said.append((await call(app, "raw_tool")).text_content)

        async with anyio.create_task_group() as callers:
            callers.start_soon(waits)
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(30):
                large = await call(app, "raw_tool", {"size": 2_000_000})
    assert large.text_content == "The result is larger than 1000 bytes (max_bytes)."
    assert said == ["small"]


async def test_a_large_event_of_a_handshake_server_arrives() -> None:
    """Gateway, C6: `max_bytes` bounds a result, and not the SDK's bound for one event."""
    server = Raw({"tools/list": {"tools": [tool()]}}, modern=False)

    def answer(params: dict[str, Any]) -> Response:
        result = text("x" * params["arguments"]["size"])
        body = json.dumps({"jsonrpc": "2.0", "id": server.requests[-1]["id"], "result": result})
        return Response(f"event: message\ndata: {body}\n\n", media_type="text/event-stream")

    server.answers["tools/call"] = answer
    limits = Limits(max_bytes=2_000_000)
    with served(server) as url:
        async with gateway(Remote("raw", url=f"{url}/mcp"), limits=limits) as app:
            fits = await call(app, "raw_tool", {"size": 1_500_000})
            assert len(fits.text_content) == 1_500_000
            for size in (2_500_000, 20_000_000):
                large = await call(app, "raw_tool", {"size": size})
                assert large.text_content == "The result is larger than 2000000 bytes (max_bytes)."


async def test_what_a_result_says_beside_its_content_counts() -> None:
    """Gateway, C6: nothing in a result is unbounded."""
    with raw([tool()], call=text("x", _meta={"big": "x" * 2_000})) as (_, url):
        async with gateway(Remote("raw", url=url), limits=Limits(max_bytes=1_000)) as app:
            large = await call(app, "raw_tool")
    assert large.text_content == "The result is larger than 1000 bytes (max_bytes)."


async def test_what_is_read_and_prompted_counts_too() -> None:
    """Gateway, C6: `max_bytes` bounds resources and prompts as it bounds calls."""
    large = "x" * 2_000
    contents = [{"uri": "data://a", "text": large}]
    messages = [{"role": "user", "content": {"type": "text", "text": large}}]
    answers: dict[str, Any] = {
        "resources/list": {"resources": [{"uri": "data://a", "name": "a"}]},
        "resources/read": {"contents": contents},
        "prompts/list": {"prompts": [{"name": "ask"}]},
        "prompts/get": {"messages": messages},
    }
    with raw([tool()], **answers) as (_, url):
        async with gateway(Remote("raw", url=url), limits=Limits(max_bytes=1_000)) as app:
            read = await rpc(
                app,
                "modern",
                "resources/read",
                {"uri": "data://raw/a"},
                headers=named("data://raw/a"),
            )
            asked = await rpc(app, "modern", "prompts/get", {"name": "raw_ask"})
    for reply in (read, asked):
        assert "The result is larger than 1000 bytes (max_bytes)." in reply.text
        assert large not in reply.text


def named(uri: str) -> dict[str, str]:
    return {"mcp-name": uri}


async def test_pages_are_bounded_together() -> None:
    """Gateway: a list does not grow without end, page by page."""
    asked = 0

    def page(params: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        tools = [tool(f"t{asked}{each}", description="x" * 400_000) for each in range(15)]
        return {"tools": tools, **({"nextCursor": "more"} if asked < 3 else {})}

    with raw([], list=page) as (_, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url)])):
            await log.line("'raw' is down: too large")
    assert asked == 3


async def test_a_page_of_a_list_is_smaller_than_a_result() -> None:
    """Promise F1: 20 MB of a list were parsed in a step of 60 ms, for 2,000 characters of it."""
    large = [tool(description="x" * 9_000_000)]
    with raw(large) as (_, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url)])):
            await log.line("'raw' is down: too large")


def test_schemas_are_read_up_to_a_bound_and_accept_anything_beyond_it() -> None:
    """Gateway: no list of tools keeps a thread for minutes."""

    def listed(name: str, size: int, count: int = 200) -> dict[str, Any]:
        parts = {"part": {"type": "string"}, "rest": {"description": "x" * size}}
        arguments = {f"p{number}": {"$ref": "#/$defs/part"} for number in range(count)}
        return tool(name, inputSchema={"type": "object", "properties": arguments, "$defs": parts})

    many = [listed(f"t{number}", 80_000) for number in range(20)]
    lists = Lists(tools=[listed("huge", 200_000), *many, listed("last", 10, 3)])
    read = read_catalog(lists, Remote("raw", url="https://raw.example/mcp"), "gateway").tools
    assert "p199" in read["t0"].schema["properties"]
    assert read["t19"].schema == {"type": "object"}
    assert read["huge"].schema == {"type": "object"}
    assert "p2" in read["last"].schema["properties"]


async def test_words_of_several_lines_are_kept_and_values_are_not_changed() -> None:
    """Gateway, P5: a value that a schema names is one that the server knows."""
    argument = {
        "type": "string",
        "description": "What stands\nbetween two \x1b[31mlines.",
        "enum": ["\n", "a\tb\nc"],
        "default": "\n",
    }
    schema = {"type": "object", "properties": {"separator": argument}}
    with raw([tool(inputSchema=schema)]) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            shown = (await tools(app))["raw_tool"]["inputSchema"]["properties"]["separator"]
    assert shown["description"] == "What stands\nbetween two lines."
    assert shown["enum"] == ["\n", "a\tb\nc"]
    assert shown["default"] == "\n"


async def test_names_within_a_schema_hide_nothing() -> None:
    """Gateway: no text of a schema is invisible, its deeper names included."""
    inner = {"type": "object", "properties": {"na\u202eme\U000e0041": {"type": "string"}}}
    schema = {"type": "object", "properties": {"part": inner}}
    with raw([tool(inputSchema=schema)]) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            shown = (await tools(app))["raw_tool"]["inputSchema"]
    assert "name" in json.dumps(shown, ensure_ascii=False)
    assert not {"\u202e", "\U000e0041"} & {*json.dumps(shown, ensure_ascii=False)}


@eras
@pytest.mark.parametrize("said", [[1, 2], "text", 5], ids=repr)
async def test_a_structure_that_is_no_object_becomes_one(era: Era, said: object) -> None:
    """Gateway, R1: the modern era allows any JSON; `{"result": …}` is what every era accepts."""
    with raw([tool()], call=text("said", structuredContent=said)) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            reply = await call(app, "raw_tool", era=era)
    assert not reply.is_error
    assert reply.result["structuredContent"] == {"result": said}
    assert reply.text_content == "said"


@pytest.mark.parametrize(
    "answer", [{}, {"content": [{"type": "weird"}]}, {"content": "text"}], ids=repr
)
async def test_an_answer_that_is_not_of_mcp_is_called_that(answer: dict[str, Any]) -> None:
    """Gateway: trying again would not help."""
    with raw([tool()], call=answer) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            reply = await call(app, "raw_tool")
    assert reply.is_error
    assert reply.text_content == (
        "The server 'raw' has answered with something that is not valid MCP."
    )


@eras
async def test_progress_that_is_no_number_breaks_no_message(era: Era) -> None:
    """Gateway: what is shown is finite, and grows; its text hides nothing."""
    server = Raw({"tools/list": {"tools": [tool()]}})
    steps: tuple[tuple[Any, Any], ...] = (
        (1, "1e999"),
        (2, "NaN"),
        ("1e999", 5),
        ("1e300", 5),
        (4, 5),
    )
    largest = "1.7976931348623157e308"
    steps += ((largest, 5), (largest, 5))

    def answer(params: dict[str, Any]) -> Response:
        token = params["_meta"]["progressToken"]
        events = [
            '{"jsonrpc":"2.0","method":"notifications/progress","params":'
            f'{{"progressToken":{json.dumps(token)},"progress":{progress},"total":{total},'
            r'"message":"\u001b[31mdone\u202e \u034f"}}'
            for progress, total in steps
        ]
        result = {"resultType": "complete", **text("done")}
        last = {"jsonrpc": "2.0", "id": server.requests[-1]["id"], "result": result}
        body = "".join(f"data: {event}\n\n" for event in (*events, json.dumps(last)))
        return Response(body, media_type="text/event-stream")

    server.answers["tools/call"] = answer
    with served(server) as url:
        async with gateway(Remote("raw", url=f"{url}/mcp")) as app:
            reply = await call(app, "raw_tool", era=era, token="mine")
    shown = [each["params"] for each in reply.messages[:-1]]
    counted = [each["progress"] for each in shown]
    assert len(counted) == 5
    assert counted == sorted({*counted})
    assert all(each.get("total", 0) is not None for each in shown)
    assert {each["message"] for each in shown} == {"done "}


async def test_a_client_that_reads_no_more_gives_its_place_back() -> None:
    """Gateway, S3: a call that is over does not wait for whom it told of its progress."""
    limits = Limits(max_concurrency=1, timeout=0.5)
    headers, body = envelope(
        "modern",
        "tools/call",
        {"name": "example_count_slowly", "arguments": {"to": 3, "pause": 0}},
        token="p",
    )
    is_stuck = anyio.Event()

    async def receive() -> Message:
        if not is_received.is_set():
            is_received.set()
            return {"type": "http.request", "body": json.dumps(body).encode()}
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            is_stuck.set()
            await anyio.sleep_forever()

    async def serves(app: ASGIApp) -> None:
        await app(scope_of(pairs), receive, send)

    is_received = anyio.Event()
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    async with (
        gateway(program("example"), limits=limits) as app,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(serves, app)
        with anyio.fail_after(30):
            await is_stuck.wait()
        # A call waits for a place for a second.
        second = await call(app, "example_hello_world")
        tasks.cancel_scope.cancel()
    assert second.text_content == "Hello from the example MCP server!"


async def test_arguments_of_a_later_page_reach_their_headers() -> None:
    """Gateway: ``x-mcp-header``, wherever in the list the tool stands."""
    region = {"type": "string", "x-mcp-header": "Region"}
    schema = {"type": "object", "properties": {"region": region}}

    def page(params: dict[str, Any]) -> dict[str, Any]:
        if "cursor" in params:
            return {"tools": [tool("later", inputSchema=schema)]}
        return {"tools": [tool("first")], "nextCursor": "2"}

    with raw([], list=page, call=text("done")) as (server, url):
        async with gateway(Remote("raw", url=url)) as app:
            assert not (await call(app, "raw_later", {"region": "eu"})).is_error
    assert [each["mcp-param-region"] for each in server.headers if "mcp-param-region" in each] == [
        "eu"
    ]
