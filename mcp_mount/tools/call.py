"""A call of an operation's tool, from its arguments to its result.

Every call goes this way, whoever answers the MCP request: arguments → request → confirmation, rate,
a slot among the running calls → backend, through redirects → result → a line in the log.

The deadline counts from when the call has its slot; waiting for one and for a store of rates
have limits of their own. Whoever cancels the task ends the call.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import anyio

from mcp_mount.backends.app_call import AppCall
from mcp_mount.backends.request import OperationRequest, RequestContext, request_context
from mcp_mount.conversion.content import Result, error
from mcp_mount.conversion.fields import Tree
from mcp_mount.conversion.reader import Progress, ResponseReader
from mcp_mount.errors import Busy, InvalidArguments
from mcp_mount.limits import Release
from mcp_mount.loops import LARGE
from mcp_mount.shutdown import shutdown
from mcp_mount.tools import access_log
from mcp_mount.tools.binding import ToolBinding
from mcp_mount.tools.confirm import Question
from mcp_mount.tools.converting import convert
from mcp_mount.tools.metrics import CallMetrics
from mcp_mount.tools.tracing import trace_headers

MAX_REDIRECTS: Final = 5

_ABANDONED: Final = "Too many calls are running, and nobody waits for this one."
_SHUT_DOWN: Final = "The server is shutting down. Nothing was done."

_LONGEST_LOCATION: Final = 65_000
"""Characters of where a redirect leads, as many as servers take of a URL: `urllib` keeps the last
128 addresses that it has read."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ToolCall:
    """One call of an operation's tool. Use `run` once, then `close`."""

    def __init__(
        self,
        name: str,
        binding: ToolBinding,
        arguments: Mapping[str, Any],
        *,
        meta: Mapping[str, Any],
        client: str | None = None,
        progress: Progress | None = None,
        confirm: Callable[[], Awaitable[Result | None]] | None = None,
        watch_client: Callable[[], None] | None = None,
        cancel_ends_call: bool = True,
        max_wait: float | None = None,
    ) -> None:
        """Prepare a call, for whose trace `meta` is the request's ``_meta``.

        `confirm` returns what to answer instead of running the call; None where it may run.
        `watch_client` is called before every wait, and after a while, maybe several times; from
        then on the caller is to notice when the client goes. Without `cancel_ends_call`, a call
        whose task is cancelled goes on until its deadline: only the connection is lost.
        `max_wait` are the seconds that it waits for its turn; None: as long as others.
        """
        self.name = name
        self.binding = binding
        self.outcome: access_log.CallOutcome = "cancelled"
        self._arguments = arguments
        self._meta = meta
        self._client = client
        self._progress = progress
        self._confirm = confirm
        self._watch_client = watch_client
        self._cancel_ends_call = cancel_ends_call
        self._max_wait = max_wait
        self._ctx: RequestContext | None = request_context.get()
        self._readers: list[ResponseReader] = []
        self._calls: list[AppCall] = []
        self._release_slot: Release | None = None
        self._waiting: anyio.CancelScope | None = None
        self._client_gone = False
        self._request: OperationRequest
        self._fields: Tree | None = None
        self._is_ended = False

    def abandon(self) -> None:
        """Let the call go on only while nobody else needs its slot: its client has gone."""
        self._client_gone = True
        if self._waiting is not None:
            self._waiting.cancel()
        elif self._release_slot is not None:
            self.binding.slots.lend(self._end)

    @property
    def media_type(self) -> str:
        """What the last response was, e.g. ``"application/json"``; empty where there was none."""
        return self._readers[-1].media_type if self._readers else ""

    async def run(self) -> Result:
        """Make the call; return its result, which is an error where it was refused."""
        started = time.perf_counter()
        self._metrics = CallMetrics(self.name, is_stream=self._progress is not None)
        try:
            result = await self._run()
            is_question = isinstance(result, Question)
            self.outcome = "asked" if is_question else "error" if result.is_error else "ok"
        except (InvalidArguments, Busy) as refused:
            result = error(str(refused))
            self.outcome = access_log.outcome_of_refusal(refused)
        except Exception:
            self.outcome = "failed"
            raise
        finally:
            seconds = time.perf_counter() - started
            reader = self._readers[-1] if self._readers else None
            self._metrics.end(self.outcome, seconds, reader.size if reader else None)
            self._log(seconds, reader)
        return result

    async def admit(self) -> Result | None:
        """Check, ask and count the call, and make it later; return what refuses it, or asks."""
        started = time.perf_counter()
        try:
            answer = await self._admit()
            self.outcome = "asked" if isinstance(answer, Question) else "refused"
        except (InvalidArguments, Busy) as refused:
            answer = error(str(refused))
            self.outcome = access_log.outcome_of_refusal(refused)
        if answer is not None:
            self._log(time.perf_counter() - started, None)
        return answer

    def close(self) -> None:
        """Give back what the result is read from, once it is written."""
        for reader in self._readers:
            reader.close()
        if self._ctx is not None and self._ctx.abandon == self.abandon:
            # A session keeps the context of its last request.
            self._ctx.abandon = None

    async def wait_for_routes(self) -> None:
        """Wait until every route has ended: one in a thread goes on when its call is over."""
        for each in self._calls:
            await each.wait_until_done()

    async def _run(self) -> Result:
        binding = self.binding
        if (answer := await self._admit()) is not None:
            return answer
        request = self._request
        if headers := trace_headers(self._meta):
            request = replace(request, headers=(*request.headers, *headers))
        release = binding.slots.take_nowait()
        if release is None:
            self._begin_watch()
            with self._metrics.waiting():
                release = await self._wait_for_slot()
        self._release_slot = release
        if self._client_gone:
            self.abandon()
        try:
            deadline = asyncio.get_running_loop().time() + binding.limits.timeout
            reader, call = await self._send_and_follow(request, deadline)
            if reader.size > LARGE:
                self._begin_watch()
            return await convert(binding, reader, call.outcome, self._fields)
        finally:
            self._release_when_done(release)

    async def _admit(self) -> Result | None:
        """Read the arguments, ask the user where that is to be, and count the call.

        Return what to answer instead of making the call; None where it may be made.
        """
        binding, arguments = self.binding, self._arguments
        if binding.fields is not None:
            arguments, self._fields = binding.fields.take(arguments)
        if (read_slips := binding.arguments.read_slips) is not None:
            arguments = await read_slips(arguments)
        self._request = binding.arguments.request(arguments)
        if binding.needs_confirmation and self._confirm is not None:
            self._begin_watch()
            if (answer := await self._confirm()) is not None:
                return answer
        if binding.rate is not None and self._ctx is not None:
            self._begin_watch()
            await binding.rate.count(self._ctx.request)
        return None

    async def _wait_for_slot(self) -> Release:
        """Wait for a slot, unless the client has gone; others wait for an answer."""
        request, endings = self._ctx.request if self._ctx else None, shutdown.get().endings
        with anyio.CancelScope() as scope:
            self._waiting = scope
            endings.add(scope.cancel)
            try:
                if not self._client_gone:
                    return await self.binding.slots.take(request, self._max_wait)
            finally:
                endings.discard(scope.cancel)
                self._waiting = None
        raise Busy(_ABANDONED if self._client_gone else _SHUT_DOWN)

    def _log(self, seconds: float, reader: ResponseReader | None) -> None:
        said = (self.name, self.binding.label, self.outcome, seconds, self._ctx)
        access_log.log_call(*said, client=self._client, reader=reader)

    def _begin_watch(self) -> None:
        if self._watch_client is not None:
            self._watch_client()

    async def _send_and_follow(
        self, request: OperationRequest, deadline: float
    ) -> tuple[ResponseReader, AppCall]:
        """Send a request, and what its response redirects to within the app."""
        reader, call = await self._send(request, deadline)
        for _ in range(MAX_REDIRECTS):
            if reader.status not in _REDIRECTS or "location" not in reader.headers:
                break
            location = reader.headers["location"]
            if len(location) > _LONGEST_LOCATION:
                break
            following = self.binding.backend.follow(request, reader.status, location)
            if following is None or call.outcome in {"timeout", "shutdown"}:
                break
            request = following
            reader, call = await self._send(request, deadline)
        return reader, call

    async def _send(
        self, request: OperationRequest, deadline: float
    ) -> tuple[ResponseReader, AppCall]:
        """Send a request and read its response, as far as it comes by the deadline."""
        ctx = self._ctx
        tasks = ctx.tasks if ctx is not None else []
        binding = self.binding
        reader = ResponseReader(binding.limits, self._progress, binding.output.stream)
        self._readers.append(reader)
        call = binding.backend.prepare(request, reader, tool=self.name)
        self._calls.append(call)
        call.start(deadline, self._watch_client)
        try:
            await call.wait_until_answered()
            if call.failure is None:
                await _finish_reading(call, reader, deadline)
        except asyncio.CancelledError:
            if not call.is_done:
                at = -math.inf if self._cancel_ends_call else deadline
                tasks += (call.cancel_soon(at=at), call.task)
                if not self._cancel_ends_call:
                    self.abandon()
            raise
        if self._is_ended:
            raise Busy(_ABANDONED)
        if not call.is_done:
            # Without waiting: a route that does not listen must not hold the result back.
            call.send_disconnect()
            tasks.append(call.cancel_soon())
        if not call.task.done():
            tasks.append(call.task)
            if ctx is None:
                await asyncio.wait(tasks)
        if call.failure is not None:
            raise call.failure
        return reader, call

    def _end(self) -> None:
        """End the call: somebody who waits for an answer needs its slot."""
        self._is_ended = True
        tasks = self._ctx.tasks if self._ctx is not None else []
        tasks += (call.cancel_soon() for call in self._calls if not call.is_done)

    def _release_when_done(self, release: Release) -> None:
        """Release a slot when every route has ended: one that goes on still takes up a thread."""
        if running := [call for call in self._calls if not call.is_done]:
            running[0].when_done(partial(self._release_when_done, release))
            return
        self._release_slot = None
        if self._client_gone:
            self.binding.slots.withdraw(self._end)
        release()


async def _finish_reading(call: AppCall, reader: ResponseReader, deadline: float) -> None:
    if not reader.may_wait:
        await reader.end()
        return
    # What is left to show may have to wait for the client, as everything before it.
    with anyio.CancelScope(deadline=deadline) as scope:
        await reader.end()
    if scope.cancelled_caught:
        call.outcome = "timeout"
