"""Answers the hot requests without the generic machinery, in the same words.

* ``tools/call`` of an operation, and ``tools/list``, in the versions that clients speak today.
* It recognizes what it is sure of, with the SDK's own checks, and never refuses anything: whatever
  is in any way unusual goes to FastMCP. So does everything as soon as the server's user has added
  what would see a call: middleware, transforms, providers, tools, an auth provider, a tracer.
* The operation runs in the request's own task. Its answer is written when the route's response is
  complete; background tasks run after that, as over REST.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import anyio
import fastmcp
from fastmcp import FastMCP
from fastmcp.tools import Tool
from mcp.server.lowlevel import Server
from mcp_types import SERVER_INFO_META_KEY
from opentelemetry import trace
from starlette.requests import Request as HTTPRequest
from starlette.types import Message, Receive, Send

from mcp_mount import journal
from mcp_mount.apart import Apart
from mcp_mount.call import Incoming, Request, incoming
from mcp_mount.content import Result, error, to_result
from mcp_mount.errors import Busy, InvalidArguments, MountError
from mcp_mount.inprocess import InProcess
from mcp_mount.reading import Reading
from mcp_mount.recognize import Recognized
from mcp_mount.remotes import RemoteProvider
from mcp_mount.running import AppCall
from mcp_mount.server import OperationProvider
from mcp_mount.tools import (
    MOST_REDIRECTS,
    Plan,
    following_request,
    responded,
    trace_of,
    traced,
)
from mcp_mount.wire import Wire, write_json, written

_PATIENCE: Final = 0.05
"""Seconds after which a call that still runs is watched for its client and its deadline."""

_PING: Final = 15.0
"""Seconds of silence after which an answer begins as an event stream, as the SDK's does."""


class FastLane:
    """Answers for one server. A class because it keeps the lists that it has learned."""

    def __init__(
        self,
        server: FastMCP[Any],
        low_level: Server[Any],
        provider: OperationProvider,
        remotes: RemoteProvider | None = None,
    ) -> None:
        """Take the server as it is when nothing has been added to it."""
        self._server = server
        self._low_level = low_level
        self._provider = provider
        self._remotes = remotes
        self._middleware = [*server.middleware]
        self._providers = [*server.providers]
        self._lists: dict[str, str] = {}
        self._listed: object = None

    async def is_open(self) -> bool:
        """Whether the server has only what this module knows the answers of."""
        server = self._server
        return (
            server.auth is None
            and server.middleware == self._middleware
            and server.providers == self._providers
            and not server.transforms
            and not any(provider.transforms for provider in self._providers)
            and not self._has_extensions
            and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
            # FastMCP's guard of hosts and origins, which is off unless its settings say otherwise.
            and not fastmcp.settings.http_host_origin_protection
            and not await server.local_provider.list_tools()
        )

    @cached_property
    def _has_extensions(self) -> bool:
        # They are registered before the server serves; one is FastMCP's own.
        return len(self._low_level.get_capabilities().extensions or {}) > 1

    @cached_property
    def _stamp(self) -> dict[str, Any]:
        """What every result of the modern era says of the server."""
        return {SERVER_INFO_META_KEY: self._low_level.server_info_stamp}

    async def answer(
        self, recognized: Recognized, served: Incoming, receive: Receive, send: Send
    ) -> bool:
        """Answer a request; False where that is FastMCP's to do."""
        try:
            tools = self._provider.tools()
        except MountError:
            return False
        wire = Wire(recognized, send)
        if recognized.method == "tools/list":
            known = self._known_lists(self._listing()).get(recognized.version)
            if known is not None:
                await wire.write((known,))
            return known is not None
        tool = tools.get(recognized.params["name"])
        if tool is None:
            return False
        plan = tool.plan
        if plan.asks or not isinstance(plan.caller, InProcess):
            return False
        token = incoming.set(served)
        try:
            stamp = self._stamp if recognized.is_modern else {}
            call = _Call(recognized.params, plan, plan.caller, served, receive, wire, stamp)
            await call.run()
        finally:
            incoming.reset(token)
        return True

    def _listing(self) -> Mapping[str, Tool]:
        """Return the tools that a list names; another object when they are others."""
        tools = self._provider.listed
        return tools if self._remotes is None else self._remotes.beside(tools)

    def learning(self, recognized: Recognized, send: Send) -> Send:
        """Return a `send` that keeps a list which FastMCP answers with, for the next request.

        The first answer is given like the later ones: FastMCP's is a Server-Sent Event in the
        handshake versions, and the SDK's client refuses events of more than 1 MiB.
        """
        if recognized.method != "tools/list":
            return send
        tools = self._listing()
        held: list[Message] = []

        async def keep(message: Message) -> None:
            held.append(message)
            if message["type"] != "http.response.body" or message.get("more_body", False):
                return
            known = None
            if tools is self._listing():
                text = b"".join(each.get("body", b"") for each in held).decode()
                known = self._learn(recognized, text, tools)
            if known is not None:
                await Wire(recognized, send).write((known,))
            else:
                for each in held:
                    await send(each)

        return keep

    def _learn(self, recognized: Recognized, text: str, tools: Mapping[str, Tool]) -> str | None:
        """Keep the list in an answer, and return it; None where it is not that of the tools."""
        if not text.startswith("{"):
            # The event stream that FastMCP answers the handshake versions with.
            lines = text.split("\r\n")
            text = next((line[5:] for line in lines if line.startswith("data:")), "{}")
        result = json.loads(text).get("result")
        if result is None or tools.keys() != {tool["name"] for tool in result["tools"]}:
            return None
        known = self._known_lists(tools)[recognized.version] = write_json(result)
        return known

    def _known_lists(self, tools: Mapping[str, Tool]) -> dict[str, str]:
        """Return the lists by version, as long as the tools are those that were listed."""
        if tools is not self._listed:
            self._listed, self._lists = tools, {}
        return self._lists


