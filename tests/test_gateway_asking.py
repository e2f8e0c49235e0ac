"""What a server of the handshake versions asks and says while a call runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastmcp import Context, FastMCP
from mcp.shared.exceptions import MCPError
from mcp_types import (
    ElicitRequestFormParams,
    ModelHint,
    ModelPreferences,
    SamplingMessage,
    TextContent,
)

from mcp_mount import Remote
from tests.others import gateway, handshake_only
from tests.support import Era, connected, served

# Logs and sampling are deprecated in the modern era; these servers are older.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

FORM: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}}


def asking_server() -> FastMCP[Any]:
    """Return a server that asks, and says, while a call runs."""
    server: FastMCP[Any] = FastMCP("asking")

    @server.tool
    async def ask(context: Context) -> str:
        try:
            answer = await context.session.elicit_form("Who?", FORM, context.request_id)
        except MCPError as error:
            return f"error: {error.message}"
        return f"{answer.action}: {answer.content}"

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
    async def tell(context: Context) -> str:
        await context.info("half way")
        return "told"

    return server


@contextmanager
def asking() -> Iterator[str]:
    app = asking_server().http_app(path="/mcp", stateless_http=False)
    with served(handshake_only(app), timeout_graceful_shutdown=1) as url:
        yield f"{url}/mcp"


async def called(name: str, era: Era = "legacy", *, sessions: bool = True, **client: Any) -> str:
    """Return what a tool says to a client that connects with these handlers."""
    with asking() as url:
        async with (
            gateway(Remote("other", url=url), sessions=sessions) as app,
            connected(app, era, **client) as connection,
        ):
            result = await connection.call_tool(f"other_{name}")
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
