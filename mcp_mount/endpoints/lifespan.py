"""Starts the MCP server after the app's own start-up, and stops it before its own shutdown."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.backends.asgi import ASGIBackend
from mcp_mount.endpoints.hosting import MountContext, StartableTransport
from mcp_mount.endpoints.report import report_start
from mcp_mount.errors import MountError
from mcp_mount.shutdown import hearing_signals


class LifespanMiddleware:
    """Runs the MCP server inside the app's lifespan, whichever way that is declared.

    It listens to the messages of the lifespan protocol: the app has started when it says so, and is
    about to stop when it is told to.
    """

    def __init__(
        self, app: ASGIApp, mount: MountContext, transports: Sequence[StartableTransport], path: str
    ) -> None:
        self._app = app
        self._mount = mount
        self._transports = transports
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; in a lifespan, start and stop between the app's own doing."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        stack = AsyncExitStack()

        async def send_started(message: Message) -> None:
            try:
                if message["type"] == "lifespan.startup.complete":
                    await self._start(stack, scope.get("state"))
                await send(message)
            except BaseException:
                await self._stop(stack)
                raise

        async def receive_stopping() -> Message:
            if not any(each.running.is_running for each in self._transports):
                return await receive()
            try:
                return await receive()
            finally:
                await self._stop(stack)

        await self._app(scope, receive_stopping, send_started)

    async def _start(self, stack: AsyncExitStack, state: Mapping[str, Any] | None) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            message = "The MCP endpoint needs asyncio: run the server on that, not on trio."
            raise MountError(message) from None
        stack.enter_context(hearing_signals())
        for each in self._transports:
            each.running.use(await each.start(stack))
        if self._mount.tasks is not None:
            await stack.enter_async_context(self._mount.tasks.running(state))
        if self._mount.remotes is not None:
            await stack.enter_async_context(self._mount.remotes.monitoring())
        await report_start(self._mount, self._path)
        bindings = [tool.binding for tool in self._mount.provider.listed.values()]
        await self._mount.search.surface.check()
        if bindings and isinstance(backend := bindings[0].backend, ASGIBackend):
            backend.warn_of_lost((each.operation.method, each.operation.path) for each in bindings)

    async def _stop(self, stack: AsyncExitStack) -> None:
        for each in self._transports:
            each.running.use(None)
        await stack.aclose()
