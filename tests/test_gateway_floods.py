"""Other servers that say more than anybody asked for: it is cut before it costs anything."""

import json
import logging
import threading
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from mcp_types import LOG_LEVEL_META_KEY, JSONRPCRequest
from starlette.requests import Request
from starlette.responses import Response

from mcp_mount import Limits, Remote, gateway_app
from mcp_mount.openapi.sizes import fits
from mcp_mount.remotes.bounds import MAX_UNASKED, Allowance, Pace
from mcp_mount.remotes.catalog import read_catalog
from mcp_mount.remotes.events import Events
from mcp_mount.remotes.hearing import hear_changes
from mcp_mount.remotes.http import HTTPConnection
from mcp_mount.remotes.listing import Lists
from mcp_mount.remotes.text import clean_json, clean_text
from tests.foreign import HELD, Heartbeat
from tests.others import Chunks, Raw, gateway, heard, program, raw, text, tool
from tests.starting import started
from tests.support import call, rpc, served

pytestmark = pytest.mark.faults

HIDDEN = "\x7f" * 8_000_000
EVENTS = "text/event-stream"


def events(*messages: dict[str, Any]) -> Response:
    body = "".join(f"data: {json.dumps(each, ensure_ascii=False)}\n\n" for each in messages)
    return Response(body, media_type=EVENTS)


class Loud(Raw):
    """A server whose tool says something before it answers, in its own era."""

    def __init__(self, *said: dict[str, Any], modern: bool = True) -> None:
        super().__init__({"tools/list": {"tools": [tool()]}}, modern=modern)
        self._said = said
        self.answers["tools/call"] = self._answer

    def _answer(self, _: dict[str, Any]) -> Response:
        result = {"resultType": "complete", **text("done")}
        last = {"jsonrpc": "2.0", "id": self.requests[-1]["id"], "result": result}
        return events(*({"jsonrpc": "2.0", **each} for each in self._said), last)


async def test_what_cannot_be_seen_costs_no_more_than_it_is_long() -> None:
    """Gateway, S3: a line of a log, a form and completions are cut before they are cleaned."""
    line = {"method": "notifications/message", "params": {"level": "info", "data": HIDDEN}}
    form = {"type": "object", "properties": {"a": {"type": "string", "description": HIDDEN}}}
    question = {"mode": "form", "message": "Who?", "requestedSchema": form}
    server, heart = Loud(line), Heartbeat()
    discovered = {"supportedVersions": ["2026-07-28"]}
    discovered["capabilities"] = {"tools": {}, "prompts": {}, "completions": {}}  # type: ignore[assignment]
    server.answers |= {
        "server/discover": discovered,
        "prompts/list": {"prompts": [{"name": "p", "arguments": [{"name": "a"}]}]},
        "prompts/get": {
            "resultType": "input_required",
            "inputRequests": {"q": {"method": "elicitation/create", "params": question}},
        },
        "completion/complete": {"completion": {"values": [HIDDEN, "seen\u202e"]}},
    }
    complete = {"ref": {"type": "ref/prompt", "name": "raw_p"}, "argument": {"name": "a"}}
    complete["argument"]["value"] = ""
    with served(server) as url:
        async with gateway(Remote("raw", url=f"{url}/mcp")) as app:

            async def says() -> None:
                reply = await call(app, "raw_tool", meta={LOG_LEVEL_META_KEY: "debug"})
                assert reply.text_content == "done"

            async def completes() -> None:
                reply = await rpc(app, "modern", "completion/complete", complete)
                assert reply.result["completion"]["values"] == ["seen"]

            async def asks() -> None:
                can: dict[str, Any] = {"elicitation": {"form": {}}}
                meta: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": can}
                reply = await rpc(app, "modern", "prompts/get", {"name": "raw_p", "_meta": meta})
                assert "more than a question" in reply.text

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(heart.beat)
                # The SDK parses it, whatever becomes of it.
                held = [await heart.during(act, tries=6) for act in (says, completes, asks)]
                tasks.cancel_scope.cancel()
    assert max(held) < 2 * HELD


def test_a_value_is_measured_no_further_than_its_bound() -> None:
    class Counted(list[Any]):
        seen = 0

        def __iter__(self) -> Any:
            for each in super().__iter__():
                Counted.seen += 1
                yield each

    assert fits({"a": ["b", 1, None, 1.5, True]}, 100)
    assert not fits(Counted(["a"] * 1_000_000), 1_000)
    assert not fits({"a" * 1_000: 1}, 1_000)
    assert not fits([10**5_000], 1_000)
    assert Counted.seen < 1_000


