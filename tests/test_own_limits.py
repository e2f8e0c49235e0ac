"""What bounds and counts calls of operations does so for a user's own tools."""

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI
from fastmcp import Client, Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.providers.addressing import hash_tool, hashed_backend_name
from fastmcp.server.transforms import Namespace, ToolTransform
from fastmcp.tools import ToolResult
from fastmcp.tools.tool_transform import ArgTransformConfig, ToolTransformConfig
from mcp_types import TextContent
from pydantic import BaseModel
from starlette.types import ASGIApp

from mcp_mount import Limits, Mounted, RateLimit, mount_mcp
from tests.foreign import HELD
from tests.starting import started
from tests.steps import measured_steps
from tests.support import ERAS, Era, call, connected, envelope, http, rpc
from tests.test_limits_abandoned import Client as Left
from tests.test_limits_abandoned import Slow, leave_behind, session_of


def mounted_app(**options: Any) -> tuple[FastAPI, Mounted]:
    """Return an app with the operation ``ping``, and what was mounted."""
    app = FastAPI()

    @app.get("/ping", operation_id="ping")
    async def ping(word: str = "pong") -> str:
        return word

    return app, mount_mcp(app, **options)


def lines(caplog: pytest.LogCaptureFixture) -> list[Mapping[str, Any]]:
    """Return what the lines of the log say of calls."""
    records = [record for record in caplog.records if record.name == "mcp_mount.calls"]
    return [record.call for record in records]  # type: ignore[attr-defined]


@pytest.mark.parametrize("era", ERAS)
async def test_calls_of_an_own_tool_count_for_the_rate(era: Era) -> None:
    """C6: together with those of operations, and those of a server that is mounted in ours."""
    app, mounted = mounted_app(rate_limit=RateLimit("3/hour"))
    inner: FastMCP[Any] = FastMCP("inner")

    @inner.tool
    @mounted.server.tool
    async def own() -> str:
        return "own"

    mounted.server.mount(inner, namespace="in")
    async with started(app) as served:
        for name in ("own", "ping", "in_own"):
            assert not (await call(served, name, era=era)).is_error
        for name in ("own", "ping", "in_own"):
            refused = await call(served, name, era=era)
            assert refused.is_error
            assert refused.text_content.startswith("Too many calls: 3 per 1 hour are allowed.")
        assert "error" in (await call(served, "nothing", era=era)).answer


@pytest.mark.parametrize("era", ERAS)
async def test_an_own_tool_counts_in_an_older_version_too(era: Era) -> None:
    """C6: where the caller may not use the newest."""
    app, mounted = mounted_app(rate_limit=RateLimit("1/hour"))

    @mounted.server.tool(name="own", version="1")
    async def own() -> str:
        return "1"

    @mounted.server.tool(name="own", version="2", auth=lambda _: False)
    async def newest() -> str:
        return "2"

    meta = {"fastmcp": {"version": "1"}}
    assert (await call(app, "own", era=era, meta=meta)).text_content == "1"
    refused = await call(app, "own", era=era, meta=meta)
    assert refused.text_content.startswith("Too many calls")


