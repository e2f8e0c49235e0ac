"""What is shared in an event loop: values of which each has its own, its time, and its threads.

A server has one loop, tests and threads others.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

import anyio

Value = TypeVar("Value")

_TURN: Final = 0.002
"""Seconds for which what never waits may go on before others run."""


class PerLoop(Generic[Value]):
    """A value for each event loop, made on first use. It goes when its loop does."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, Value] = WeakKeyDictionary()

    def get(self) -> Value:
        """Return the value of the running event loop."""
        loop = asyncio.get_running_loop()
        value = self._values.get(loop)
        if value is None:
            value = self._values[loop] = self._make()
        return value


class Turns:
    """Lets others run from time to time while there is much to do.

    Not after each part, because a turn of the event loop costs more than a small part does.
    """

    def __init__(self, seconds: float = _TURN) -> None:
        """Begin a turn of so many seconds."""
        self._ends = time.monotonic() + seconds

    async def take(self) -> None:
        """Let others run if they have waited for long."""
        if time.monotonic() > self._ends:
            await asyncio.sleep(0)
            self._ends = time.monotonic() + _TURN


# Threads of our own, because those of the app's routes are for them; and few, because they take
# turns with the event loop anyway.
_threads = PerLoop(lambda: anyio.CapacityLimiter(2))


async def in_thread(function: Callable[[], Value]) -> Value:
    """Run what takes long without a wait in a thread."""
    return await anyio.to_thread.run_sync(function, limiter=_threads.get())