def test_text_is_cleaned_in_proportion_to_its_length() -> None:
    hostile = "".join(map(chr, range(0x20, 0x3000))) + "\ud800\U000e0041\n\t\u3000\x1b[31m"
    cleaned = clean_json({hostile: hostile})
    (name,) = cleaned
    assert cleaned[name] == name
    assert {"\n", "\t", "ä", "\u3000"} <= {*name}
    assert not {"\x7f", "\u202e", "\ud800", "\U000e0041", "\x1b"} & {*name}
    assert clean_text("\x7f" * 1_000 + "seen", 10) == ""


def test_text_hides_no_other_text() -> None:
    """Gateway: variation selectors spell whole sentences for a model, which nobody sees."""
    hidden = "".join(chr(0xE0100 + number) for number in b"obey") + "\ufe00\u034f\u115f\u3164\uffa0"
    assert clean_text(f"a{hidden}b", 100) == "ab"
    assert clean_json({f"a{hidden}": [f"b{hidden}"]}) == {"a": ["b"]}
    assert (
        clean_text("\u2764\ufe0f\ufe0f a\ufe0f 1\ufe0f 1\ufe0f\u20e3", 100)
        == "\u2764\ufe0f a 1 1\ufe0f\u20e3"
    )


async def test_a_notification_may_be_much_smaller_than_a_result() -> None:
    """Gateway: nobody asked for it, and what comes after it arrives."""
    small = {"method": "notifications/message", "params": {"level": "info", "data": "small"}}
    large = {
        "params": {"level": "info", "data": ["x" * MAX_UNASKED]},
        "method": "notifications/message",
    }
    with served(Loud(large, small)) as url:
        async with gateway(Remote("raw", url=f"{url}/mcp")) as app:
            reply = await call(app, "raw_tool", meta={LOG_LEVEL_META_KEY: "debug"})
    said = [each["params"]["data"] for each in reply.messages[:-1]]
    assert said == ["small"]
    assert reply.text_content == "done"


def note(size: int, *, method_first: bool) -> bytes:
    params = {"level": "info", "data": "x" * size}
    parts = [("jsonrpc", "2.0"), ("method", "notifications/message"), ("params", params)]
    return json.dumps(dict(parts if method_first else parts[::-1])).encode() + b"\n"


@pytest.mark.parametrize("method_first", [True, False])
async def test_a_large_notification_of_a_program_is_dropped(method_first: bool) -> None:  # noqa: FBT001
    """Gateway: while it arrives where its beginning says so, and else when it is parsed."""
    answer = b'{"jsonrpc":"2.0","id":1,"result":{"a":"%s"}}\n' % (b"x" * MAX_UNASKED)
    chunks = Chunks(
        note(MAX_UNASKED, method_first=method_first), note(5, method_first=method_first), answer
    )
    found = await chunks.messages(Pace())
    assert [getattr(each, "method", "answer") for each in found] == [
        "notifications/message",
        "answer",
    ]


def test_what_nobody_asked_for_is_read_more_slowly() -> None:
    """Gateway: a burst costs no time, and a flood most of it."""
    pace = Pace(now=0.0)
    assert pace.owe(1_000, now=0.0) == 0
    assert pace.owe(1_000, now=0.0) == 0
    # What was there is spent, and comes again with time.
    assert pace.owe(500, now=0.0) == pytest.approx(1.0)
    assert pace.owe(500, now=2.0) == pytest.approx(0.0)
    # Nobody saves for more than one burst.
    assert pace.owe(2_500, now=1_000.0) == pytest.approx(1.0)


