"""What another server sends takes little of the event loop and memory, and leaves no process."""

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp

from mcp_mount import Limits, Remote, gateway_app
from mcp_mount.remotes.catalog import read_catalog
from mcp_mount.remotes.listing import Lists
from mcp_mount.remotes.reading import read_within
from tests.commands import COMMANDS
from tests.others import free_port, gateway, heard, program, raw, text, tool
from tests.starting import started
from tests.steps import measured_steps
from tests.support import ERAS, Era, call, rpc, tools
from tests.test_gateway_hostile import written

pytestmark = pytest.mark.faults

eras = pytest.mark.parametrize("era", ERAS)

LONGEST_TURN = 0.2
"""Seconds of the processor: four times what is promised, for machines that are slow and busy."""


@asynccontextmanager
async def fair() -> AsyncIterator[None]:
    """Check that nothing holds the event loop while this lasts."""
    async with measured_steps() as steps:
        yield
    assert max(steps) < LONGEST_TURN


async def test_a_template_of_forty_segments_is_read_at_once() -> None:
    """Promise F1: an address template takes time in proportion to its length."""
    templates = [
        {"uriTemplate": "x://" + "/".join(["segment"] * 40) + "/{", "name": "bad"},
        {"uriTemplate": "x://" + "/".join(["a{b}c"] * 40) + "/{rest*}{?q}", "name": "good"},
    ]
    read = {"contents": [{"uri": "x://a", "text": "here"}], "ttlMs": 0, "cacheScope": "private"}
    answers: dict[str, Any] = {
        "resources/templates/list": {"resourceTemplates": templates},
        "resources/read": read,
    }
    with raw([tool()], **answers) as (server, url):
        async with fair(), gateway(Remote("raw", url=url)) as app:
            listed = (await rpc(app, "modern", "resources/templates/list")).result
            assert [each["name"] for each in listed["resourceTemplates"]] == ["good"]
            uri = "x://raw/" + "/".join(["a7c"] * 40) + "/to/the/end?q=1"
            found = await rpc(
                app, "modern", "resources/read", {"uri": uri}, headers={"mcp-name": uri}
            )
            assert found.result["contents"][0]["text"] == "here"
            other = uri.replace("a7c", "ac")
            asked = await rpc(
                app, "modern", "resources/read", {"uri": other}, headers={"mcp-name": other}
            )
            # What no template names is the server's to know.
            assert asked.result["contents"][0]["text"] == "here"
    read_here = [each["params"]["uri"] for each in server.requests if "uri" in each["params"]]
    assert read_here[-2:] == [each.replace("x://raw/", "x://") for each in (uri, other)]


@pytest.mark.parametrize("kind", ["json", "events"])
@pytest.mark.parametrize(
    "result",
    [
        {"content": [{"type": "text", "text": "a"}] * 300_000},
        {"content": [{"type": "text", "text": "a"}] * 2_000},
        {"content": [], "structuredContent": {"rows": [[]] * 3_000_000}},
        {"content": [], "structuredContent": {'"\\': [{}] * 200_000}},
        {"content": [], "structuredContent": {"rows": [{"a": {"a": {"a": 1}}}] * 20_000}},
    ],
    ids=["blocks", "some blocks", "lists", "objects", "deep objects"],
)
async def test_a_result_of_many_parts_is_refused_before_it_is_read(
    result: dict[str, Any], kind: str
) -> None:
    """Promise F1: bytes alone do not bound what it costs to read them."""
    body = json.dumps(
        {"jsonrpc": "2.0", "id": "ID", "result": {"resultType": "complete", **result}}
    )

    def answer(params: dict[str, Any]) -> Response:
        said = body.replace('"ID"', str(server.requests[-1]["id"]), 1)
        if kind == "json":
            return Response(said, media_type="application/json")
        return Response(f"data: {said}\n\n", media_type="text/event-stream")

    with raw([tool()], call=answer) as (server, url):
        async with gateway(Remote("raw", url=url)) as app:
            async with fair():
                reply = await call(app, "raw_tool")
            assert reply.text_content == "The result is larger than 10485760 bytes (max_bytes)."
            server.answers["tools/call"] = text("x" * 1_000_000)
            assert len((await call(app, "raw_tool")).text_content) == 1_000_000


