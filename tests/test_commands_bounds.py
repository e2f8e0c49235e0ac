"""What the commands take of a server that sends too much, or what is not MCP."""

import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.responses import Response, StreamingResponse

from mcp_mount.check.subject import Subject
from mcp_mount.commands import asking, calling
from mcp_mount.commands.values import read_arguments
from tests.others import raw, tool
from tests.test_app_commands import Shell

COMMANDS = [("list",), ("check",), ("export",), ("call", "t")]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_no_more_is_read_than_a_bound(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST_BYTES", 10_000)
    with raw([tool("get", description="x" * 10_000)], modern=False) as (_, url):
        ran = shell("list", url)
    assert (ran.code, ran.err) == (1, "mcp-mount: The answer is larger than 10000 bytes.\n")


def test_a_table_has_the_beginning_of_a_long_line(shell: Shell) -> None:
    with raw([tool("get", description="x" * 100_000)], modern=False) as (_, url):
        ran = shell("list", url)
    assert ran.code == 0
    assert ran.out.count("x") == 2_000


@pytest.mark.parametrize("command", ["list", "check"])
def test_a_table_has_the_beginning_of_a_long_name(shell: Shell, command: str) -> None:
    """One of 16 MB took a minute."""
    arguments = {"type": "object", "properties": {"x" * 100_000: {}}}
    with raw([tool("x" * 100_000, inputSchema=arguments)], modern=False) as (_, url):
        ran = shell(command, url)
    assert ran.out.count("x") < 50_000


@pytest.mark.parametrize("modern", [True, False])
def test_a_response_of_millions_of_values_is_not_parsed(shell: Shell, *, modern: bool) -> None:
    """30 MB of them took 3 GB."""
    wide = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[],"x":[' + b"[]," * 3_000_000 + b"[]]}}"
    with raw([], modern=modern, list=lambda _: Response(wide, media_type="application/json")) as (
        _,
        url,
    ):
        started = time.process_time()
        ran = shell("list", url)
        taken = time.process_time() - started
    assert (ran.code, ran.err) == (1, "mcp-mount: The answer has too many JSON values.\n")
    assert taken < 2


def pages(params: dict[str, Any]) -> dict[str, Any]:
    """Answer with a page of a list without an end."""
    number = int(params.get("cursor", 0)) + 1
    schema = {"type": "object", "properties": {"a": {"enum": [[]] * 900}}}
    return {"tools": [tool(f"t{number}", inputSchema=schema)], "nextCursor": str(number)}


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("bound", "most"),
    [("MOST_PAGES", 3), ("MOST_OF_A_LIST", 8_000), ("MOST_VALUES_OF_A_LIST", 2_500)],
)
def test_a_list_of_many_pages_has_a_bound_for_all_of_them(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    bound: str,
    most: int,
    *,
    modern: bool,
) -> None:
    monkeypatch.setattr(asking, bound, most)
    command, *rest = words
    with raw([], modern=modern, list=pages) as (server, url):
        ran = shell(command, url, *rest)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("mcp-mount: The list of tools is too large: it has more than ")
    assert server.methods.count("tools/list") <= 4


def test_a_list_of_several_pages_is_whole_and_ends_where_it_begins_again(shell: Shell) -> None:
    said = {
        None: {"tools": [tool("a")], "nextCursor": "1"},
        "1": {"tools": [tool("b")], "nextCursor": "2"},
        "2": {"tools": [tool("c")], "nextCursor": "1"},
    }
    with raw([], list=lambda params: said[params.get("cursor")]) as (_, url):
        ran = shell("list", url, "--json")
    assert [each["name"] for each in json.loads(ran.out)] == ["a", "b", "c"]


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("answer", [{"tools": 7}, {"tools": [{"name": "t"}]}, {"resultType": 7}])
def test_a_list_of_another_form_is_one_line(
    shell: Shell, words: tuple[str, ...], answer: dict[str, Any], *, modern: bool
) -> None:
    command, *rest = words
    with raw([], modern=modern, list=answer) as (_, url):
        ran = shell(command, url, *rest)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("mcp-mount: The server answers what is not MCP: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("bound", ["_MOST_MESSAGES", "_MOST_CHARACTERS"])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_call_that_tells_of_its_progress_for_ever_is_left(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, bound: str, more: tuple[str, ...]
) -> None:
    monkeypatch.setattr(calling, bound, 50)

    async def endless(token: Any) -> AsyncIterator[str]:
        while True:
            params = {"progressToken": token, "progress": 1, "message": "y"}
            notice = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
            yield f"data: {json.dumps(notice)}\n\n"
            await anyio.lowlevel.checkpoint()

    def answer(params: dict[str, Any]) -> Response:
        body = endless(params["_meta"]["progressToken"])
        return StreamingResponse(body, media_type="text/event-stream")

    with raw([tool("t")], call=answer) as (_, url):
        ran = shell("call", url, "t", *more)
    assert ran.code == 1
    assert ran.err == "mcp-mount: The tool tells of its progress without an end; it is left.\n"


async def test_a_long_stream_takes_no_longer_than_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Four megabytes, word by word, took more than a minute to keep."""
    shown = calling._Shown(is_live=True)  # noqa: SLF001 - a server so slow is no test
    started = time.thread_time()
    for number in range(60_000):
        await shown.show(number, None, "x" * 64)
    assert time.thread_time() - started < 0.5
    shown.write_result("x" * 64 * 60_000, is_error=False)
    assert capsys.readouterr().out == "x" * 64 * 60_000 + "\n"


def test_the_expression_of_a_server_is_not_evaluated(shell: Shell) -> None:
    """One such takes longer than anybody waits; here it is short enough for a test that fails."""
    schema = {"type": "object", "properties": {"k": {"type": "string", "pattern": "^(a+)+$"}}}
    answer = {"content": [], "structuredContent": {"k": "a" * 22 + "!"}}
    with raw([tool("t", outputSchema=schema)], call=answer) as (_, url):
        started = time.process_time()
        ran = shell("call", url, "t", "--json")
        taken = time.process_time() - started
    assert ran.code == 0
    assert json.loads(ran.out)["structuredContent"] == answer["structuredContent"]
    assert taken < 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5},
        {"type": [["string"]]},
        {"enum": 5},
        {"anyOf": 5},
        {"type": "array", "anyOf": [True]},
        {"properties": 5},
    ],
)
def test_whatever_a_server_says_of_an_argument_it_is_read(schema: Any, tmp_path: Path) -> None:
    """`call`: as JSON or as text, or as the file's text; there was a traceback."""
    subject = Subject({"name": "t", "inputSchema": {"properties": {"a": schema}}})
    assert read_arguments(subject, ["a=x"])["a"] in ("x", ["x"])
    (tmp_path / "x").write_text("x")
    assert read_arguments(subject, [f"a=@{tmp_path}/x"])["a"] in ("x", ["x"])


@pytest.mark.parametrize("command", ["list", "check"])
@pytest.mark.parametrize(
    "schema", [{"required": 5}, {"required": [[]]}, {"properties": {"a": {"anyOf": 5}}}]
)
def test_whatever_a_server_says_of_arguments_they_are_listed(
    shell: Shell, command: str, schema: dict[str, Any]
) -> None:
    """`list`, `check`: there was a traceback."""
    given = {"type": "object", "properties": {"a": {"type": "string"}}, **schema}
    with raw([tool("t", inputSchema=given)]) as (_, url):
        ran = shell(command, url)
    assert "Traceback" not in ran.err
    assert "t" in ran.out


def endless(*said: dict[str, Any] | str) -> Callable[[object], Response]:
    """Answer with a stream that says something again and again."""

    async def write() -> AsyncIterator[str]:
        while True:
            for each in said:
                yield each if isinstance(each, str) else f"data: {json.dumps(each)}\n\n"
            await anyio.lowlevel.checkpoint()

    return lambda _: StreamingResponse(write(), media_type="text/event-stream")


def said(method: str, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, **more}


LOG = said("notifications/message", params={"level": "error", "data": "x" * 20_000})


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize(
    "more",
    [
        (said("ping", id="a"), said("roots/list", id="b")),
        (said("ping", id="progress"),),
        (said("notifications/tools/list_changed"),),
        (LOG,),
        (": x\n\n",),
        ("event: other\ndata: {}\n\n",),
    ],
    ids=["requests", "named progress", "notifications", "logs", "comments", "others"],
)
@pytest.mark.parametrize("words", [("list",), ("call", "t")], ids=" ".join)
def test_a_server_that_speaks_without_an_end_is_left(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    more: Any,
    *,
    modern: bool,
) -> None:
    """Two thousand pings each second took some MB more, until there was no memory."""
    monkeypatch.setattr(asking, "MOST_EVENTS", 100)
    monkeypatch.setattr(asking, "MOST_LINES", 3)
    command, *rest = words
    answers: dict[str, Any] = {"list" if command == "list" else "call": endless(*more)}
    with raw([tool("t")], modern=modern, **answers) as (_, url), fail_after(20):
        ran = shell(command, url, *rest)
    assert (ran.code, ran.out) == (1, "")
    *logged, ended = ran.err.splitlines()
    assert ended == (
        "mcp-mount: The server answers: SSE stream failed: it has too many bytes or messages."
    )
    if more == (LOG,):
        assert logged == [
            *[f"The server logs (error): {'x' * 10_000}…"] * 3,
            "The server logs more, which is not shown.",
        ]


@pytest.mark.parametrize("bound", ["MOST_OF_STREAMS", "MOST_CHUNKS"])
def test_all_streams_have_a_bound_together(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(asking, bound, 30)
    progress = said("notifications/progress", params={"progressToken": "?", "progress": 1})
    with raw([], list=endless(progress)) as (_, url), fail_after(20):
        ran = shell("list", url)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.endswith("it has too many bytes or messages.\n")


def test_a_body_of_too_many_parts_is_left(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST_CHUNKS", 30)

    async def write() -> AsyncIterator[str]:
        while True:
            yield " "
            await anyio.lowlevel.checkpoint()

    def answer(_: object) -> Response:
        return StreamingResponse(write(), media_type="application/json")

    with raw([], list=answer) as (_, url), fail_after(20):
        ran = shell("list", url)
    assert (ran.code, ran.err) == (1, "mcp-mount: The answers come in too many parts.\n")


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("status", "kind", "first"),
    [
        (200, "application/json", " "),
        (200, "text/event-stream", ": x\n\n"),
        (200, "text/event-stream", f"id: 1\nretry: {10**10}\ndata:\n\n"),
        (500, "application/json", " "),
    ],
    ids=["body", "stream", "retry", "error"],
)
def test_a_command_ends_whatever_comes_slowly(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    *,
    status: int,
    kind: str,
    first: str,
    modern: bool,
) -> None:
    """A byte a second kept it for ever."""
    monkeypatch.setattr(asking, "MOST_SECONDS", 0.5)
    monkeypatch.setattr(asking, "MOST_OF_A_CALL", 0.5)

    async def write() -> AsyncIterator[str]:
        yield first
        if "retry" not in first:
            await anyio.sleep_forever()

    command, *rest = words
    answers: dict[str, Any] = {
        "call" if command == "call" else "list": lambda _: StreamingResponse(
            write(), status, media_type=kind
        )
    }
    with raw([tool("t")], modern=modern, **answers) as (_, url), fail_after(20):
        ran = shell(command, url, *rest)
    slow = "The server takes too long to answer, and is left."
    wrong = "The server answers 500 Internal Server Error."
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"mcp-mount: {wrong if status == 500 else slow}\n"


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("total", ["1e308", "1e999", "NaN", "-1e308", "2"])
@pytest.mark.parametrize(
    "progress", ["0", "1e308", "1e-300", "1e999", "NaN", "-1", "1" + "0" * 400]
)
def test_a_progress_of_any_number_is_no_traceback(
    shell: Shell, progress: str, total: str, *, modern: bool
) -> None:
    def answer(params: dict[str, Any]) -> Response:
        token = json.dumps(params["_meta"]["progressToken"])
        number = next(each["id"] for each in server.requests if each["method"] == "tools/call")
        result = {"resultType": "complete", "content": []}
        told = f'{{"progressToken":{token},"progress":{progress},"total":{total}}}'
        last = json.dumps({"jsonrpc": "2.0", "id": number, "result": result})
        notice = f'{{"jsonrpc":"2.0","method":"notifications/progress","params":{told}}}'
        again = notice.replace(f'"progress":{progress}', '"progress":1')
        events = "".join(f"data: {each}\n\n" for each in (notice, again, last))
        return Response(events, media_type="text/event-stream")

    with raw([tool("t")], modern=modern, call=answer) as (server, url):
        ran = shell("call", url, "t")
    assert ran.code == (1 if len(progress) > 100 else 0)
    assert "Traceback" not in ran.err


@contextmanager
def fail_after(seconds: int) -> Iterator[None]:
    """End what takes longer, which here would take all memory."""

    def fail(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