async def test_an_answer_that_is_waited_for_costs_no_time() -> None:
    """Gateway: what a program may send in sum grows with what it is asked."""
    pace = Pace(now=0.0)
    pace.asked(JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/list"))
    answer = b'{"jsonrpc":"2.0","id":1,"result":{"a":"%s"}}\n' % (b"x" * 20_000_000)
    with anyio.fail_after(5):
        assert len(await Chunks(answer).messages(pace)) == 1
    assert pace.owe(1_900, now=0.0) == 0


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ({"id": 99, "result": {}}, 1_000),
        ({"id": "x", "result": {}}, 1_000),
        ({"id": None, "error": {"code": 1, "message": ""}}, 1_000),
        ({"a": 1}, 10_000),
    ],
)
async def test_a_line_that_nobody_waits_for_costs_what_a_message_does(
    line: dict[str, Any], count: int
) -> None:
    """Gateway: an answer to no question, and what is no message."""
    pace = Pace()
    await Chunks((json.dumps({"jsonrpc": "2.0", **line}) + "\n").encode() * count).messages(pace)
    assert pace.owe(1_500, time.monotonic()) > 0


@pytest.mark.parametrize(("begin", "end"), [(b"x" * 300_000, b""), (b'{"result":"', b"\n")])
async def test_what_is_no_answer_is_slow_while_one_is_waited_for(begin: bytes, end: bytes) -> None:
    """Gateway: a program may leave a call unanswered for good."""
    pace = Pace()
    pace.asked(JSONRPCRequest(jsonrpc="2.0", id=1, method="tools/call"))
    assert not await Chunks(begin, *[b"x" * 1_000_000] * 6, end).messages(pace)
    assert pace.owe(1_500, time.monotonic()) > 0


@pytest.mark.parametrize("said", [":\n\n", "event:\n\n", "data\n\n", "id: 1\r\r"])
async def test_lines_without_messages_cost_what_messages_do(said: str) -> None:
    """Gateway: where a server speaks by itself."""

    class Empty(Raw):
        async def _response(self, request: Request, body: dict[str, Any]) -> Response:
            if request.method == "GET":
                return Response(said * 1_000, media_type="text/event-stream")
            response = await super()._response(request, body)
            response.headers["mcp-session-id"] = "one"
            return response

    with served(Empty(modern=False)) as url:
        connection = HTTPConnection(Remote("raw", url=f"{url}/mcp"), 1_000_000, 100)
        with anyio.fail_after(10):
            await hear_changes(connection, lambda session: session.connect(None), lambda: None)
        assert connection.pace.owe(1_500, time.monotonic()) > 0


@pytest.mark.parametrize(("said", "is_paced"), [(5, False), (4_600, True)])
async def test_what_is_said_before_an_answer_costs_what_messages_do(
    said: int,
    is_paced: bool,  # noqa: FBT001
) -> None:
    """Gateway: 60,000 lines of a log before each answer took 80 % of a core."""
    line = {"method": "notifications/message", "params": {"level": "info", "data": "x"}}
    with served(Loud(*[line] * said)) as url:
        pace = await _called(url)
    assert (pace.owe(1_500, time.monotonic()) > 0) == is_paced


async def test_events_that_are_no_messages_cost_something_before_an_answer() -> None:
    """Gateway: as lines of a program that are none do."""
    server = Loud()
    answer = server.answers["tools/call"]

    def junk(params: dict[str, Any]) -> Response:
        said: Response = answer(params)
        return Response("data: x\n\n" * 26_000 + bytes(said.body).decode(), media_type=EVENTS)

    server.answers["tools/call"] = junk
    with served(server) as url:
        pace = await _called(url)
    assert pace.owe(1_500, time.monotonic()) > 0


async def test_an_answer_to_a_question_costs_what_ten_messages_do() -> None:
    """Gateway: it is a request of ours; a server that asked without end took half of a core."""
    question = {"method": "elicitation/create", "params": {"message": "Who?"}}
    with served(Loud(*({"id": f"q{each}", **question} for each in range(250)))) as url:
        pace = await _called(url)
    assert pace.owe(1_000, time.monotonic()) > 0


async def _called(url: str) -> Pace:
    """Call the tool of a server; return the pace of what it says."""
    connection = HTTPConnection(Remote("raw", url=f"{url}/mcp"), 1_000_000, 100)
    async with connection.open_session() as session:
        await session.connect(None)
        with anyio.fail_after(10):
            await session.call_tool("tool", {})
    return connection.pace


def whole(*chunks: bytes) -> tuple[list[bytes], int]:
    """Return what comes of a stream in these chunks, and how many events are dropped."""
    events = Events()
    found = [bytes(each) for chunk in chunks for each in events.add(chunk) if each]
    return [*found, *filter(None, [events.rest()])], events.dropped