@dataclass(slots=True)
class _Call:
    """One call of a tool, in the request's own task.

    A class because the route's last message, the deadline and the client's going can each end it.
    """

    params: Mapping[str, Any]
    plan: Plan
    caller: InProcess
    served: Incoming
    receive: Receive
    wire: Wire
    stamp: Mapping[str, Any]
    started: float = field(default_factory=time.perf_counter)
    deadline: float = math.inf
    is_gone: bool = False
    is_late: bool = False
    holds_place: bool = False
    call: AppCall | None = None
    answer: Callable[[], Awaitable[None]] | None = None
    following: asyncio.Task[None] | None = None
    leaving: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Make the call; its answer is written as soon as it is there."""
        self.deadline = anyio.current_time() + self.plan.limits.timeout
        loop = asyncio.get_running_loop()
        watchers: list[asyncio.Task[None]] = []
        # Most calls end before anybody has to watch them, and a task costs as much as they do.
        timer = loop.call_later(_PATIENCE, lambda: watchers.append(loop.create_task(self._watch())))
        try:
            await self._make()
            if self.following is not None:
                await asyncio.wait([self.following])
                if not self.following.cancelled():
                    self.following.result()
        except (InvalidArguments, Busy) as refused:
            if not self.is_gone:
                await self._finish(error(str(refused)), outcome=journal.refusal(refused))
        finally:
            timer.cancel()
            for task in (*watchers, self.following):
                if task is not None and not self.is_late:
                    task.cancel()
            tasks = [task for task in (*watchers, self.following, self.leaving) if task is not None]
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self.wire.is_over:
                self._end("cancelled")
            # They lead back here; nothing is left for the garbage collector to find.
            self.call = self.answer = None

    async def _make(self) -> None:
        plan, params = self.plan, self.params
        request = plan.arguments.request(params.get("arguments", {}))
        request = traced(request, trace_of(params.get("_meta", {})))
        if plan.rate is not None:
            await plan.rate.count(HTTPRequest(self.served.scope))
        await plan.slots.take()
        self.holds_place = True
        self.deadline = anyio.current_time() + plan.limits.timeout
        if not self.is_gone:
            await self._send(request)

    async def _send(self, request: Request) -> None:
        """Send a request into the app; its answer is written, or leads to the next request."""
        plan = self.plan
        reading = Reading(plan.limits, self.wire.progress)
        is_answered = False

        async def answer() -> None:
            nonlocal is_answered
            if is_answered or self.is_gone:
                return
            is_answered = True
            await reading.end()
            following = following_request(plan.caller, request, reading)
            if following is not None:
                # This task stays with the route, which may have background tasks.
                self.following = asyncio.create_task(self._follow(following))
                return
            timeout = plan.limits.timeout
            result = to_result(reading, plan.shape, outcome=call.outcome, timeout=timeout)
            try:
                await self._finish(result, reading)
            finally:
                if call.outcome == "ended":
                    # The route is told, which need not move it.
                    self.leaving = asyncio.create_task(call.leave())

        name = self.params["name"]
        call = self.caller.prepare(request, reading, tool=name, on_answer=answer)
        self.call, self.answer = call, answer
        # As in a task of its own: what the app sets in its context stays with it.
        await Apart(call.run(), copy_context())
        await answer()

    async def _follow(self, request: Request) -> None:
        """Follow a redirect, and write the answer that it leads to."""
        readings: list[Reading] = []
        name, hops = self.params["name"], MOST_REDIRECTS - 1
        async with anyio.create_task_group() as tasks:
            incoming.set(replace(self.served, tasks=tasks))
            result = await responded(
                self.plan,
                name,
                request,
                readings,
                deadline=self.deadline,
                progress=self.wire.progress,
                hops=hops,
            )
            await self._finish(result, readings[-1])

    async def _watch(self) -> None:
        """See to it that the call ends when its client goes, and at its deadline."""
        ping = anyio.current_time() + _PING
        while not self.wire.is_over:
            with anyio.CancelScope(deadline=min(self.deadline, ping)):
                await self._wait_until_gone()
            now = anyio.current_time()
            if not self.is_gone and now < self.deadline:
                # The deadline moves when a call that waited for its turn gets it.
                if now >= ping:
                    ping = now + _PING
                    await self.wire.ping()
                continue
            if self.following is not None:
                # At the deadline it ends by itself.
                if self.is_gone:
                    self.following.cancel()
            elif self.is_gone and self.call is not None:
                await self.call.leave()
            elif self.call is not None and self.answer is not None and not self.wire.is_over:
                # Without waiting: a route that does not listen must not hold the result back.
                self.is_late = True
                self.call.hang_up()
                try:
                    await self.answer()
                finally:
                    await self.call.leave()
            return

    async def _wait_until_gone(self) -> None:
        while not self.wire.is_deaf and (await self.receive())["type"] != "http.disconnect":
            pass
        if not self.served.disconnect_ends_call:
            # The call goes on without a reader, at the most until its deadline.
            self.wire.is_deaf = True
            await anyio.sleep_forever()
        self.is_gone = not self.wire.is_over

    async def _finish(
        self,
        result: Result,
        reading: Reading | None = None,
        outcome: journal.Outcome | None = None,
    ) -> None:
        self._end(outcome or ("error" if result.is_error else "ok"), reading)
        await self.wire.write(written(result, self.stamp))

    def _end(self, outcome: journal.Outcome, reading: Reading | None = None) -> None:
        """Give back what the call held, and write its line in the log."""
        if self.holds_place:
            self.holds_place = False
            self.plan.slots.leave()
        if not journal.calls.isEnabledFor(logging.INFO):
            return
        # In the handshake versions a client names itself elsewhere, and nobody has checked this.
        meta = self.params.get("_meta", {}) if self.stamp else {}
        client = meta.get("io.modelcontextprotocol/clientInfo")
        journal.record(
            tool=self.params["name"],
            operation=str(self.plan.operation),
            seconds=time.perf_counter() - self.started,
            reading=reading,
            outcome=outcome,
            request=HTTPRequest(self.served.scope),
            client=client["name"] if client else None,
        )