@pytest.mark.parametrize(
    "result",
    [
        {"content": [], "_meta": {"a": [[]] * 40_000}},
        {"content": [{**text("a")["content"][0], "_meta": {"a": [[]] * 40}}] * 900},
    ],
    ids=["metadata", "metadata of blocks"],
)
async def test_a_result_of_much_beside_its_structure_is_refused(result: dict[str, Any]) -> None:
    """Promise F1: models are built of it, and written, value by value."""
    with raw([tool()], call=result) as (server, url):
        async with gateway(Remote("raw", url=url)) as app:
            async with fair():
                reply = await call(app, "raw_tool")
            assert reply.text_content == "The result is larger than 10485760 bytes (max_bytes)."
            server.answers["tools/call"] = {**text("done"), "_meta": {"a": [1] * 10_000}}
            reply = await call(app, "raw_tool")
            assert reply.text_content == "done"
            assert len(reply.result["_meta"]["a"]) == 10_000


async def test_an_address_of_white_space_is_read_at_once() -> None:
    """Promise F1: and one that is hidden in it is still nobody else's."""
    links = ["data://" + "a " * 2_000_000, "https:// w\ti\u00a0ki/page", "https://x.example/a b"]
    blocks = [{"type": "resource_link", "name": "x", "uri": each} for each in links]
    with raw([tool()], call={"content": blocks}) as (_, url):
        async with gateway(Remote("raw", url=url)) as app, fair():
            reply = await call(app, "raw_tool")
    long, hidden, web = (each["uri"] for each in reply.result["content"])
    # Nothing that is so long is read here.
    assert long == "data://raw/" + "a" * 1_997
    assert hidden == "https://raw/wi\u00a0ki/page"
    assert web == "https://x.example/a b"


async def test_a_stream_of_many_empty_events_ends_and_holds_nobody_up() -> None:
    """Promise F1: lines are bounded too, and passed on a few at a time."""
    flood = Response("data: {}\n\n" * 400_000, media_type="text/event-stream")
    with raw([tool()], call=flood) as (_, url):
        async with gateway(Remote("raw", url=url)) as app, fair():
            reply = await call(app, "raw_tool")
    assert reply.is_error