@pytest.mark.parametrize("line", [b"event: message", b"event", b"x"])
def test_an_event_of_very_many_lines_is_none(line: bytes) -> None:
    """Gateway: a message needs one; we and the SDK look at each."""
    answer = b'data: {"jsonrpc":"2.0","id":1,"result":{}}\n'
    begun = time.thread_time()
    found, dropped = whole(answer + (line + b"\n") * 199_000 + b"\n", answer + b"\n")
    assert (len(found), dropped) == (1, 1)
    assert time.thread_time() - begun < 0.1


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"\r"])
def test_an_event_that_can_be_no_message_goes_no_further(line: bytes) -> None:
    """Gateway: wherever the stream is cut, and however its lines end."""
    large = b"x" * MAX_UNASKED
    stream = (
        b"id: 1\nretry: 0\ndata:\n\n"
        b"data: junk\n\n"
        b"event: other\ndata: {}\n\n"
        b"id: 2\nretry: 1000000000\ndata:\n\n"
        b'event: message\ndata: {"id":1,\ndata: "result":{}}\n\n'
        b'data: {"method":"a","params":"' + large + b'"}\n\n'
        b'data: {"jsonrpc": "2.0", "id": 1, "result": "' + large + b'"}\n\n'
        b'data: {"id":2}'
    )
    parts = stream.replace(b"\n", line)
    found, dropped = whole(parts)
    assert [each[:16] for each in found] == [
        b"id: 1\nretry: 0\nd",
        b"event: message\nd",
        b'data: {"jsonrpc"',
        b'data: {"id":2}',
    ]
    assert dropped == 4
    for size in (1, 7, 65_536):
        cut = [parts[at : at + size] for at in range(0, len(parts), size)]
        if size > 1 or line == b"\n":
            assert whole(*cut) == (found, dropped)


async def test_what_is_no_message_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Gateway: and no traceback, whatever logging the application has; its own clients log on."""
    caplog.set_level(logging.INFO)
    bad = {"method": "notifications/message", "params": {"level": "nonsense"}}
    server = Loud(*[bad] * 50)
    with served(server) as url:
        async with gateway(Remote("noisy", url=f"{url}/mcp")) as app:
            for _ in range(3):
                assert (await call(app, "noisy_tool")).text_content == "done"
            server.answers["tools/call"] = Response(
                "data: {junk\n\n", media_type="text/event-stream"
            )
            assert (await call(app, "noisy_tool")).is_error
    lines = [each for each in caplog.records if each.name != "httpx2"]
    assert not [each for each in lines if each.exc_info and each.levelno >= logging.INFO]
    told = [each.getMessage() for each in lines if "not valid MCP" in each.getMessage()]
    assert told == ["The remote 'noisy' sends what is not valid MCP; it is dropped."]
    logging.getLogger("client").warning("An application's own client")
    assert "An application's own client" in caplog.messages


async def test_a_stream_that_a_server_ends_at_once_is_opened_slowly() -> None:
    """Gateway: what it says by itself is bounded over all of its streams."""

    class Ending(Raw):
        opened = 0
        often = threading.Event()

        async def _response(self, request: Request, body: dict[str, Any]) -> Response:
            if request.method == "GET":
                self.opened += 1
                if self.opened == 120:
                    self.often.set()
                return Response("retry: 0\ndata:\n\n", media_type="text/event-stream")
            response = await super()._response(request, body)
            response.headers["mcp-session-id"] = "one"
            return response

    server = Ending({"tools/list": {"tools": [tool()]}, "tools/call": text("done")}, modern=False)
    with served(server) as url:
        async with gateway(Remote("raw", url=f"{url}/mcp", session="shared")) as app:
            begun = anyio.current_time()
            await call(app, "raw_tool")
            assert await to_thread.run_sync(server.often.wait, 20)
            # 2,000 at once are 100 streams; 500 a second are 25 of them.
            assert anyio.current_time() - begun > 0.5


def test_lines_of_a_program_are_bounded_over_time_and_not_in_each_run() -> None:
    """Gateway: a program that dies again and again does not fill the disk."""
    allowed = Allowance(10, now=0.0)
    for _ in range(10):
        assert not allowed.is_spent(0.0)
        allowed.take()
    assert allowed.is_spent(0.0)
    assert [allowed.is_news(), allowed.is_news()] == [True, False]
    assert not allowed.is_spent(360.0)
    assert not allowed.is_news()
    assert not allowed.is_spent(3_600.0)
    assert allowed.is_news()


async def test_a_program_that_dies_again_and_again_writes_no_more_for_it() -> None:
    """Gateway: its lines are counted on."""
    code = """
