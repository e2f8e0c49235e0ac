"""Runs tasks: each once, as its caller, on behalf of nobody who waits."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final, TypeVar

import anyio
from mcp_types import INTERNAL_ERROR, CallToolResult

from mcp_mount.access.auth import granted_scopes
from mcp_mount.backends.request import RequestContext, request_context
from mcp_mount.conversion.content import Result, error
from mcp_mount.conversion.reader import Progress
from mcp_mount.conversion.texts import write_utf8
from mcp_mount.errors import Busy
from mcp_mount.shutdown import GRACE
from mcp_mount.tasks.request import KeptRequest, restore_scope
from mcp_mount.tasks.seal import Unreadable
from mcp_mount.tasks.store import LEASE, Status, TaskStore
from mcp_mount.tools.call import ToolCall
from mcp_mount.tools.context import to_tool_result
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.tools.tracing import joined_trace
from mcp_mount.turns import Turns

logger = logging.getLogger("mcp_mount")

T = TypeVar("T")

LOST: Final = (
    "The worker that ran the task has died. What the call was to do may or may not be done; "
    "it is not done again."
)
_ENDED: Final = (
    "The worker that ran the task was stopped. What the call was to do may or may not be done; "
    "it is not done again."
)
_FAILED: Final = "The task has failed; the log of its worker says why."
_GONE: Final = "The operation is not offered any more. Nothing was done."

_TELL_EVERY: Final = 0.5
"""Seconds between two lines on how far a task has come."""

_LONGEST_MESSAGE: Final = 500
_UNLIMITED: Final = 2**40
_TRIES: Final = 60
_PAUSE: Final = 5.0
"""Seconds between two tries to reach a store that did not answer."""


class TaskWorker:
    """Runs the tasks of one mount, in this process.

    Attributes:
        running: How many run now.
        stopping: Set when it is to stop: a store that does not answer is not waited for any more.
    """

    def __init__(
        self,
        store: TaskStore,
        provider: OperationProvider,
        *,
        cookies: bool,
        state: Mapping[str, Any] | None,
        max_bytes: int,
    ) -> None:
        self._store = store
        self._provider = provider
        self._cookies = cookies
        self._state = state
        self._max_bytes = max_bytes
        self._left: set[asyncio.Task[None]] = set()
        self.running = 0
        self.stopping = asyncio.Event()

    async def run(self, name: str) -> None:
        """Run a task, unless that has been begun before: a queue may name it more than once.

        Raises:
            CancelledError: this worker stops; the queue gives what is not begun to another.
        """
        if self.stopping.is_set():
            raise asyncio.CancelledError
        self.running += 1
        try:
            # Its request may be large, and several may begin at once.
            turns = Turns(0, is_large=True)
            await turns.take()
            request = await self._insist(lambda: self._store.claim(name))
            if request is not None:
                await turns.take()
                renewing = asyncio.create_task(self._renew(name, asyncio.current_task()))
                ctx = self._context(request)
                async with AsyncExitStack() as place:
                    try:
                        await self._run(name, request, ctx, place)
                    finally:
                        renewing.cancel()
                        self._leave(ctx.tasks)
        except Unreadable:
            logger.error("A task was sealed with another state_key=, and cannot be run.")  # noqa: TRY400
            await self._store.end(name, "failed", protocol_error(_FAILED))
        finally:
            self.running -= 1

    def _leave(self, tasks: list[asyncio.Task[None]]) -> None:
        """Let go on what the app does in the background now: it is no part of a task."""
        for each in tasks:
            if not each.done():
                self._left.add(each)
                each.add_done_callback(self._left.discard)

    async def end_what_is_left(self) -> None:
        """End what the app does in the background; it has a moment, as calls have."""
        if not self._left:
            return
        _, running = await asyncio.wait([*self._left], timeout=GRACE)
        for each in running:
            each.cancel()
        if running:
            # What a thread does cannot be ended.
            await asyncio.wait(running, timeout=GRACE)

    def _context(self, request: KeptRequest) -> RequestContext:
        return RequestContext(
            scope=restore_scope(request["scope"], self._state),
            disconnect_ends_call=True,
            forward_cookies=self._cookies,
        )

    async def _wait_for_routes(self, call: ToolCall) -> None:
        """Keep a task's place while a route of it is in a thread, or its caller would have many."""
        ends = (call.wait_for_routes(), self.stopping.wait())
        waits = [asyncio.create_task(each) for each in ends]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _run(
        self, name: str, request: KeptRequest, ctx: RequestContext, place: AsyncExitStack
    ) -> None:
        status: Status = "failed"
        outcome = protocol_error(_FAILED)
        try:
            result = await self._call(name, request, ctx, place)
            status, outcome = "completed", await self._written(result)
        except asyncio.CancelledError:
            # By its caller, who has been told; or because this process ends.
            outcome = protocol_error(_ENDED)
            raise
        except Exception:
            logger.exception("A task of the tool %r has failed", request["tool"])
        finally:
            with anyio.CancelScope(shield=True):
                await self._insist(lambda: self._store.end(name, status, outcome))

    async def _call(
        self, name: str, request: KeptRequest, ctx: RequestContext, place: AsyncExitStack
    ) -> Result:
        await self._provider.refresh()
        if self.stopping.is_set():
            # What runs has been ended, and this would not be.
            raise asyncio.CancelledError
        tool = self._provider.find(request["tool"])
        if tool is None:
            return error(_GONE)
        # In a task of its own, these end with it.
        request_context.set(ctx)
        granted = request["granted"]
        granted_scopes.set(frozenset(granted) if granted is not None else None)
        # It was let in before, and its result comes in one piece.
        limits = replace(tool.binding.limits, max_event_bytes=_UNLIMITED)
        call = ToolCall(
            tool.name,
            replace(tool.binding, rate=None, needs_confirmation=False, limits=limits),
            request["arguments"],
            meta=request["trace"],
            client=request["client"],
            progress=self._progress(name),
            # Nobody waits for an answer: it need not come back, as a call does after a second.
            max_wait=tool.binding.limits.timeout,
        )
        place.push_async_callback(self._wait_for_routes, call)
        try:
            with joined_trace(request["trace"], ctx.scope["headers"]):
                result = await call.run()
            # A text that was streamed is in a file until it is closed.
            return replace(result, content=tuple(to_tool_result(result).content))
        finally:
            call.close()

    async def _written(self, result: Result) -> bytes:
        # What is much too large would be written for longer than the event loop may be held.
        if _least_bytes(result) <= self._max_bytes:
            # That of many may be ready at once.
            await Turns(is_large=True).begin()
            written = _write(result)
            if len(written) <= self._max_bytes:
                return written
        message = f"The result has more than {self._max_bytes} bytes (max_bytes of Tasks)."
        return _write(error(message))

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return what the store answers, which is given some time to come back."""
        for _ in range(_TRIES):
            try:
                return await ask()
            except Busy:
                if self.stopping.is_set():
                    raise
                with anyio.move_on_after(_PAUSE):
                    await self.stopping.wait()
        return await ask()

    async def _renew(self, name: str, running: "asyncio.Task[Any] | None") -> None:
        """Say that the task's worker is alive; end the task where nobody wants it any more."""
        while True:
            await asyncio.sleep(LEASE / 3)
            try:
                is_wanted = await self._store.renew(name)
            except Busy:
                continue
            if not is_wanted and running is not None:
                running.cancel()
                return

    def _progress(self, name: str) -> Progress:
        told = 0.0

        async def tell(message: str) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told < _TELL_EVERY:
                return
            told = now
            try:
                await self._store.tell(name, message[:_LONGEST_MESSAGE])
            except Busy:
                # The log says so. The work goes on.
                return

        return tell


def _least_bytes(result: Result) -> int:
    """Return the bytes that the texts and data of a result take at the least."""
    texts = (getattr(each, "text", "") or getattr(each, "data", "") for each in result.content)
    return sum(map(len, texts))


def _write(result: Result) -> bytes:
    written = CallToolResult(
        content=list(to_tool_result(result).content),
        is_error=result.is_error,
        _meta=result.meta,
    ).model_dump(mode="json", by_alias=True, exclude_none=True)
    if result.structured_content is not None:
        # It is JSON already, which would be copied value by value.
        written["structuredContent"] = result.structured_content
    return write_utf8({"result": written})


def protocol_error(message: str) -> bytes:
    """Return the outcome of a task that has no result (JSON-RPC 2.0 §5.1)."""
    return write_utf8({"error": {"code": INTERNAL_ERROR, "message": message}})
