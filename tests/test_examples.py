"""The examples serve MCP as they stand."""

import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from fastapi import FastAPI

from examples import large_api, minimal, streaming_chat
from tests.mock_api.openai import fake_model, in_turn, words
from tests.support import ERAS, Era, call, connected, tools

ROOT = Path(__file__).parent.parent

CALL = """
import anyio, examples.telemetry
from tests.support import call
reply = anyio.run(lambda: call(examples.telemetry.app, "get_part", {"number": 3}))
assert reply.result["structuredContent"] == {"number": 3}, reply.text
"""


def test_the_example_of_telemetry_shows_spans_and_metrics() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALL], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    for name in ("look up", "tools/call get_part", "mcp.server.operation.duration"):
        assert f'"name": "{name}"' in done.stdout


@pytest.mark.parametrize("era", ERAS)
async def test_the_six_lines_are_an_endpoint(era: Era) -> None:
    assert [*await tools(minimal.app, era=era)] == ["get_part"]
    reply = await call(minimal.app, "get_part", {"part_id": 7}, era=era)
    assert reply.result["structuredContent"] == {"part_id": 7}


@pytest.mark.parametrize("era", ERAS)
async def test_the_chat_arrives_while_the_model_writes(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streaming: the model goes on when its first words have arrived."""
    arrived = anyio.Event()
    first, *rest = words("It is ", "20°.")
    script = in_turn([first, rest[0], arrived, *rest[1:]])

    async def show(progress: float, total: float | None, message: str | None) -> None:
        if message and "It is" in message:
            arrived.set()

    async with fake_model(script) as model, connected(streaming_chat.app, era) as client:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{model.url}/v1")
        with anyio.fail_after(30):
            result = await client.call_tool("chat", {"prompt": "Warm?"}, progress_handler=show)
    assert "It is 20°." in str(result.content)


async def test_a_model_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    reply = await call(streaming_chat.app, "chat", {"prompt": "Warm?"})
    assert reply.is_error
    assert "The model cannot be reached." in reply.text_content


@pytest.mark.parametrize("era", ERAS)
async def test_the_large_api_is_searched(era: Era) -> None:
    app: FastAPI = large_api.app
    listed = await tools(app, era=era)
    assert {"search_tools", "describe_tool", "list_orders"} <= {*listed}
    assert len(listed) == 5
    found = await call(app, "search_tools", {"query": "close an order"}, era=era)
    assert found.text_content.find("close_orders") in range(100)
    assert "Close one of the orders" in found.text_content
    arguments = {"name": "close_orders", "arguments": {"number": 7}}
    closed = await call(app, "call_tool", arguments, era=era)
    assert '"close"' in closed.text_content
