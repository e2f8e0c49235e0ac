"""What a server of the handshake versions asks and says while a call runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from fastmcp import Context, FastMCP
from mcp.shared.exceptions import MCPError
from mcp_types import (
    ElicitRequestFormParams,
    LoggingMessageNotificationParams,
    ModelHint,
    ModelPreferences,
    SamplingMessage,
    TextContent,
)

from mcp_mount import Remote
from mcp_mount.remotes.asking import pass_on_log
from mcp_mount.remotes.outgoing import OutgoingRequest, sending
from tests.others import gateway, handshake_only, heard, program
from tests.support import Era, connected, served

# Logs and sampling are deprecated in the modern era; these servers are older.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

FORM: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}}


def asking_server() -> FastMCP[Any]:
    """Return a server that asks, and says, while a call runs."""
    server: FastMCP[Any] = FastMCP("asking")

    @server.tool
    async def ask(context: Context, times: int = 1) -> str:
        said = ""
        for _ in range(times):
            try:
                answer = await context.session.elicit_form("Who?", FORM, context.request_id)
            except MCPError as error:
                return f"error: {error.message}"
            said = f"{answer.action}: {answer.content}"
        return said

    @server.tool
    async def think(context: Context) -> str:
        message = SamplingMessage(role="user", content=TextContent(type="text", text="Why?"))
        try:
            answer = await context.session.create_message(
                [message],
                max_tokens=5,
                model_preferences=ModelPreferences(hints=[ModelHint(name="m")]),
                related_request_id=context.request_id,
            )
        except MCPError as error:
            return f"error: {error.message}"
        return getattr(answer.content, "text", "?")

    @server.tool
    async def tell(context: Context, logger: str | None = None) -> str:
        await context.info("half way", logger_name=logger)
        return "told"

    return server


@contextmanager
def asking() -> Iterator[str]:
    app = asking_server().http_app(path="/mcp", stateless_http=False)
    with served(handshake_only(app), timeout_graceful_shutdown=1) as url:
        yield f"{url}/mcp"


async def called(
    name: str,
    era: Era = "legacy",
    *,
    sessions: bool = True,
    arguments: dict[str, Any] | None = None,
    **client: Any,
) -> str:
    """Return what a tool says to a client that connects with these handlers."""
    with asking() as url:
        async with (
            gateway(Remote("other", url=url), sessions=sessions) as app,
            connected(app, era, **client) as connection,
        ):
            result = await connection.call_tool(f"other_{name}", arguments)
    return str(getattr(result.content[0], "text", None))


async def test_a_question_reaches_the_user_of_a_client_that_keeps_a_session() -> None:
    """Gateway: with the server's name before it; the answer goes back to the server."""
    asked: list[str] = []

    async def answer(message: str, response_type: Any, params: Any, context: Any) -> Any:
        assert isinstance(params, ElicitRequestFormParams)
        asked.append(message)
        return {"name": "Ada"}

    assert await called("ask", elicitation_handler=answer) == "accept: {'name': 'Ada'}"
    assert asked == ["The server 'other' asks: Who?"]


async def test_a_question_to_a_client_that_cannot_ask_is_an_error_and_no_refusal() -> None:
    """Gateway: nobody declines in a user's place."""
    assert (await called("ask")).startswith("error: Elicitation not supported")
    assert (await called("ask", sessions=False)).startswith("error: ")
    assert (await called("ask", "modern")).startswith("error: ")


async def test_a_servers_request_for_a_completion_reaches_a_client_that_makes_them() -> None:
    """Gateway: sampling."""

    async def complete(messages: Any, params: Any, context: Any) -> str:
        assert messages[0].content.text == "Why?"
        assert params.system_prompt == "The server 'other' asks: Complete this."
        assert params.include_context == "none"
        assert params.max_tokens == 5
        return "Because."

    assert await called("think", sampling_handler=complete) == "Because."
    assert (await called("think")).startswith("error: Sampling not supported")


async def test_lines_of_a_servers_log_reach_the_caller() -> None:
    """Gateway: logs of handshake servers."""
    said: list[Any] = []

    async def hear(message: Any) -> None:
        said.append((message.level, message.data))

    assert await called("tell", log_handler=hear) == "told"
    assert len(said) == 1
    assert said[0][0] == "info"
    assert "half way" in str(said[0][1])