class Counted(httpx2.AsyncByteStream):
    """The chunks of a response, counted. A class because the HTTP library asks for one."""

    def __init__(self, stream: Any) -> None:
        self.count = 0
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self.count += 1
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@pytest.mark.parametrize(
    ("kind", "byte"), [("application/json", b" "), ("text/event-stream", b":")]
)
async def test_chunks_of_one_byte_hold_nobody_up(kind: str, byte: bytes) -> None:
    """Promise F1: what comes in one packet is ten thousand of them."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n" % kind.encode()
    dribbles = b"1\r\n%s\r\n" % byte * 10_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head + b"transfer-encoding: chunked\r\n\r\n")
            while True:
                writer.write(dribbles)
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, httpx2.AsyncHTTPTransport() as transport:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        request = httpx2.Request("POST", url)
        response = await transport.handle_async_request(request)
        response.stream = chunks = Counted(response.stream)
        response = read_within(30_000_000, request, response)
        async with fair():
            with anyio.move_on_after(2):
                await response.aread()
        await response.aclose()
    # A tenth of a core, and not all of it.
    assert 10_000 < chunks.count < 50_000


@pytest.mark.parametrize(
    "kind",
    [
        "text/event-stream; charset=punycode",
        "Text/Event-Stream;charset=utf-7",
        'text/event-stream;x;"' + ";" * 90_000,
    ],
)
async def test_a_server_does_not_choose_how_its_events_are_decoded(kind: str) -> None:
    """F1: some decoders take a square of what they read; so did the parameters of the header."""
    event = 'data: {"jsonrpc":"2.0","id":1,"result":{"a":"ä"}}\n\n'
    stream = httpx2.ByteStream(event.encode())
    response = httpx2.Response(200, headers={"content-type": kind}, stream=stream)
    request = httpx2.Request("POST", "http://other")
    begun = time.thread_time()
    response = read_within(30_000_000, request, response)
    assert "".join([each async for each in response.aiter_text()]) == event
    assert response.headers["content-type"] == "text/event-stream"
    assert time.thread_time() - begun < 0.1


async def test_a_list_of_many_parts_is_refused_before_it_is_read() -> None:
    """Promise F1, F2: forty megabytes of small values would take two gigabytes of memory."""
    listing = [tool(f"t{number}", _meta={"x": [{}] * 1_000}) for number in range(1_000)]
    with raw(listing) as (_, url), heard() as log:
        async with fair(), started(gateway_app([Remote("raw", url=url)])):
            await log.line("'raw' is down: too large")


async def test_pages_of_many_parts_are_bounded_together() -> None:
    """Promise F1, F2: each of them can be read, but 75 took half a gigabyte."""
    junk = tool("t", x=[[]] * 49_000)
    asked = 0

    def page(params: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"tools": [junk], "nextCursor": "more"}

    with raw([], list=page) as (_, url), heard() as log:
        async with fair(), started(gateway_app([Remote("raw", url=url)])):
            await log.line("'raw' is down: too large")
    assert asked < 20


async def test_lists_that_do_not_change_are_compared_and_not_kept() -> None:
    """Promise F1: also where the members of an entry are in another order each time."""
    junk: list[Any] = [[]] * 20_000
    entries = [tool("one", x=junk), tool("two", x=junk)]
    asked = 0

    def listing(_: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"tools": [dict([*each.items()][:: -1 if asked % 2 else 1]) for each in entries]}

    with raw([], list=listing) as (_, url), heard() as log:
        async with gateway(Remote("raw", url=url, refresh=0.1)), fair():
            while asked < 5:
                await anyio.lowlevel.checkpoint()
        assert not [line for line in log.lines if "something else" in line]
    read = read_catalog(
        Lists(tools=entries, failed=("prompts",)), Remote("raw", url=url), "gateway"
    )
    assert [*read.tools] == ["one", "two"]
    assert (read.lists.tools, read.lists.failed) == ((), ("prompts",))


async def test_a_thousand_of_everything_is_read_beside_other_work() -> None:
    """Promise F1: reading a list takes a while, and nobody waits for it."""
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(8)}}
    numbers = range(1_000)
    lists: dict[str, Any] = {
        "resources/list": {"resources": [{"uri": f"x://{n}", "name": "x"} for n in numbers]},
        "resources/templates/list": {
            "resourceTemplates": [{"uriTemplate": f"x://{n}/{{a}}", "name": "x"} for n in numbers]
        },
        "prompts/list": {"prompts": [{"name": f"p{n}"} for n in numbers]},
    }
    listing = [tool(f"t{n}", inputSchema=schema) for n in numbers]
    with raw(listing, **lists) as (_, url):
        async with fair(), gateway(Remote("raw", url=url)):
            pass


async def test_patterns_are_not_compiled() -> None:
    """Promise F1: a short pattern can take a second, in which no other thread runs."""
    bad = {"type": "string", "pattern": "((a{100}){100}){100}", "description": "Bad."}
    schema = {
        "type": "object",
        "properties": {
            "pattern": bad,
            "patternProperties": {"type": "object", "patternProperties": {"(b{999}){999}": bad}},
        },
        "additionalProperties": False,
    }
    listing = [tool(f"t{n}", inputSchema=schema, outputSchema=schema) for n in range(60)]
    with raw(listing) as (_, url):
        async with gateway(Remote("raw", url=url)) as app:
            shown = (await tools(app))["raw_t59"]["inputSchema"]
    assert {*shown["properties"]} == {"pattern", "patternProperties"}
    assert shown["properties"]["pattern"] == {"type": "string", "description": "Bad."}
    assert "{999}" not in json.dumps(shown)


@eras
async def test_resources_and_prompts_are_bounded_like_results(era: Era) -> None:
    """Gateway, C6: `Limits.max_bytes`."""
    message = {"role": "user", "content": {"type": "text", "text": "x" * 20_000}}
    answers: dict[str, Any] = {
        "resources/list": {"resources": [{"uri": "data://a", "name": "a"}]},
        "resources/read": {
            "contents": [{"uri": "data://a", "text": "x" * 20_000}],
            "ttlMs": 0,
            "cacheScope": "private",
        },
        "prompts/list": {"prompts": [{"name": "p"}]},
        "prompts/get": {"messages": [message]},
    }
    with raw([], **answers) as (_, url):
        async with gateway(Remote("raw", url=url), limits=Limits(max_bytes=10_000)) as app:
            headers = {"mcp-name": "data://raw/a"} if era == "modern" else {}
            read = await rpc(app, era, "resources/read", {"uri": "data://raw/a"}, headers=headers)
            shown = await rpc(app, era, "prompts/get", {"name": "raw_p", "arguments": {}})
    for reply in (read, shown):
        assert "larger than 10000 bytes" in reply.answer["error"]["message"]


@pytest.mark.parametrize("where", ["stdout", "stderr"])
@pytest.mark.parametrize("what", ["\\n", "x\\n", "{}\\n", "x" * 1_000])
async def test_a_program_that_writes_without_end_holds_nobody_up(where: str, what: str) -> None:
    """Promise F1: it is read slowly; its own messages still arrive."""
    flood = f"""
