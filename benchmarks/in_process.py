"""Drives an ASGI app without a socket: what is left is the cost of the code."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from starlette.types import ASGIApp, Scope
from starlette.types import Message as Event

from benchmarks.messages import Message

T = TypeVar("T")
_SLICE: Final = 0.001


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[ASGIApp]:
    """Run an app's lifespan, as a server does, until the block ends."""
    to_app: asyncio.Queue[Event] = asyncio.Queue()
    from_app: asyncio.Queue[Event] = asyncio.Queue()
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.ensure_future(app(scope, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    _expect(await from_app.get(), "lifespan.startup.complete")
    yield app
    await to_app.put({"type": "lifespan.shutdown"})
    _expect(await from_app.get(), "lifespan.shutdown.complete")
    await task


def _expect(event: Event, kind: str) -> None:
    if event["type"] != kind:
        raise RuntimeError(f"Not {kind}, but {event!r}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered with; the names of headers are lower-case."""

    headers: Mapping[str, str]
    body: bytes


def sender(app: ASGIApp, message: Message) -> Callable[[], Awaitable[Answer]]:
    """Return what sends a request to `app`, as often as it is called.

    It raises a RuntimeError where the answer is no success.
    """
    scope = _scope(message)

    async def send_request() -> Answer:
        events: list[Event] = []
        request = [{"type": "http.request", "body": message.body, "more_body": False}]

        async def receive() -> Event:
            if not request:
                # The client stays, as one that waits for its answer does.
                await asyncio.Event().wait()
            return request.pop()

        async def send(event: Event) -> None:
            events.append(event)

        await app({**scope, "state": {}}, receive, send)
        head = events[0]
        body = b"".join(event.get("body", b"") for event in events)
        if not 200 <= head["status"] < 300:
            raise RuntimeError(f"{message.method} {message.path}: {head['status']}, {body!r}")
        headers = {name.decode().lower(): value.decode() for name, value in head["headers"]}
        return Answer(headers, body)

    return send_request


def _scope(message: Message) -> Scope:
    path, _, query = message.path.partition("?")
    own = {"host": "127.0.0.1", **message.headers, "content-length": str(len(message.body))}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": message.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in own.items()],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
    }


class Loop:
    """An event loop that synchronous code can run a piece at a time; lifespans go on in it."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._lifespans = AsyncExitStack()

    def run(self, piece: Callable[[], Awaitable[T]]) -> T:
        """Run a piece of work to its end."""

        async def run() -> T:
            return await piece()

        return self._runner.run(run())

    def start(self, app: ASGIApp) -> ASGIApp:
        """Run an app's lifespan until `close`."""
        return self.run(lambda: self._lifespans.enter_async_context(started(app)))

    def close(self) -> None:
        """End the lifespans, and the loop."""
        self.run(self._lifespans.aclose)
        self._runner.close()

    def milliseconds(self, piece: Callable[[], Awaitable[object]], *, seconds: float) -> float:
        """Return what a piece of work takes, repeated for that many seconds.

        It is the processor's time in the fastest of many slices: whatever else the machine does
        only adds to it, even to the processor's time. The garbage collector runs, as it does in a
        server; its rare full passes show in the throughput over HTTP.
        """

        async def repeat() -> float:
            fastest, now = math.inf, time.process_time()
            end = now + seconds
            while now < end:
                begin, count = now, 0
                while now < begin + _SLICE:
                    await piece()
                    count += 1
                    now = time.process_time()
                fastest = min(fastest, (now - begin) / count)
            return fastest * 1e3

        return self.run(repeat)
