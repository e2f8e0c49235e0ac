"""One request on its way through an ASGI application, in a task of its own.

* The task has a copy of the caller's context: what middleware put into context variables is visible
  to the route. There is no socket, no HTTP client and no cookie jar.
* A call is answered when the last message of its response comes; background tasks go on after that,
  as over REST.
* A route that is to stop is told first (``http.disconnect``, and `OSError` from its ``send``, ASGI
  "Disconnected Client"), and cancelled if it goes on for longer than `GRACE` seconds.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Scope

from mcp_mount.backends.request import ResponseEnd, Sink, request_context
from mcp_mount.shutdown import Shutdown, shutdown
from mcp_mount.turns import Turns

logger = logging.getLogger("mcp_mount")

GRACE: Final = 0.5
"""Seconds between telling a route that its client is gone and cancelling it."""

WATCH_AFTER: Final = 0.05
"""Seconds after which a call that still runs is worth a task to watch it: most end before that."""

_running: set[asyncio.Task[None]] = set()
"""Tasks that may outlive whoever began them; the event loop alone would forget them."""


class AppCall:
    """One request on its way through an app.

    Attributes:
        is_answered: Nothing more will reach the sink.
        is_done: The route has sent its last message, or ended; the rest is background tasks.
        outcome: How the response ended, once it is answered.
        failure: What the sink raised, which is not the route's to handle.
        task: Runs the app, from `start` until its background tasks have ended.
    """

    task: asyncio.Task[None]

    def __init__(self, app: ASGIApp, scope: Scope, body: bytes | None, sink: Sink) -> None:
        """Prepare the call; nothing happens before `start`."""
        self.is_answered = False
        self.is_done = False
        self.outcome: ResponseEnd = "timeout"
        self.failure: Exception | None = None
        self._app = app
        self._scope = scope
        self._body: bytes | None = body or b""
        self._sink = sink
        self._shutdown: Shutdown
        self._is_started = False
        self._turns: Turns | None = None
        self._is_gone = False
        self._changed: asyncio.Event | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._delivery: anyio.CancelScope | None = None
        self._cancellation = anyio.CancelScope()

    def start(
        self, deadline: float = math.inf, watch_client: Callable[[], None] | None = None
    ) -> None:
        """Run the app.

        Args:
            deadline: When the response is given up, on the event loop's clock.
            watch_client: Called if the response is not there after `WATCH_AFTER` seconds.
        """
        loop = asyncio.get_running_loop()
        # One timer for both, because most responses come before either.
        at = deadline if watch_client is None else min(deadline, loop.time() + WATCH_AFTER)
        if at < math.inf:
            # The loop keeps a timer that is cancelled, and would keep the call's arguments with it.
            context = Context()
            self._timer = loop.call_at(at, self._tick, deadline, watch_client, context=context)
        self.task = loop.create_task(self._run())
        self._shutdown = shutdown.get()
        self._shutdown.endings.add(self._end_with_server)

    def _end_with_server(self) -> None:
        self.outcome = "shutdown"
        self._give_up()

    def send_disconnect(self) -> None:
        """Tell the route that its client is gone; nothing more reaches the sink."""
        self._is_gone = True
        self._notify()
        if self._delivery is not None:
            self._delivery.cancel()

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back once the route has sent its last message or ended; now if it has."""
        if self.is_done:
            callback()
        else:
            self._callbacks.append(callback)

    async def wait_until_answered(self) -> None:
        """Wait until nothing more will reach the sink."""
        while not self.is_answered:
            await self._wait()

    async def wait_until_done(self) -> None:
        """Wait until the route has sent its last message or ended."""
        while not self.is_done:
            await self._wait()

    async def _wait(self) -> None:
        """Wait until the state of the call is another one."""
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def cancel_soon(self, *, at: float = -math.inf) -> asyncio.Task[None]:
        """Begin to `cancel` the call, at a time of the event loop's clock; return the task."""
        task = asyncio.get_running_loop().create_task(self._cancel_at(at))
        _running.add(task)
        task.add_done_callback(_running.discard)
        return task

    async def cancel(self) -> None:
        """Send the disconnect, wait briefly, then cancel the route.

        A route that has sent its whole response is left to its background tasks.
        """
        self.send_disconnect()
        with anyio.move_on_after(GRACE, shield=True):
            await self.wait_until_done()
            return
        self._cancellation.cancel()
        with anyio.move_on_after(GRACE, shield=True):
            # A route in a worker thread cannot be interrupted; its task ends with the thread.
            await self.wait_until_done()

    async def _cancel_at(self, at: float) -> None:
        with anyio.CancelScope(deadline=max(at, asyncio.get_running_loop().time())):
            await self.wait_until_answered()
        await self.cancel()

    def _tick(self, deadline: float, watch_client: Callable[[], None] | None) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < deadline and watch_client is not None:
            self._timer = loop.call_at(deadline, self._tick, deadline, None)
            watch_client()
            return
        self._give_up()

    def _give_up(self) -> None:
        """Answer with what has come until now."""
        self.is_answered = True
        self.send_disconnect()

    async def _run(self) -> None:
        """Run the app. What it raises is logged here and reaches no client."""
        ctx = request_context.get()
        if ctx is not None and not ctx.disconnect_ends_call:
            # Whoever cancels a call that the route makes in its turn means it.
            request_context.set(replace(ctx, disconnect_ends_call=True))
        try:
            with self._cancellation:
                await self._app(self._scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - logged
            # What is raised after a disconnect follows from it, as over REST. By now the app may
            # have answered with an error, to nobody.
            is_over = self.is_done and self.outcome != "timeout"
            left = self._is_gone and not is_over
            self._log(logging.DEBUG if left else logging.ERROR)
        except asyncio.CancelledError:
            if self.task.cancelling():
                raise
            # The app let out the end of a task that it had waited for.
            self._log(logging.ERROR)
        finally:
            if not (self._is_gone or self.is_answered):
                # Only the last message of the body tells that a response is whole.
                self.outcome = "broken"
            if not (self.is_done and self.is_answered):
                self.is_done = True
                self._answer()

    def _answer(self) -> None:
        self.is_answered = True
        if self.is_done and self._callbacks:
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()
        self._notify()
        self._shutdown.endings.discard(self._end_with_server)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        # `is_disconnected()` asks without waiting, in a cancelled scope.
        while not self._is_gone:
            await self._wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        """Take a message. Early hints and trailers are no part of a result.

        Raises:
            OSError: the client is gone, and more of the body is to come. (A response of one part is
                over with that part, so there is nothing to stop.)
        """
        if message["type"] == "http.response.start":
            if self._is_started:
                raise RuntimeError("The response was started twice.")
            self._is_started = True
            if not self._is_gone:
                await self._sink.start(message["status"], [*message.get("headers", ())])
        elif message["type"] == "http.response.body":
            await self._write(message.get("body", b""), more=message.get("more_body", False))

    async def _write(self, chunk: bytes, *, more: bool) -> None:
        if not self._is_started:
            raise RuntimeError("The response's body came before its start.")
        if self.is_done:
            # What has ended stays so: others count on it. Servers raise the same.
            raise RuntimeError("The response's body went on after its last part.")
        wanted = not self._is_gone
        if wanted and chunk:
            wanted = await self._push(bytes(chunk))
        if wanted and more:
            # A route that never waits would keep others waiting, and its own deadline.
            self._turns = self._turns or Turns(0)
            await self._turns.take()
            return
        if not more:
            self.is_done = True
        if not self._is_gone:
            self.outcome = "complete" if wanted else "ended"
            # With that, a route that listens for its client's going ends what it still does.
            self._is_gone = True
        self._answer()
        if more:
            raise OSError("The client is gone.")

    async def _push(self, chunk: bytes) -> bool:
        """Push a chunk into the sink; False when the sink or the client had enough.

        The client may go while the sink waits: the route is then told, not kept waiting.
        """
        try:
            if not self._sink.may_wait:
                return await self._sink.write(chunk)
            with anyio.CancelScope() as self._delivery:
                return await self._sink.write(chunk)
        except Exception as error:  # noqa: BLE001 - raised to whoever waits for the answer
            self.failure = error
        return False

    def _log(self, level: int) -> None:
        logger.log(level, "Exception in ASGI application", exc_info=True)
