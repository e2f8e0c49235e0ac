"""One request on its way through an application.

* The app runs in the caller's context: what middleware put into context variables is visible to
  the route. There is no socket, no HTTP client and no cookie jar.
* A route that is to stop is told first (``http.disconnect``, and `OSError` from its ``send``, ASGI
  §"Disconnected Client"), and cancelled when it goes on for longer than `GRACE` seconds.
* As over REST, a response is complete before the route's background tasks are.
"""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Scope

from mcp_mount.backends.request import Headers, Outcome, Sink, request_context

logger = logging.getLogger("mcp_mount")


GRACE: Final = 0.5
"""Seconds between telling a route that its client is gone and cancelling it."""


TURN: Final = 0.002
"""Seconds that a route which never waits may send for before others run."""


class _Flag:
    """An event that most of the time nobody waits for: it costs next to nothing until then."""

    __slots__ = ("_event", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._event: anyio.Event | None = None

    def set(self) -> None:
        self.is_set = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        if self._event is None:
            self._event = anyio.Event()
            if self.is_set:
                self._event.set()
        await self._event.wait()


class TracebackFilter:
    """Keeps from a sink what an app in debug mode answers to an exception: the traceback.

    It looks like any other answer with status 500, so those of the app's own are kept back too.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._keeps = False

    @property
    def may_wait(self) -> bool:
        """Whether the sink may wait."""
        return self._sink.may_wait

    async def start(self, status: int, headers: Headers) -> None:
        """Keep an answer with status 500; pass on every other."""
        self._keeps = status == 500
        if not self._keeps:
            await self._sink.start(status, headers)
            return
        await self._sink.start(status, [(b"content-type", b"text/plain; charset=utf-8")])
        await self._sink.write(_KEPT)

    async def write(self, chunk: bytes) -> bool:
        """Pass a part on, or write it to the log."""
        if not self._keeps:
            return await self._sink.write(chunk)
        logger.warning("Not shown to the client: %s", chunk.decode("utf-8", "replace"))
        return True


_KEPT = b"The app runs in debug mode, so this answer is not shown here. The server's log has it."


class AppCall:
    """One request on its way through the app. `run` is the task that the app runs in.

    It is `answered` when nothing more will reach the sink, and `done` when the route has sent its
    last message or ended. What runs after that are background tasks.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        body: bytes | None,
        sink: Sink,
        on_answer: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Prepare the call; nothing happens before `run`.

        With `on_answer`, the call runs in its caller's own task: that is awaited as soon as nothing
        more will reach the sink, and what cancels the task reaches the route at once.
        """
        self.answered = _Flag()
        self.done = _Flag()
        self.outcome: Outcome = "timeout"
        self._app = app
        self._scope = scope
        self._body: bytes | None = body or b""
        self._sink = sink
        self._is_started = False
        self._turn = -math.inf
        self._gone = _Flag()
        self._delivery: anyio.CancelScope | None = None
        # Whoever ends the whole request ends the route by `cancel`, so that it is told first.
        self._cancellation = anyio.CancelScope(shield=on_answer is None)
        self._on_answer = on_answer

    async def run(self) -> None:
        """Run the app. What it raises is logged here and reaches no client."""
        served = request_context.get()
        if served is not None and not served.disconnect_ends_call:
            # Whoever cancels a call that the route makes in its turn means it.
            request_context.set(replace(served, disconnect_ends_call=True))
        try:
            with self._cancellation:
                await self._app(self._scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - logged
            # What is raised after we left follows from that, as after a client's disconnect. By now
            # the app may have answered with an error, to nobody.
            left = self._gone.is_set and not (self.answered.is_set and self.done.is_set)
            self._log(logging.DEBUG if left else logging.ERROR)
        except anyio.get_cancelled_exc_class():
            # Either the request is over, or the app let out the end of a task it had waited for.
            await anyio.lowlevel.checkpoint_if_cancelled()
            self._log(logging.ERROR)
        finally:
            if not (self._gone.is_set or self.answered.is_set):
                # Only the last message of the body tells that a response is whole.
                self.outcome = "broken"
            self.answered.set()
            self.done.set()
            # It may lead back here; nothing is left for the garbage collector to find.
            self._on_answer = None

    def send_disconnect(self) -> None:
        """Tell the route that its client is gone; nothing more reaches the sink."""
        self._gone.set()
        if self._delivery is not None:
            self._delivery.cancel()

    async def cancel(self) -> None:
        """Hang up, wait briefly, then cancel the route.

        A route that has sent its whole response is left to its background tasks.
        """
        self.send_disconnect()
        with anyio.move_on_after(GRACE, shield=True):
            await self.done.wait()
            return
        self._cancellation.cancel()
        with anyio.move_on_after(GRACE, shield=True):
            # A route in a worker thread cannot be interrupted; its task ends with the thread.
            await self.done.wait()

    async def cancel_at(self, deadline: float) -> None:
        """Leave the route when `deadline` (of the event loop's clock) comes before its response."""
        try:
            with anyio.CancelScope(deadline=deadline):
                await self.answered.wait()
        finally:
            await self.cancel()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        # `is_disconnected()` asks without waiting, in a cancelled scope.
        if not self._gone.is_set:
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        """Take a message. Early hints and trailers have no place in a result.

        Raises:
            OSError: the client is gone, and more of the body is to come. (A response of one part is
                over with that part, so there is nothing to stop.)
        """
        if message["type"] == "http.response.start":
            await self._start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            await self._write(message.get("body", b""), more=message.get("more_body", False))

    async def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self._is_started:
            raise RuntimeError("The response was started twice.")
        self._is_started = True
        if not self._gone.is_set:
            await self._sink.start(status, [*headers])

    async def _write(self, chunk: bytes, *, more: bool) -> None:
        if not self._is_started:
            raise RuntimeError("The response's body came before its start.")
        wanted = not self._gone.is_set
        if wanted and chunk:
            take = self._deliver if self._sink.may_wait else self._sink.write
            wanted = await take(bytes(chunk))
        if wanted and more:
            await self._take_turns()
            return
        if not self._gone.is_set:
            self.outcome = "complete" if wanted else "ended"
            self.answered.set()
            if self._on_answer is not None:
                await self._on_answer()
            # Only now: a route that listens for its client's going ends what it still does.
            self._gone.set()
        if more:
            raise OSError("The client is gone.")
        self.done.set()
        # Whoever ends the whole request ends its background tasks too, as over REST.
        self._cancellation.shield = False

    async def _take_turns(self) -> None:
        """Let others run from time to time: a route that never waits keeps them, and its deadline.

        Not after each part, because a turn of the event loop costs more than a small part does.
        """
        now = time.monotonic()
        if now - self._turn > TURN:
            await anyio.lowlevel.checkpoint()
            self._turn = time.monotonic()

    async def _deliver(self, chunk: bytes) -> bool:
        """Push a chunk into a sink that waits for the client; False when either had enough.

        The client may go while the sink waits: the route is then told, not kept waiting.
        """
        with anyio.CancelScope() as self._delivery:
            return await self._sink.write(chunk)
        return False

    def _log(self, level: int) -> None:
        logger.log(level, "Exception in ASGI application", exc_info=True)
