"""Runs an app's lifespan in process, as a server does: for tests of what starts and stops."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from starlette.types import ASGIApp, Message


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[None]:
    """Start the app, and stop it at the end; what its start-up raises is raised here."""
    to_app, from_server = anyio.create_memory_object_stream[Message](1)
    to_server, from_app = anyio.create_memory_object_stream[Message](1)
    failed: list[Exception] = []

    async def run() -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        async with to_server:
            try:
                await app(scope, from_server.receive, to_server.send)
            except Exception as error:  # noqa: BLE001 - raised again, in the test's own task
                failed.append(error)

    async with anyio.create_task_group() as tasks, to_app, from_server, from_app:
        tasks.start_soon(run)
        await to_app.send({"type": "lifespan.startup"})
        message = await from_app.receive()
        if message["type"] == "lifespan.startup.complete":
            yield
            await to_app.send({"type": "lifespan.shutdown"})
            message = await from_app.receive()
    if failed:
        raise failed[0]
    assert message["type"] == "lifespan.shutdown.complete"