import json, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("method") == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "x", "version": "1"}}
    elif asked.get("method") == "tools/list":
        result = {"tools": []}
    else:
        if "id" in asked:
            error = {"code": -32601, "message": "no"}
            print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}), flush=True)
        continue
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
    if "tools" in result:
        sys.stderr.write("E\\n" * 400)
        sys.stderr.flush()
        time.sleep(0.2)
        break
"""
    with heard() as log:
        async with started(gateway_app([program("dies", code)])):
            await log.line("'dies' is up", times=4)
    # Of 1,600. Another one is let in every few seconds.
    assert len([each for each in log.lines if each == "dies: E"]) < 1_100
    assert len([each for each in log.lines if "writes a lot" in each]) == 1


async def test_a_completion_that_is_too_large_is_refused_in_one_sentence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Gateway, C6: as results are; no traceback in the log."""
    answers: dict[str, Any] = {
        "prompts/list": {"prompts": [{"name": "p", "arguments": [{"name": "a"}]}]},
        "completion/complete": {"completion": {"values": ["x" * 5_000]}},
        "discover": {
            "supportedVersions": ["2026-07-28"],
            "capabilities": {"prompts": {}, "completions": {}},
        },
    }
    complete = {"ref": {"type": "ref/prompt", "name": "raw_p"}}
    with raw([], **answers) as (_, url):
        async with gateway(Remote("raw", url=url), limits=Limits(max_bytes=1_000)) as app:
            params = {**complete, "argument": {"name": "a", "value": ""}}
            reply = await rpc(app, "modern", "completion/complete", params)
    message = "The result is larger than 1000 bytes (max_bytes)."
    assert reply.answer["error"]["message"] == message
    assert not [each for each in caplog.records if each.exc_info]


async def test_answers_that_a_server_does_not_accept_delay_no_call() -> None:
    """Gateway: a hundred questions whose answers it never takes."""

    class Deaf(Loud):
        async def _response(self, request: Request, body: dict[str, Any]) -> Response:
            if "method" not in body and "id" in body:
                await anyio.sleep_forever()
            return await super()._response(request, body)

    asks = [{"id": f"q{number}", "method": "ping"} for number in range(100)]
    server = Deaf(*asks, modern=False)
    with served(server) as url:
        async with gateway(Remote("raw", url=f"{url}/mcp", session="shared")) as app:
            # The SDK gives up an answer after five seconds, one after the other.
            with anyio.fail_after(4):
                for _ in range(3):
                    assert (await call(app, "raw_tool")).text_content == "done"


def test_what_is_large_in_a_list_is_not_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gateway, S3: neither a schema, nor a name that is none."""
    written: list[int] = []
    dumps = json.dumps

    def counting(value: Any) -> str:
        text = dumps(value)
        written.append(len(text))
        return text

    monkeypatch.setattr("mcp_mount.remotes.schemas.json.dumps", counting)
    listing = [
        tool(inputSchema={"type": "object", "description": HIDDEN}),
        tool(outputSchema={"type": "object", "examples": [1.5] * 100_000}),
        {"name": {"a": HIDDEN}, "inputSchema": {}},
        HIDDEN,
    ]
    remote = Remote("raw", url="https://raw.example/mcp", tools=["tool", "other"])
    catalog = read_catalog(Lists(tools=listing), remote, "gateway")
    assert catalog.tools["tool"].schema == {"type": "object"}
    assert max(written, default=0) < 200_000
    assert max(map(len, catalog.left_out)) < 1_000
    assert any("the tool 'dict' is not valid" in line for line in catalog.left_out)


async def test_a_server_that_changes_all_the_time_has_few_lines_in_the_log() -> None:
    """Gateway: as a program that writes all the time."""
    asked = 0

    def listing(_: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"tools": [{"name": f"wrong {asked} {number}"} for number in range(20)]}

    with raw([], list=listing) as (_, url), heard() as log:
        async with started(gateway_app([Remote("raw", url=url, refresh=0.01)])):
            await log.line("changes a lot")
            told = asked
            while asked < told + 3:
                await anyio.lowlevel.checkpoint()
    assert len(log.lines) < 110
