"""How long the steps of the event loop take."""

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel


@asynccontextmanager
async def measured_steps() -> AsyncIterator[list[float]]:
    """Yield where the seconds of the processor go that each round of the loop takes meanwhile.

    Garbage is collected later: how long that takes goes by what all the tests before have made.
    """
    steps = [0.0]

    async def watch() -> None:
        while True:
            begun = time.thread_time()
            await anyio.lowlevel.checkpoint()
            steps.append(time.thread_time() - begun)

    gc.disable()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            yield steps
            tasks.cancel_scope.cancel()
    finally:
        gc.enable()
