"""Values of which each event loop has its own: a server has one loop, tests and threads others."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

Value = TypeVar("Value")


class PerLoop(Generic[Value]):
    """A value for each event loop, made on first use. It goes when its loop does."""

    def __init__(self, make: Callable[[], Value]) -> None:
        """Take what makes a value."""
        self._make = make
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, Value] = WeakKeyDictionary()

    def get(self) -> Value:
        """Return the value of the running event loop."""
        loop = asyncio.get_running_loop()
        value = self._values.get(loop)
        if value is None:
            value = self._values[loop] = self._make()
        return value