import time
answers = 0
lock = threading.Lock()
def flood():
    while True:
        with lock:
            sys.{where}.write('{what}' * 2_000 + '\\n')
            sys.{where}.flush()
        time.sleep(0.001)
threading.Thread(target=flood, daemon=True).start()
plain = send
def send(message):
    with lock:
        plain(message)
"""
    answer = "send({'jsonrpc': '2.0', 'id': asked, 'result': result('done')})"
    async with gateway(program("raw", written(begin=flood, answer=answer))) as app, fair():
        assert (await call(app, "raw_tool")).text_content == "done"


async def test_a_program_that_dies_again_and_again_is_back_soon() -> None:
    """Gateway: the pause grows to eight seconds, and no further when it has answered.

    One that each caller has for himself is not lent again when it has died with one.
    """
    code = written(begin="import os; answers = 0", answer="os._exit(3)")
    with heard() as log:
        async with started(gateway_app([program("mortal", code, session="shared")])) as app:
            await log.line("'mortal' is up")
            for times in range(2, 9):
                assert (await call(app, "mortal_tool")).is_error
                begun = time.monotonic()
                await log.line("'mortal' is up", times=times)
                took = time.monotonic() - begun
    assert took < 10


async def test_calls_of_a_program_that_is_down_start_none(tmp_path: Path) -> None:
    """Gateway, C1: what still runs may be that of others; and who calls on would fill the host."""
    file = tmp_path / "started"
    begin = f"""
import os, signal, time
answers = 0
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open({str(file)!r}, "a") as log:
    log.write(".")
"""
    code = written(begin=begin, answer="os.close(1); time.sleep(600)")
    replies = []

    async def ask(app: ASGIApp) -> None:
        replies.append(await call(app, "mortal_tool"))

    async with gateway(program("mortal", code)) as app:
        await ask(app)
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask, app)
    assert all(each.is_error for each in replies)
    assert len(file.read_text()) < 6


def test_a_program_ends_with_a_gateway_that_is_killed(tmp_path: Path) -> None:
    """Gateway: also one that ignores its input's end, and what it has started."""
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('process', os.getpid(), child.pid, file=sys.stderr, flush=True)\n"
        "time.sleep(600)\n"
    )
    file = tmp_path / "servers.json"
    servers = {"stubborn": {"command": sys.executable, "args": ["-c", code]}}
    file.write_text(json.dumps({"mcpServers": servers}), "utf-8")
    with subprocess.Popen(
        [str(COMMANDS / "mcp-mount"), "gateway", str(file), "--port", str(free_port())],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "stubborn: process" in line)
        family = [os.pidfd_open(int(number)) for number in line.split()[-2:]]
        process.kill()
    for member in family:
        ended, _, _ = select.select([member], [], [], 10)
        assert ended, "it still runs"
        os.close(member)


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("ä\n" * 2_000_000, "ä\n" * 2_000_000),
        ("\U0001f600\ud800" * 300_000, "\U0001f600\ufffd" * 300_000),
    ],
    ids=["lines", "half characters"],
)
async def test_a_large_text_is_read_beside_other_work(kind: str, said: str, read: str) -> None:
    """Promise F1: the SDK would parse it in one go, and write all of it for a log nobody reads."""
    result = json.dumps({"resultType": "complete", **text(said)}, ensure_ascii="\n" not in said)

    def answer(params: dict[str, Any]) -> Response:
        del params
        number = server.requests[-1]["id"]
        body = f'{{"jsonrpc": "2.0", "id": {number}, "result": {result}}}'
        is_stream = kind == "text/event-stream"
        return Response(f"data: {body}\n\n" if is_stream else body, media_type=kind)

    with raw([tool()], call=answer) as (server, url):
        async with gateway(Remote("raw", url=url)) as app, fair():
            reply = await call(app, "raw_tool")
    assert not reply.is_error
    assert reply.text_content == read


async def test_a_large_error_keeps_its_code() -> None:
    """Promise F1: and of its text what anybody would read."""
    error = {"code": -32099, "message": "No. " + "x" * 3_000_000, "data": "y" * 1_000_000}
    with raw([tool()], call=error) as (_, url):
        async with gateway(Remote("raw", url=url)) as app, fair():
            answer = (await call(app, "raw_tool")).answer
    assert answer["error"]["code"] == -32099
    assert answer["error"]["message"] == "No. …"
