"""A small server with OpenAI's API, over real HTTP: it streams what a script says, as OpenAI does.

A script returns, for one request, the items to answer with: chunks, which it writes as Server-Sent
Events; texts, which it writes as they are; events, for which it waits; an exception, with which it
breaks off; or a whole response.
"""

import itertools
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from mock_api.settings import Settings
from tests.mock_api.conftest import changed

KEY = "sk-proj-n0t-t0-be-sh0wn"
Chunk = dict[str, Any]
Item = Chunk | str | anyio.Event | Exception
Script = Callable[[Mapping[str, Any]], Sequence[Item] | Response]
DONE = "data: [DONE]\n\n"


@dataclass
class FakeModel:
    """`requests` are the bodies that came, and `gone` is set when a client has left a stream."""

    script: Script
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    cookies: list[str | None] = field(default_factory=list)
    gone: anyio.Event = field(default_factory=anyio.Event)

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers["authorization"])
        self.cookies.append(request.headers.get("cookie"))
        answer = self.script(body)
        if isinstance(answer, Response):
            return answer
        return StreamingResponse(self._written(answer), media_type="text/event-stream")

    async def _written(self, items: Sequence[Item]) -> AsyncIterator[bytes]:
        try:
            for item in items:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, anyio.Event):
                    await item.wait()
                    continue
                text = item if isinstance(item, str) else f"data: {json.dumps(item)}\n\n"
                yield text.encode(errors="surrogateescape")
        except anyio.get_cancelled_exc_class():
            self.gone.set()
            raise

    @property
    def offered(self) -> set[str]:
        """The names of the functions in the last request."""
        return {tool["function"]["name"] for tool in self.requests[-1].get("tools", [])}

    @property
    def outputs(self) -> list[str]:
        """What the tools have said, as the last request tells."""
        messages = self.requests[-1]["messages"]
        return [each["content"] for each in messages if each["role"] == "tool"]

    def settings(self, settings: Settings, **more: Any) -> Settings:
        """Return the settings with this model."""
        own = {"openai_api_key": KEY, "openai_base_url": f"{self.url}/v1", "openai_model": "fake"}
        return changed(settings, **{**own, **more})


class _Server(uvicorn.Server):
    """Serves in the event loop of the test, and leaves the signals to it."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


@asynccontextmanager
async def fake_model(script: Script) -> AsyncIterator[FakeModel]:
    """Serve a model on a free loopback port."""
    model = FakeModel(script)
    app = Starlette(routes=[Route("/v1/chat/completions", model.complete, methods=["POST"])])
    config = uvicorn.Config(app, log_level="critical", ws="none", lifespan="off")
    # What still streams is not waited for.
    config.timeout_graceful_shutdown = 0
    server = _Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        model.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            try:
                yield model
            finally:
                server.should_exit = True


def in_turn(*turns: Sequence[Item] | Response) -> Script:
    """Answer with one turn after the other, told by how far the conversation is."""

    def script(body: Mapping[str, Any]) -> Sequence[Item] | Response:
        said = [each for each in body["messages"] if each["role"] == "assistant"]
        return turns[len(said)]

    return script


def chunk(delta: Mapping[str, Any] | None, finish: str | None = None, **more: Any) -> Chunk:
    """Return a chunk with the fields that OpenAI's have; without a delta it has no choice."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-C0ffee",
        "object": "chat.completion.chunk",
        "created": 1_795_000_000,
        "model": "fake-2026-11-01",
        "service_tier": "default",
        "system_fingerprint": None,
        "choices": [] if delta is None else [choice],
        "usage": None,
        "obfuscation": "aH7x",
        **more,
    }


def words(*pieces: str, finish: str = "stop") -> list[Item]:
    """Say something, piece by piece."""
    first = chunk({"role": "assistant", "content": "", "refusal": None})
    return [first, *(chunk({"content": each}) for each in pieces), chunk({}, finish), DONE]


def calls(
    *asked: tuple[str, object], ids: Sequence[str] | None = None, finish: str = "tool_calls"
) -> list[Item]:
    """Ask for tools: id and name in the first piece of each, the arguments in small pieces."""
    items: list[Item] = [chunk({"role": "assistant", "content": None})]
    for number, (name, arguments) in enumerate(asked):
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        first = {
            "index": number,
            "id": ids[number] if ids else f"call_{number:02}Xy",
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        items.append(chunk({"tool_calls": [first]}))
        for piece in _pieces(text):
            part = {"index": number, "function": {"arguments": piece}}
            items.append(chunk({"tool_calls": [part]}))
    usage = {"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59}
    return [*items, chunk({}, finish), chunk(None, usage=usage), DONE]


def _pieces(text: str) -> Iterator[str]:
    """Cut a text where no word ends: `'{"', 'slu', 'g":'`."""
    letters = iter(text)
    while piece := "".join(itertools.islice(letters, 3)):
        yield piece
