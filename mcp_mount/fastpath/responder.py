"""Answers the hot requests without the generic machinery, in the same words.

* ``tools/call`` of an operation, and ``tools/list``, in the versions that clients speak today.
* Which way a request goes is decided by the request and by the tool it names. Only FastMCP
  middleware, transforms, extensions and foreign providers on the server, which must see every
  message, close this way.
* The answer is written when the route's response is complete; background tasks run after that, as
  over REST.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property
from typing import Any, Final

import fastmcp
import msgspec
from fastmcp import FastMCP
from fastmcp.tools import Tool
from mcp.server.lowlevel import Server
from mcp_types import SERVER_INFO_META_KEY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.types import Receive, Send

from mcp_mount.backends.request import RequestContext
from mcp_mount.errors import MountError
from mcp_mount.fastpath.listing import ToolList
from mcp_mount.fastpath.messages import CallMessage, HotRequest
from mcp_mount.fastpath.tracing import request_span
from mcp_mount.fastpath.writer import NO_META, ResponseWriter, ServerMeta, serialize
from mcp_mount.search.provider import SearchProvider
from mcp_mount.search.snapshot import NAMES
from mcp_mount.search.tools import AnsweringTool
from mcp_mount.tools import access_log
from mcp_mount.tools.call import ToolCall
from mcp_mount.tools.provider import OperationProvider
from mcp_mount.tools.tool import OperationTool
from mcp_mount.tools.tracing import is_traced

_PING: Final = 15.0
"""Seconds of silence after which an answer begins as an event stream, as the SDK's does."""


class FastPath:
    """Answers the hot requests to one server."""

    def __init__(
        self,
        server: FastMCP[Any],
        low_level: Server[Any],
        provider: OperationProvider,
        tool_list: ToolList,
        search: SearchProvider,
        *,
        has_tasks: bool = False,
    ) -> None:
        """Take the server as it is when nothing has been added to it."""
        self._has_tasks = has_tasks
        self._server = server
        self._low_level = low_level
        self._provider = provider
        self._tool_list = tool_list
        self._search = search
        self._middleware = [*server.middleware]
        self._providers = [*server.providers]

    async def respond(
        self, hot: HotRequest, ctx: RequestContext, receive: Receive, send: Send
    ) -> bool:
        """Answer a request; return False where that is FastMCP's to do."""
        if not self.is_open():
            return False
        message = hot.message
        try:
            if isinstance(message, CallMessage):
                name = message.params.name
                if name.endswith(NAMES):
                    asked = await self._search.find(name)
                    if isinstance(asked, AnsweringTool):
                        await self._answer(hot, message, asked, send)
                        return True
                tool = await self._operation(name)
                if tool is None:
                    return False
                writer = ResponseWriter(message.id, message.params.meta.token, send)
                await self._call(hot, message, tool, writer, _ClientWatch(ctx, receive, writer))
                return True
            with self._span(hot, None):
                result = await self.render_list(hot.version)
        except MountError:
            # What is wrong with the operations is said in one way only.
            return False
        if result is None:
            return False
        with suppress(OSError):
            await ResponseWriter(message.id, None, send).write(result)
        return True

    async def render_list(self, version: str) -> Sequence[str] | None:
        """Return the list that the caller is shown; None where only FastMCP can tell it."""
        meta = self._meta if version in MODERN_PROTOCOL_VERSIONS else NO_META
        if not await self._search.surface.is_search():
            return await self._tool_list.render(version, meta)
        return await self._tool_list.render_these(await self._search.listed(), version, meta)

    async def _operation(self, name: str) -> OperationTool | None:
        """Return the operation's tool of a name, unless another stands in its place."""
        tool = self._provider.find(name)
        if tool is None or tool.binding.needs_confirmation or tool.binding.has_header_arguments:
            return None
        if self._has_tasks and tool.binding.is_task:
            return None
        return tool if await self._server.local_provider.get_tool(name) is None else None

    def is_open(self) -> bool:
        """Whether nothing on the server has to see every message."""
        server = self._server
        return (
            server.middleware == self._middleware
            and server.providers == self._providers
            and not server.transforms
            and not any(provider.transforms for provider in self._providers)
            and not self._has_extensions
            # FastMCP's guard of hosts and origins, which is off unless its settings say otherwise.
            and not fastmcp.settings.http_host_origin_protection
        )

    @cached_property
    def _has_extensions(self) -> bool:
        # They are registered before the server serves; one is FastMCP's own, and one that of tasks.
        return len(self._low_level.get_capabilities().extensions or {}) > 1 + self._has_tasks

    @cached_property
    def _meta(self) -> ServerMeta:
        """What every result of the modern era says of the server."""
        return ServerMeta({SERVER_INFO_META_KEY: self._low_level.server_info_stamp})

    def _span(self, hot: HotRequest, tool: Tool | None) -> AbstractContextManager[None]:
        if not is_traced():
            return _NO_SPAN
        method = "tools/list" if tool is None else "tools/call"
        return request_span(method, tool, server=self._server.name, version=hot.version)

    async def _answer(
        self, hot: HotRequest, message: CallMessage, tool: AnsweringTool, send: Send
    ) -> None:
        """Answer a call of a tool of the search."""
        with self._span(hot, tool):
            client = _client_name(bytes(message.params.meta.client))
            result = await tool.answer(message.params.arguments, client)
        meta = self._meta if hot.is_modern else NO_META
        with suppress(OSError):
            await ResponseWriter(message.id, None, send).write(serialize(result, meta))

    async def _call(
        self,
        hot: HotRequest,
        message: CallMessage,
        tool: OperationTool,
        writer: ResponseWriter,
        watch: "_ClientWatch",
    ) -> None:
        params, meta = message.params, message.params.meta
        call = ToolCall(
            params.name,
            tool.binding,
            params.arguments,
            meta=meta.trace,
            client=_client_name(bytes(meta.client)),
            progress=writer.progress,
            watch_client=watch.start,
        )
        watch.abandon = call.abandon
        try:
            with self._span(hot, tool):
                result = await call.run()
            # Whoever waits no longer is no failure, and least of all one of the user's routes.
            with suppress(OSError):
                parts = serialize(result, self._meta if hot.is_modern else NO_META)
                is_long = not isinstance(parts, tuple)
                await writer.write(parts, is_in_file=is_long and result.is_in_file)
        except asyncio.CancelledError:
            if not watch.has_cancelled():
                raise
        finally:
            watch.stop()
            call.close()


