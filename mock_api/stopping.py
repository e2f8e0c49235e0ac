"""Ends what would keep a server from stopping: streams that somebody watches.

Servers wait for responses to end before they tell an application to stop, some of them for ever. So
the application listens for the signal itself. Short requests have `GRACE` seconds to end; then the
others hear that their client has gone.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import anyio
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GRACE: Final = 0.5
"""Seconds for what comes to its own end."""

GRACE_OF_CALLS: Final = 0.8
"""Seconds for MCP requests: the tools that they call end before, so that results arrive."""

NOTE: Final = b"\n\n[The service is stopping: the text ends here.]\n"


class Stop:
    """Tells requests to end. A class because they come and go until then."""

    def __init__(self) -> None:
        self._is_told = False
        self._receiving: set[anyio.CancelScope] = set()

    def tell(self) -> None:
        """Let every request hear that its client has gone."""
        self._is_told = True
        for scope in self._receiving:
            scope.cancel()

    def reset(self) -> None:
        """Begin anew, for an application that is started again."""
        self._is_told = False

    def is_told(self) -> bool:
        """Whether requests are to end."""
        return self._is_told

    async def receive(self, receive: Receive) -> Message:
        """Return the next message, or that the client has gone."""
        if not self._is_told:
            with anyio.CancelScope() as scope:
                self._receiving.add(scope)
                try:
                    return await receive()
                finally:
                    self._receiving.remove(scope)
        return {"type": "http.disconnect"}


class StoppingMiddleware:
    """Ends the requests that are still running when `stop` tells so, each with a whole response."""

    def __init__(self, app: ASGIApp, stop: Stop, calls: Stop, path: str) -> None:
        """Wrap `app`; `calls` tells the requests to the MCP endpoint, which is at `path`."""
        self.app = app
        self.stop = stop
        self.calls = calls
        self.path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, to its end or to that of the server."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stop = self.calls if scope["path"].rstrip("/").endswith(self.path) else self.stop
        response = _Response(send)
        if stop.is_told():
            await response.finish(scope, receive)
            return
        try:
            await self.app(scope, lambda: stop.receive(receive), response.send)
        except ClientDisconnect:
            if not stop.is_told():
                raise
        if stop.is_told() and not response.is_whole:
            await response.finish(scope, receive)


class _Response:
    """What was sent of a response, to finish it. A class because it is noted as it is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_begun = False
        self._is_text = False
        self.is_whole = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = Headers(raw=message["headers"]).get("content-type", "")
            self._has_begun, self._is_text = True, kind.startswith("text/plain")
        elif message["type"] == "http.response.body":
            self.is_whole = not message.get("more_body", False)
        await self._send(message)

    async def finish(self, scope: Scope, receive: Receive) -> None:
        if self._has_begun:
            note = NOTE if self._is_text else b""
            await self._send({"type": "http.response.body", "body": note, "more_body": False})
            return
        refusal = JSONResponse(
            {"detail": "The service is stopping. Try again in a moment."},
            status_code=503,
            headers={"Retry-After": "5"},
        )
        await refusal(scope, receive, self._send)


@contextmanager
def stopping(stop: Stop, calls: Stop, wake: Callable[[], None]) -> Iterator[None]:
    """Tell requests soon after a signal to stop, beside what the server does on it.

    `wake` is called with the first, for those that wait for something else than their client.
    """
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def end_requests() -> None:
        stop.tell()
        wake()

    def begin() -> None:
        timers.append(loop.call_later(GRACE, end_requests))
        timers.append(loop.call_later(GRACE_OF_CALLS, calls.tell))

    stop.reset()
    calls.reset()
    try:
        with _handling(lambda: loop.call_soon_threadsafe(begin)):
            yield
    finally:
        for timer in timers:
            timer.cancel()


@contextmanager
def _handling(call: Callable[[], object]) -> Iterator[None]:
    """Call on a signal to stop, and then what the server has set for it."""
    # Only the main thread may; and where a server has set nothing, the system's way is right.
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = {each: handler for each in numbers if callable(handler := signal.getsignal(each))}
    if threading.current_thread() is not threading.main_thread():
        before = {}

    def handle(number: int, frame: FrameType | None) -> None:
        call()
        before[signal.Signals(number)](number, frame)

    for each in before:
        signal.signal(each, handle)
    try:
        yield
    finally:
        for each, handler in before.items():
            if signal.getsignal(each) is handle:
                signal.signal(each, handler)