ASKED: dict[str, dict[str, Any]] = {
    "prompts/get": {"name": "greet", "arguments": {"name": "Ann"}},
    "resources/read": {"uri": "own://plain"},
    "resources/read of a template": {"uri": "own://of/ann"},
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("asked", ["tools/call", *ASKED])
async def test_a_version_is_a_short_text(asked: str, era: Era) -> None:
    """F1: one of 2 MB was compared with that of each component, for a second."""
    app, mounted = mounted_app()

    @mounted.server.tool(version="1")
    @mounted.server.prompt(version="1")
    @mounted.server.resource("own://of/{name}", version="1")
    async def greet(name: str) -> str:
        return f"Hello {name}"

    @mounted.server.resource("own://plain", version="1")
    async def plain() -> str:
        return "plain"

    params = {**ASKED.get(asked, ASKED["prompts/get"])}
    params["_meta"] = {"fastmcp": {"version": "1." * 1_000_000}}
    headers = {"mcp-name": params["uri"]} if "uri" in params else {}
    async with started(app) as served, measured_steps() as steps:
        reply = await rpc(served, era, asked.split(maxsplit=1)[0], params, headers=headers)
    assert reply.answer["error"]["code"] == -32602
    assert reply.answer["error"]["message"] == "A version has no more than 100 characters."
    assert max(steps) < HELD


async def ask(app: ASGIApp, era: Era, asked: str) -> dict[str, Any]:
    """Return the answer to one of them."""
    params = ASKED[asked]
    headers = {"mcp-name": params["uri"]} if "uri" in params else {}
    return (await rpc(app, era, asked.split(maxsplit=1)[0], params, headers=headers)).answer


def with_prompt_and_resources(
    do: Callable[[], Awaitable[None]], **options: Any
) -> tuple[FastAPI, Mounted]:
    """Return an app with what `ASKED` asks for, which does `do` before it answers."""
    app, mounted = mounted_app(**options)

    @mounted.server.prompt
    async def greet(name: str) -> str:
        await do()
        return f"Hello {name}"

    @mounted.server.resource("own://plain")
    async def plain() -> str:
        await do()
        return "plain"

    @mounted.server.resource("own://of/{name}")
    async def of(name: str) -> str:
        await do()
        return name

    return app, mounted


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("era", ERAS)
async def test_own_prompts_and_resources_count_for_the_rate(
    era: Era, asked: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: once each, as operations that are resources do; and each leaves a line."""
    caplog.set_level(logging.INFO, "mcp_mount.calls")
    app, _ = with_prompt_and_resources(anyio.lowlevel.checkpoint, rate_limit=RateLimit("2/hour"))
    async with started(app) as served:
        assert "result" in await ask(served, era, asked)
        assert not (await call(served, "ping", era=era)).is_error
        refused = await ask(served, era, asked)
        assert "Too many calls: 2 per 1 hour are allowed." in refused["error"]["message"]
    kind = "own prompt" if asked == "prompts/get" else "own resource"
    found = [(each["operation"], each["outcome"]) for each in lines(caplog)]
    assert found == [(kind, "ok"), ("GET /ping", "ok"), (kind, "busy")]


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("era", ERAS)
async def test_own_prompts_and_resources_take_slots_and_end_at_the_deadline(
    era: Era, asked: str
) -> None:
    """C5, F2."""
    running, ended = anyio.Event(), anyio.Event()

    async def wait() -> None:
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    app, _ = with_prompt_and_resources(wait, limits=Limits(max_concurrency=1, timeout=1.5))
    answers: list[dict[str, Any]] = []

    async def keep() -> None:
        answers.append(await ask(served, era, asked))

    async with started(app) as served:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(keep)
                await running.wait()
                busy = await call(served, "ping", era=era)
                assert busy.text_content.startswith("Too many calls are running.")
            await ended.wait()
            assert not (await call(served, "ping", era=era)).is_error
    assert "gave no answer within 1.5 seconds" in answers[0]["error"]["message"]


@pytest.mark.parametrize("era", ERAS)
async def test_an_operation_that_is_renamed_counts_once(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """C6: it is no tool of one's own."""
    caplog.set_level(logging.INFO, "mcp_mount.calls")
    app, mounted = mounted_app(rate_limit=RateLimit("2/hour"))
    words = ArgTransformConfig(name="words")
    config = ToolTransformConfig(name="find", arguments={"word": words})
    mounted.server.add_transform(ToolTransform({"ping": config}))
    mounted.server.add_transform(Namespace("erp"))
    for word in ("a", "b"):
        reply = await call(app, "erp_find", {"words": word}, era=era)
        assert reply.text_content == f'"{word}"'
    assert (await call(app, "erp_find", {"words": "c"}, era=era)).is_error
    assert [(each["tool"], each["outcome"]) for each in lines(caplog)] == [
        ("ping", "ok"),
        ("ping", "ok"),
        ("ping", "busy"),
    ]


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_of_an_own_tool_through_the_search_counts_once(era: Era) -> None:
    """C6."""
    app, mounted = mounted_app(rate_limit=RateLimit("1/hour"), surface="search")

    @mounted.server.tool
    async def own() -> str:
        return "own"

    asked = {"name": "own", "arguments": {}}
    async with started(app) as served:
        assert (await call(served, "call_tool", asked, era=era)).text_content == "own"
        refused = await call(served, "call_tool", asked, era=era)
        assert refused.text_content.startswith("Too many calls")


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_of_an_app_counts_by_its_other_name(era: Era) -> None:
    """C6: FastMCP calls it by a hash as well."""
    app, mounted = mounted_app(rate_limit=RateLimit("1/hour"))
    meta = {"fastmcp": {"tool_hash": hash_tool("table", "save")}, "ui": {"visibility": ["app"]}}

    @mounted.server.tool(meta=meta)
    async def save() -> str:
        return "saved"

    mounted.server.add_transform(Namespace("erp"))
    name = hashed_backend_name("table", "save")
    assert (await call(app, name, era=era)).text_content == "saved"
    assert (await call(app, name, era=era)).text_content.startswith("Too many calls")


@pytest.mark.parametrize("era", ERAS)
async def test_own_tools_take_the_slots_of_running_calls(era: Era) -> None:
    """C5: and give them back."""
    app, mounted = mounted_app(limits=Limits(max_concurrency=1))
    running, go = anyio.Event(), anyio.Event()

    @mounted.server.tool
    async def own() -> str:
        running.set()
        await go.wait()
        return "own"

    async with started(app) as served:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: call(served, "own", era=era))
                await running.wait()
                for name in ("own", "ping"):
                    refused = await call(served, name, era=era)
                    assert refused.text_content.startswith("Too many calls are running.")
                go.set()
        assert (await call(served, "own", era=era)).text_content == "own"


@pytest.mark.parametrize("era", ERAS)
async def test_an_own_tool_ends_at_the_deadline(era: Era) -> None:
    """F2: as an operation does; one that FastMCP's `timeout=` gives goes before ours."""
    app, mounted = mounted_app(limits=Limits(timeout=0.05, max_concurrency=1))
    ended = anyio.Event()

    @mounted.server.tool
    async def forever() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    @mounted.server.tool(timeout=30)
    async def patient() -> str:
        await anyio.sleep(0.2)
        return "done"

    async with started(app) as served:
        with anyio.fail_after(20):
            reply = await call(served, "forever", era=era)
            assert reply.is_error
            text = "The tool gave no answer within 0.05 seconds. The call was ended."
            assert reply.text_content == text
            await ended.wait()
            assert (await call(served, "patient", era=era)).text_content == "done"


@pytest.mark.parametrize("era", ERAS)
async def test_a_thread_of_an_own_tool_keeps_its_slot_beyond_the_deadline(era: Era) -> None:
    """F2: nobody waits for it, and what it takes is taken until it ends."""
    app, mounted = mounted_app(limits=Limits(timeout=0.05, max_concurrency=1))
    go = threading.Event()

    @mounted.server.tool
    def blocking() -> None:
        go.wait(20)

    headers, body = envelope(era, "tools/call", {"name": "blocking", "arguments": {}})
    async with started(app) as served:
        with anyio.fail_after(20):
            async with http(served) as client:
                reply = await client.post("/mcp", headers=headers, json=body)
                assert "The tool gave no answer within 0.05 seconds." in reply.text
                busy = await call(served, "ping", era=era)
                assert busy.text_content.startswith("Too many calls are running.")
                go.set()
            assert (await call(served, "ping", era=era)).text_content == '"pong"'


@pytest.mark.parametrize("era", ERAS)
async def test_a_larger_result_of_an_own_tool_is_an_error(era: Era) -> None:
    """F1: `max_bytes` bounds the text, and the structure."""
    app, mounted = mounted_app(limits=Limits(max_bytes=100_000))

    @mounted.server.tool
    def text(size: int) -> str:
        return "x" * size

    @mounted.server.tool
    def structure() -> ToolResult:
        return ToolResult(content="small", structured_content={"a": ["ä"] * 30_000})

    assert not (await call(app, "text", {"size": 90_000}, era=era)).is_error
    for name, arguments in {"text": {"size": 110_000}, "structure": {}}.items():
        reply = await call(app, name, arguments, era=era)
        assert reply.is_error
        assert reply.text_content == "The result is larger than 100000 bytes (max_bytes)."


@pytest.mark.parametrize("era", ERAS)
async def test_each_call_of_an_own_tool_leaves_a_line(
    era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    """C5: and says how it went."""
    caplog.set_level(logging.INFO, "mcp_mount.calls")
    app, mounted = mounted_app(rate_limit=RateLimit("5/hour"))

    @mounted.server.tool
    async def own(count: int = 1, numbers: list[int] = []) -> int:  # noqa: B006
        if count == 0:
            raise ToolError("None.")
        return 1 // (count - 1)

    sent: list[tuple[dict[str, Any], str]] = [
        ({"count": 2}, "ok"),
        ({"count": 0}, "error"),
        ({"count": 1}, "error"),
        ({"count": "x"}, "refused"),
        ({"numbers": ["x"] * 2_000}, "refused"),
        ({"count": 2}, "ok"),
        ({"count": 2}, "busy"),
    ]
    for arguments, _ in sent:
        await call(app, "own", arguments, era=era)
    await call(app, "nothing", era=era)
    found = [(each["tool"], each["operation"], each["outcome"]) for each in lines(caplog)]
    assert found == [("own", "own tool", outcome) for _, outcome in sent]


async def test_a_call_within_the_process_leaves_a_line_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """C5: it is made for no request, and so it counts for no rate."""
    caplog.set_level(logging.INFO, "mcp_mount.calls")
    _, mounted = mounted_app(rate_limit=RateLimit("1/hour"))

    @mounted.server.tool
    async def own() -> str:
        return "own"

    async with Client(mounted.server) as client:
        for _ in range(2):
            assert (await client.call_tool("own")).data == "own"
    assert [each["outcome"] for each in lines(caplog)] == ["ok", "ok"]


async def test_an_own_tool_whose_client_goes_is_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """F4: as before, with a line in the log, and its slot is free."""
    caplog.set_level(logging.INFO, "mcp_mount.calls")
    app, mounted = mounted_app(limits=Limits(max_concurrency=1))
    running, ended = anyio.Event(), anyio.Event()

    @mounted.server.tool
    async def own() -> None:
        running.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with started(app) as served:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: call(served, "own"))
                await running.wait()
                group.cancel_scope.cancel()
            await ended.wait()
            assert not (await call(served, "ping")).is_error
    assert [each["outcome"] for each in lines(caplog)] == ["cancelled", "ok"]


# The SDK leaves a stream open when the client of a session's call goes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("sessions", [False, True])
async def test_calls_of_own_tools_whose_clients_have_left_give_way(*, sessions: bool) -> None:
    """F2: also where the tool has called an operation before."""
    slow = Slow()
    mounted = mount_mcp(slow.app, sessions=sessions, limits=Limits(max_concurrency=4))

    @mounted.server.tool(name="slow")
    async def own(ctx: Context) -> None:
        await ctx.fastmcp.call_tool("quick")
        await slow.run()

    with anyio.fail_after(20):
        async with started(slow.app) as app, anyio.create_task_group() as tasks:
            session = await session_of(app) if sessions else {}
            await leave_behind(app, slow, 3, tasks, session)
            tasks.start_soon(Left(app, session).call)
            while slow.begun < 4:
                await slow.changed.wait()
            assert slow.ended == 3
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("era", ERAS)
async def test_an_own_tool_that_is_cancelled_by_itself_has_failed(era: Era) -> None:
    """F4: its session, and the other calls in it, go on."""
    app, mounted = mounted_app(sessions=True)

    @mounted.server.tool
    async def own() -> None:
        task = asyncio.create_task(anyio.sleep_forever())
        task.cancel()
        await task

    async with started(app) as served, connected(served, era) as client:
        result = await client.call_tool("own", raise_on_error=False)
        assert result.is_error
        assert result.content[0].text == "The call was cancelled."  # type: ignore[union-attr]
        assert (await client.call_tool("ping")).content[0].text == '"pong"'  # type: ignore[union-attr]


@pytest.mark.parametrize("era", ERAS)
async def test_half_a_character_of_an_own_tool_is_an_error(era: Era) -> None:
    """E3: of the tool, and not of the protocol."""
    app, mounted = mounted_app()

    @mounted.server.tool
    def own() -> ToolResult:
        return ToolResult(content="a\ud800")

    reply = await call(app, "own", era=era)
    assert reply.is_error
    assert reply.text_content == "The result holds half of a character (a lone surrogate)."


@dataclass
class Row:
    cells: list[int]


class Table(BaseModel):
    rows: list[Row]


@pytest.mark.parametrize("era", ERAS)
async def test_an_own_tool_returns_no_more_values_than_an_operation(era: Era) -> None:
    """F1: whatever they stand in; FastMCP converted a million in two seconds, in one step."""
    app, mounted = mounted_app()

    @mounted.server.tool
    def many(count: int) -> list[str]:
        return ["x"] * count

    @mounted.server.tool
    def table(count: int) -> Table:
        return Table(rows=[Row([1] * (count // 100))] * 100)

    @mounted.server.tool
    def points(count: int) -> list[dict[str, int]]:
        return [{"x": 1, "y": 2} for _ in range(count // 10)]

    @mounted.server.tool
    def queue(count: int) -> deque[str]:
        return deque(["x"] * count)

    @mounted.server.tool
    def blocks() -> list[Any]:
        return ["a", TextContent(type="text", text="b")]

    for name in ("many", "table", "points", "queue"):
        reply = await call(app, name, {"count": 250_000}, era=era)
        assert reply.is_error
        assert reply.text_content == "The result has more than 200,000 values."
    reply = await call(app, "many", {"count": 5_000}, era=era)
    assert reply.result["structuredContent"] == {"result": ["x"] * 5_000}
    reply = await call(app, "table", {"count": 5_000}, era=era)
    assert reply.result["structuredContent"] == {"rows": [{"cells": [1] * 50}] * 100}
    reply = await call(app, "points", {"count": 180_000}, era=era)
    assert reply.result["structuredContent"] == {"result": [{"x": 1, "y": 2}] * 18_000}
    assert (await call(app, "blocks", era=era)).text_content == "a\nb"


@pytest.mark.in_process
async def test_many_values_of_an_own_tool_are_converted_beside_the_event_loop() -> None:
    """F1: 190,000 held it for half a second."""
    app, mounted = mounted_app()

    @mounted.server.tool
    def many() -> list[str]:
        return ["x"] * 190_000

    async with started(app) as served:
        await call(served, "many")
        begun = time.thread_time()
        reply = await call(served, "many")
        assert time.thread_time() - begun < 0.2
    assert len(reply.result["structuredContent"]["result"]) == 190_000


@pytest.mark.parametrize("era", ERAS)
async def test_names_are_not_repeated_for_each_wrong_value(era: Era) -> None:
    """F1: 100 kB of a name and 900 wrong values were 90 MB of text, and 4 MB ended the process."""
    app, mounted = mounted_app()

    @mounted.server.tool
    async def facets(values: dict[str, list[str]]) -> int:
        return len(values)

    @mounted.server.prompt
    def ask(values: dict[str, list[str]]) -> str:
        return str(len(values))

    values = {"k" * 100_000: [1] * 900}
    reply = await call(app, "facets", {"values": values}, era=era)
    assert reply.is_error
    assert reply.text_content == "The names in the arguments are too long for so many values."
    params = {"name": "ask", "arguments": {"values": json.dumps(values)}}
    error = (await rpc(app, era, "prompts/get", params)).answer["error"]
    expected = "The names in the argument 'values' are too long for so many values."
    assert error["message"] == expected
    # A page of addresses, say.
    many = {f"https://kb.example/{'x' * 200}/{each}": ["a"] for each in range(5_000)}
    reply = await call(app, "facets", {"values": many}, era=era)
    assert reply.text_content == "5000"


@pytest.mark.parametrize("era", ERAS)
async def test_many_wrong_values_are_told_briefly(era: Era) -> None:
    """F1: 190,000 texts that are no UUID were 40 MB of text, written in a second."""
    app, mounted = mounted_app()

    @mounted.server.tool
    async def find(ids: list[UUID]) -> int:
        return len(ids)

    few = await call(app, "find", {"ids": ["x"] * 15}, era=era)
    assert few.text_content.count("Input should be a valid UUID") == 15
    many = await call(app, "find", {"ids": ["x"] * 5_000}, era=era)
    assert many.is_error
    expected = "5,000 values are wrong. They are not as the tool's inputSchema says."
    assert many.text_content == expected
    long = await call(app, "find", {"ids": [{"k" * 90_000: 1}]}, era=era)
    assert len(long.text_content) < 1_000


@pytest.mark.parametrize("era", ERAS)
async def test_an_argument_of_a_prompt_is_not_repeated_at_length(era: Era) -> None:
    """F1: FastMCP repeats what cannot be converted, whatever it is."""
    app, mounted = mounted_app()

    @mounted.server.prompt
    def ask(count: int) -> str:
        return str(count)

    params = {"name": "ask", "arguments": {"count": "x" * 100_000}}
    message = (await rpc(app, era, "prompts/get", params)).answer["error"]["message"]
    assert message.startswith("Could not convert argument 'count' with value 'xxx")
    assert len(message) < 2_100


@pytest.mark.filterwarnings("ignore:The logging capability is deprecated")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("how", ["log", "progress"])
async def test_what_an_own_tool_tells_nobody_lets_others_run(how: str, era: Era) -> None:
    """F5: its deadline is kept, though nothing that it awaits waits."""
    app, mounted = mounted_app(limits=Limits(timeout=0.2))

    @mounted.server.tool
    async def talk(ctx: Context) -> str:
        begun = time.monotonic()
        while time.monotonic() < begun + 5:
            await (ctx.info("a") if how == "log" else ctx.report_progress(1))
        return "told all"

    reply = await rpc(app, era, "tools/call", {"name": "talk", "arguments": {}})
    assert reply.text_content.startswith("The tool gave no answer within 0.2 seconds.")


async def test_an_own_tool_can_be_run_by_itself() -> None:
    """C5: without a request, as FastMCP's own can."""
    _, mounted = mounted_app()

    @mounted.server.tool
    async def one() -> int:
        return 1

    tool = await mounted.server.get_tool("one")
    assert tool is not None
    assert (await tool.run({})).structured_content == {"result": 1}