@pytest.mark.parametrize(
    ("logger", "told"),
    [
        (None, "other"),
        ("\u200b\n", "other"),
        ("search.index", "other/search.index"),
        ("mcp_mount", "other/mcp_mount"),
        ("\x1b[2K\n\u202emcp_mount", "other/mcp_mount"),
        ("long " * 1_000, f"other/{'long ' * 19}…"),
    ],
    ids=["none", "unseen", "usual", "ours", "hidden", "long"],
)
async def test_a_logger_says_whose_it_is(logger: str | None, told: str) -> None:
    """X7: no server passes for the gateway, or for another server."""
    loggers: list[str | None] = []

    async def hear(message: Any) -> None:
        loggers.append(message.logger)

    await called("tell", arguments={"logger": logger}, log_handler=hear)
    assert loggers == [told]


# A program of the modern era, one process for all callers, that goes on with a call when its caller
# has gone: each call ends with the next one, and what it says of itself comes before.
GOING_ON = """
import json, sys
waiting = None
def say(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
def log(text):
    params = {"level": "info", "data": text}
    say({"method": "notifications/message", "params": params})
for line in sys.stdin:
    message = json.loads(line)
    method = message["method"]
    answer = {"ttlMs": 1000, "cacheScope": "private", "resultType": "complete"}
    if "id" not in message:
        continue
    if method == "server/discover":
        capabilities = {"tools": {}, "logging": {}}
        answer |= {"supportedVersions": ["2026-07-28"], "capabilities": capabilities,
                   "serverInfo": {"name": "x", "version": "1"}}
    elif method == "tools/list":
        answer |= {"tools": [{"name": "work", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        who = message["params"]["arguments"]["who"]
        answer |= {"content": [{"type": "text", "text": f"done for {who}"}]}
        if who == "Alice":
            waiting = {"id": message["id"], "result": answer}
            print("it works", file=sys.stderr, flush=True)
            continue
        if waiting:
            log("Alice's secret")
        if who == "Bob" and waiting:
            say(waiting)
            waiting = None
        log(f"for {who}")
    say({"id": message["id"], "result": answer})
"""


async def test_what_a_program_says_of_a_call_that_was_given_up_reaches_nobody_else() -> None:
    """Gateway: until the program has answered it, nobody can tell what its log belongs to."""
    said: list[str] = []

    async def hear(message: Any) -> None:
        said.append(str(message.data))

    async with gateway(program("other", GOING_ON)) as app:
        with heard() as log:
            async with anyio.create_task_group() as tasks, connected(app, "legacy") as alice:
                tasks.start_soon(alice.call_tool, "other_work", {"who": "Alice"})
                await log.line("it works")
                tasks.cancel_scope.cancel()
        async with connected(app, "legacy", log_handler=hear) as bob:
            for who in ("Carol", "Bob", "Carol"):
                await bob.call_tool("other_work", {"who": who})
    assert said == ["for Bob", "for Carol"]


async def test_a_call_asks_so_often_and_no_more() -> None:
    """Gateway, F1: what is asked is read, also where nobody is asked: it took a core."""
    asked: list[str] = []

    async def answer(message: str, response_type: Any, params: Any, context: Any) -> Any:
        asked.append(message)
        return {"name": "Ada"}

    text = await called("ask", arguments={"times": 105}, elicitation_handler=answer)
    assert text == "error: Too much has been asked."
    assert len(asked) == 100


async def test_lines_of_a_log_that_wait_for_a_slow_client_are_bounded() -> None:
    """Gateway, F2: each was a task; 60,000 lines of a call took half a gigabyte."""
    is_read, passed = anyio.Event(), 0

    class Slow:
        async def send_notification(self, *_: object) -> None:
            nonlocal passed
            await is_read.wait()
            passed += 1

    caller = SimpleNamespace(session=Slow(), protocol_version="2025-06-18", request_id=1, meta={})
    line = LoggingMessageNotificationParams(level="info", data="half way")
    with anyio.fail_after(20), sending(OutgoingRequest(caller=cast("Any", caller))):
        async with anyio.create_task_group() as tasks:
            for _ in range(1_500):
                tasks.start_soon(pass_on_log, "other", line)
            await anyio.wait_all_tasks_blocked()
            is_read.set()
        assert passed == 1_000
        # There is room again.
        await pass_on_log("other", line)
        assert passed == 1_001
