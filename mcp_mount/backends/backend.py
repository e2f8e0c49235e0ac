"""Who knows where operations are, and a call in a task of its own."""

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from mcp_mount.backends.app_call import AppCall
from mcp_mount.backends.request import Outcome, Request, Sink, request_context


class Backend(Protocol):
    """Knows where the operations are, and how to get there."""

    def prepare(
        self,
        request: Request,
        sink: Sink,
        *,
        tool: str,
        on_answer: Callable[[], Awaitable[None]] | None = None,
    ) -> AppCall:
        """Return the call that sends a request on behalf of the current MCP request.

        Args:
            request: What to send.
            sink: Receives the response while it is produced.
            tool: The tool's name.
            on_answer: See `AppCall`.

        Raises:
            InvalidArguments: the request would reach another operation than the one it is for.
        """

    def connected(self) -> AbstractAsyncContextManager[object]:
        """Keep what calls need, such as connections, as long as the server runs."""

    def follow(self, request: Request, status: int, location: str) -> Request | None:
        """Return the request that a redirect asks for; None where it leads elsewhere."""


async def completed(call: AppCall, timeout: float) -> Outcome:
    """Make a call in a task of its own; return how the response came to its end.

    Args:
        call: The call, not yet begun.
        timeout: Seconds until the response must be complete.
    """
    deadline = anyio.current_time() + timeout
    served = request_context.get()
    if served is not None and served.tasks is not None and _is_begun(call, served.tasks):
        is_cancellable = served.disconnect_ends_call
        return await _answer(call, served.tasks, deadline, is_cancellable=is_cancellable)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call.run)
        await _answer(call, tasks, deadline)
    return call.outcome


def _is_begun(call: AppCall, tasks: TaskGroup) -> bool:
    """Begin the call among the request's tasks; False where the request has ended already.

    So it has for a client that did not wait for its session's answer, and for work that a tool left
    behind.
    """
    try:
        tasks.start_soon(call.run)
    except RuntimeError:
        return False
    return True


async def _answer(
    call: AppCall, tasks: TaskGroup, deadline: float, *, is_cancellable: bool = True
) -> Outcome:
    """Wait for the answer to a call that runs among `tasks`, which also see to its end.

    When this is cancelled the call ends too, or at its deadline where `is_cancellable` is false.
    """
    try:
        with anyio.CancelScope(deadline=deadline):
            await call.answered.wait()
    except anyio.get_cancelled_exc_class():
        if not call.done.is_set:
            tasks.start_soon(call.cancel_at, -math.inf if is_cancellable else deadline)
        raise
    if not call.done.is_set:
        # Without waiting: a route that does not listen must not hold the result back.
        call.send_disconnect()
        tasks.start_soon(call.cancel)
    return call.outcome
