"""What is shared in an event loop: values of which each has its own, and its threads.

A server has one loop, tests and threads others.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

import anyio

Value = TypeVar("Value")


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
            # What waits in a loop that was closed knows it, and would keep it.
            for closed in [each for each in self._values if each.is_closed()]:
                del self._values[closed]
            value = self._values[loop] = self._make()
        return value


# Threads of our own, because those of the app's routes are for them, and one caller can have them
# all; and few, because they take turns with the event loop anyway.
_threads = PerLoop(lambda: anyio.CapacityLimiter(2))
_making = PerLoop(lambda: anyio.CapacityLimiter(2))


async def in_thread(function: Callable[[], Value]) -> Value:
    """Run what takes long without a wait in a thread."""
    return await anyio.to_thread.run_sync(function, limiter=_threads.get())


LARGE: Final = 64 * 1024
"""Bytes that the event loop reads or writes itself, in some milliseconds."""


async def run_apart(size: int, function: Callable[[], Value]) -> Value:
    """Read or write so many bytes; many in a thread."""
    return function() if size <= LARGE else await in_thread(function)


async def make_in_thread(function: Callable[[], Value]) -> Value:
    """Make in a thread what takes seconds, once for all who ask; others wait for none of these."""
    return await anyio.to_thread.run_sync(function, limiter=_making.get())
