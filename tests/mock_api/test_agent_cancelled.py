"""Answers that are broken off at any moment leave nothing behind."""

import asyncio
import json
from typing import Any, Literal

import anyio
import pytest
from starlette.types import ASGIApp, Message, Scope

from mock_api.app import create_app
from mock_api.settings import Settings
from tests.mock_api.openai import calls, chunk, fake_model, in_turn, words
from tests.support import ERAS, Era, envelope

pytestmark = pytest.mark.faults

Way = Literal["cancelled", "gone"]
QUESTION = {"prompt": "What is a baseline?"}
MOMENTS = range(0, 240, 9)
"""Turns of the event loop after which an answer is broken off; a whole one takes as many."""


@pytest.mark.parametrize("way", ["cancelled", "gone"])
@pytest.mark.parametrize("where", ["/chat", *ERAS])
async def test_an_answer_that_is_broken_off_at_any_moment_leaves_no_task(
    settings: Settings, where: Era | Literal["/chat"], way: Way
) -> None:
    """Agent, C7: over REST and over MCP, by its server and by its client."""
    app = create_app(settings)
    before = asyncio.all_tasks()
    for moment in MOMENTS:
        with anyio.fail_after(30):
            await break_off(app, where, way, moment)
            await ended(asyncio.all_tasks() - before)


@pytest.mark.parametrize("way", ["cancelled", "gone"])
async def test_nor_does_one_of_a_model(settings: Settings, way: Way) -> None:
    """Agent, C7: no task, and no connection to the model's server."""
    asked = [chunk({"content": "Well "}), *calls(("search_articles", {"q": "baseline"}))]
    async with fake_model(in_turn(asked, words("So."))) as model:
        app = create_app(model.settings(settings))
        before = asyncio.all_tasks()
        for moment in MOMENTS:
            with anyio.fail_after(30):
                await break_off(app, "/chat", way, moment)
                # Those of the model's server are among them, which sees that connections close.
                await ended(asyncio.all_tasks() - before)


async def ended(tasks: set[asyncio.Task[Any]]) -> None:
    """Wait until tasks that nobody cancels any more have come to their end by themselves."""
    if tasks:
        await asyncio.wait(tasks)


async def break_off(app: ASGIApp, where: Era | Literal["/chat"], way: Way, moment: int) -> None:
    """Send a question, and end its request after so many turns of the event loop."""
    gone = anyio.Event()
    headers, body = {"content-type": "application/json"}, QUESTION
    if where != "/chat":
        named: Any = {"name": "chat", "arguments": QUESTION}
        headers, body = envelope(where, "tools/call", named, token="p")
    sent: list[Message] = [{"type": "http.request", "body": json.dumps(body).encode()}]

    async def receive() -> Message:
        if not sent:
            await gone.wait()
            return {"type": "http.disconnect"}
        return sent.pop()

    async def send(_: Message) -> None:
        await asyncio.sleep(0)

    path = where if where == "/chat" else "/mcp"
    request = asyncio.ensure_future(app(_scope(path, headers), receive, send))
    for _ in range(moment):
        if not request.done():
            await asyncio.sleep(0)
    if way == "cancelled":
        request.cancel()
    gone.set()
    await asyncio.wait([request])
    if not request.cancelled():
        request.result()


def _scope(path: str, headers: dict[str, str]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("kb", 80),
    }
