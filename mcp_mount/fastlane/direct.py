"""One call of a tool in the request's own task, its answer written as soon as it is there."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from contextvars import copy_context
from dataclasses import replace
from typing import Any, Final

import anyio
from starlette.requests import Request as HTTPRequest
from starlette.types import Receive

from mcp_mount.backends.app_call import AppCall
from mcp_mount.backends.request import Request, RequestContext, request_context
from mcp_mount.conversion.content import Result, error
from mcp_mount.conversion.reader import ResponseReader
from mcp_mount.errors import Busy, InvalidArguments
from mcp_mount.fastlane.context import run_in_context
from mcp_mount.fastlane.patience import patience_of
from mcp_mount.fastlane.writer import ResponseWriter, ServerMeta, serialize
from mcp_mount.limits import Place
from mcp_mount.tools import access_log
from mcp_mount.tools.binding import ToolBinding
from mcp_mount.tools.responding import (
    MOST_REDIRECTS,
    following_request,
    result_of,
    send_and_follow,
    trace_of,
    traced,
)

_PING: Final = 15.0
"""Seconds of silence after which an answer begins as an event stream, as the SDK's does."""


class DirectCall:
    """One call of a tool, in the request's own task.

    A class because the route's last message, the deadline and the client's going can each end it.
    """

    __slots__ = (
        *("_answered", "_call", "_deadline", "_following", "_is_gone", "_is_late"),
        *(
            "_leaving",
            "_params",
            "_place",
            "_binding",
            "_reading",
            "_receive",
            "_request",
            "_served",
        ),
        *("_stamp", "_started", "_watching", "_wire"),
    )

    def __init__(
        self,
        params: Mapping[str, Any],
        binding: ToolBinding,
        wire: ResponseWriter,
        stamp: ServerMeta,
        *,
        served: RequestContext,
        receive: Receive,
    ) -> None:
        """Prepare the call.

        Args:
            params: Of the request ``tools/call``.
            binding: How the tool is called.
            wire: Where the answer is written.
            stamp: What every answer says of the server.
            served: The request, for which the call is made.
            receive: Tells when its client goes.
        """
        self._params = params
        self._binding = binding
        self._served = served
        self._receive = receive
        self._wire = wire
        self._stamp = stamp
        self._started = time.perf_counter()
        self._deadline = math.inf
        self._is_gone = False
        self._is_late = False
        self._answered = False
        self._place: Place | None = None
        self._request: Request | None = None
        self._reading: ResponseReader | None = None
        self._call: AppCall | None = None
        self._watching: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Make the call; its answer is written as soon as it is there."""
        loop = asyncio.get_running_loop()
        patience = patience_of(loop)
        self._deadline = loop.time() + self._binding.limits.timeout
        # Most calls end before anybody has to watch them, and a task costs as much as they do.
        patience.begin(self, loop)
        try:
            await self._make(loop)
            if self._following is not None:
                await asyncio.wait([self._following])
                if not self._following.cancelled():
                    self._following.result()
        except (InvalidArguments, Busy) as refused:
            if not self._is_gone:
                await self._finish(error(str(refused)), outcome=access_log.refusal(refused))
        finally:
            patience.end(self)
            try:
                if self._watching or self._following or self._leaving:
                    await self._end_tasks()
            finally:
                if self._reading is not None and not self._answered:
                    self._reading.close()
            if not self._wire.is_over:
                self._end("cancelled")
            # It leads back here; nothing is left for the garbage collector to find.
            self._call = None

    def watch(self) -> None:
        """See to it that the call ends when its client goes, and at its deadline."""
        context = self._wire.context.copy()
        self._watching = asyncio.get_running_loop().create_task(self._watch(), context=context)

    async def _make(self, loop: asyncio.AbstractEventLoop) -> None:
        binding, params = self._binding, self._params
        request = binding.arguments.request(params.get("arguments", {}))
        if trace := trace_of(params.get("_meta", {})):
            request = traced(request, trace)
        if binding.rate is not None:
            await binding.rate.count(HTTPRequest(self._served.scope))
        self._place = await binding.slots.take()
        self._deadline = loop.time() + binding.limits.timeout
        if self._is_gone:
            return
        reader = ResponseReader(
            binding.limits, self._wire.progress, has_json_data=binding.shape.has_json_data
        )
        name = params["name"]
        call = binding.caller.prepare(request, reader, tool=name, on_answer=self._answer)
        self._request, self._reading, self._call = request, reader, call
        # As in a task of its own: what the app sets in its context stays with it.
        await run_in_context(call.run(), copy_context())
        await self._answer()

    async def _answer(self) -> None:
        """Write the answer of the route, or follow where it leads to; once only."""
        call, request, reader = self._call, self._request, self._reading
        if self._answered or self._is_gone or call is None or request is None or reader is None:
            return
        self._answered = True
        try:
            await reader.end()
            following = following_request(self._binding.caller, request, reader)
            if following is not None:
                # This task stays with the route, which may have background tasks.
                self._following = asyncio.create_task(self._follow(following))
                return
            # What is left to do is ours, and comes to its end by itself.
            self._deadline = math.inf
            result = await result_of(self._binding, reader, call.outcome)
            try:
                await self._finish(result, reader)
            finally:
                if call.outcome == "ended":
                    # The route is told, which need not move it.
                    self._leaving = asyncio.create_task(call.cancel())
        finally:
            reader.close()

    async def _follow(self, request: Request) -> None:
        """Follow a redirect, and write the answer that it leads to."""
        readers: list[ResponseReader] = []
        name, hops = self._params["name"], MOST_REDIRECTS - 1
        async with anyio.create_task_group() as tasks:
            request_context.set(replace(self._served, tasks=tasks))
            try:
                result = await send_and_follow(
                    self._binding,
                    name,
                    request,
                    readers,
                    deadline=self._deadline,
                    progress=self._wire.progress,
                    hops=hops,
                )
                await self._finish(result, readers[-1])
            finally:
                for reader in readers:
                    reader.close()

    async def _watch(self) -> None:
        request_context.set(self._served)
        ping = anyio.current_time() + _PING
        while not self._wire.is_over:
            with anyio.CancelScope(deadline=min(self._deadline, ping)):
                await self._wait_until_gone()
            now = anyio.current_time()
            if not self._is_gone and now < self._deadline:
                # The deadline moves when a call that waited for its turn gets it.
                if now >= ping:
                    ping = now + _PING
                    await self._wire.ping()
                continue
            if self._following is not None:
                # At the deadline it ends by itself.
                if self._is_gone:
                    self._following.cancel()
            elif self._call is not None:
                await self._leave(self._call)
            return

    async def _leave(self, call: AppCall) -> None:
        if not self._is_gone and not self._wire.is_over:
            # Without waiting: a route that does not listen must not hold the result back.
            self._is_late = True
            call.send_disconnect()
            try:
                await self._answer()
            finally:
                await call.cancel()
        elif self._is_gone:
            await call.cancel()

    async def _wait_until_gone(self) -> None:
        while not self._wire.client_gone and (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._served.disconnect_ends_call:
            # The call goes on without a reader, at the most until its deadline.
            self._wire.client_gone = True
            await anyio.sleep_forever()
        self._is_gone = not self._wire.is_over

    async def _finish(
        self,
        result: Result,
        reader: ResponseReader | None = None,
        outcome: access_log.Outcome | None = None,
    ) -> None:
        self._end(outcome or ("error" if result.is_error else "ok"), reader)
        await self._wire.write(serialize(result, self._stamp))

    def _end(self, outcome: access_log.Outcome, reader: ResponseReader | None = None) -> None:
        """Give back what the call held, and write its line in the log."""
        if self._place is not None:
            self._place.release()
            self._place = None
        if not access_log.calls.isEnabledFor(logging.INFO):
            return
        # In the handshake versions a client names itself elsewhere, and nobody has checked this.
        meta = self._params.get("_meta", {}) if self._stamp.is_modern else {}
        client = meta.get("io.modelcontextprotocol/clientInfo")
        access_log.record(
            tool=self._params["name"],
            operation=str(self._binding.operation),
            seconds=time.perf_counter() - self._started,
            reader=reader,
            outcome=outcome,
            request=HTTPRequest(self._served.scope),
            client=client["name"] if client else None,
        )

    async def _end_tasks(self) -> None:
        begun = [each for each in (self._watching, self._following) if each is not None]
        if not self._is_late:
            for task in begun:
                task.cancel()
        if self._leaving is not None:
            begun.append(self._leaving)
        if begun:
            await asyncio.gather(*begun, return_exceptions=True)
