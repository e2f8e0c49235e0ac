"""Starts and stops an app as a server does, in process."""

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[ASGIApp]:
    """Run an app's lifespan; yield the app as the server calls it, with the lifespan's state."""
    state: dict[str, Any] = {}
    to_app, from_server = anyio.create_memory_object_stream[Message](1)
    to_server, from_app = anyio.create_memory_object_stream[Message](1)

    async def run() -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}
        await app(scope, from_server.receive, to_server.send)

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    with to_app, from_server, to_server, from_app:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            with anyio.fail_after(30):
                await to_app.send({"type": "lifespan.startup"})
                message = await from_app.receive()
            assert message == {"type": "lifespan.startup.complete"}
            yield served
            with anyio.fail_after(30):
                await to_app.send({"type": "lifespan.shutdown"})
                message = await from_app.receive()
            assert message == {"type": "lifespan.shutdown.complete"}


@asynccontextmanager
async def turns_taken() -> AsyncIterator[list[float]]:
    """Yield the processor time of each turn of the event loop, in seconds, as the turns are taken.

    Garbage is not collected meanwhile.
    """
    turns: list[float] = []

    async def watch() -> None:
        while True:
            begun = time.thread_time()
            await anyio.lowlevel.checkpoint()
            turns.append(time.thread_time() - begun)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await anyio.lowlevel.checkpoint()
        gc.disable()
        try:
            yield turns
            await anyio.lowlevel.checkpoint()
        finally:
            gc.enable()
        tasks.cancel_scope.cancel()
