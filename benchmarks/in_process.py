"""Drives an ASGI app without a socket: what is left is the cost of the code."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.types import ASGIApp, Scope
from starlette.types import Message as Event

from benchmarks.messages import Message

_FOREVER: Final = 3600.0


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


async def send(app: ASGIApp, message: Message) -> tuple[str, bytes]:
    """Send one request; return the content type and the body of its answer.

    Raises:
        RuntimeError: the answer is no success.
    """
    events: list[Event] = []
    request = [{"type": "http.request", "body": message.body, "more_body": False}]

    async def receive() -> Event:
        if request:
            return request.pop()
        # The client stays, as one that waits for its answer does.
        await asyncio.sleep(_FOREVER)
        return {"type": "http.disconnect"}

    async def take(event: Event) -> None:
        events.append(event)

    await app(_scope(message), receive, take)
    head = events[0]
    body = b"".join(event.get("body", b"") for event in events)
    if not 200 <= head["status"] < 300:
        raise RuntimeError(f"{message.method} {message.path} answered {head['status']}: {body!r}")
    return dict(head["headers"]).get(b"content-type", b"").decode(), body


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
        "state": {},
    }


class Loop:
    """An event loop that synchronous code can run a piece at a time.

    A class because lifespans go on in it between the pieces.
    """

    def __init__(self) -> None:
        """Make the loop."""
        self._runner = asyncio.Runner()

    def run(self, awaitable: Callable[[], Awaitable[Any]]) -> Any:
        """Run until what `awaitable` returns is done."""

        async def run() -> Any:
            return await awaitable()

        return self._runner.run(run())

    def milliseconds(self, piece: Callable[[], Awaitable[object]], *, seconds: float) -> float:
        """Return what a piece of work takes on average, repeated for that many seconds.

        Counted is the processor's time, which the machine's other work hardly changes. Nothing
        measured this way waits for anything.
        """

        async def repeat() -> float:
            count, begin = 0, time.process_time()
            elapsed = 0.0
            while elapsed < seconds:
                await piece()
                count += 1
                elapsed = time.process_time() - begin
            return elapsed / count * 1e3

        measured: float = self._runner.run(repeat())
        return measured