_NO_SPAN: Final[AbstractContextManager[None]] = nullcontext()


def _client_name(info: bytes) -> str | None:
    """Return the name that a client gives itself, where the log has a use for it."""
    if not info or not access_log.calls.isEnabledFor(access_log.LEVEL):
        return None
    return str(msgspec.json.decode(info)["name"])


class _ClientWatch:
    """Ends a call when its client goes, and keeps the client waiting while it takes long."""

    def __init__(self, ctx: RequestContext, receive: Receive, writer: ResponseWriter) -> None:
        self._ctx = ctx
        self._receive = receive
        self._writer = writer
        self._task = asyncio.current_task()
        self._has_cancelled = False
        self._is_over = False
        self._watching: asyncio.Task[None] | None = None
        self.abandon: Callable[[], None] = lambda: None

    def stop(self) -> None:
        """Watch no longer."""
        self._is_over = True
        if self._watching is not None:
            self._watching.cancel()

    def has_cancelled(self) -> bool:
        """Whether a cancellation came from here alone, and is over with that."""
        if not self._has_cancelled or self._task is None:
            return False
        self._has_cancelled = False
        return self._task.uncancel() == 0

    def start(self) -> None:
        """Begin to watch, unless that has been done."""
        if self._is_over or self._watching is not None:
            return
        loop = asyncio.get_running_loop()
        self._watching = loop.create_task(self._watch(), context=self._writer.context.copy())

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_PING):
                    message = await self._receive()
            except TimeoutError:
                await self._writer.ping()
                continue
            if message["type"] == "http.disconnect":
                break
        if not self._ctx.disconnect_ends_call:
            # The call goes on without a reader, until its deadline or until others need its slot.
            self._writer.client_gone = True
            self.abandon()
        elif self._task is not None:
            self._has_cancelled = True
            self._task.cancel()
