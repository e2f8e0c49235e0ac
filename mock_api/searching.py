"""Who searches when: a search takes a thread, and the other operations have the same threads."""

import math
from collections.abc import Callable
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from mock_api.errors import SearchTooLong
from mock_api.search import SECONDS

_AT_ONCE: Final = 8
"""Searches of all callers; there are forty threads."""

_OF_ONE: Final = 4
"""Searches of one caller, who so leaves room for others."""

Value = TypeVar("Value")


class Turns:
    """Lets each search wait for its turn, of its caller's first and then of all."""

    def __init__(self) -> None:
        self._all = anyio.CapacityLimiter(_AT_ONCE)
        self._own: dict[str, anyio.CapacityLimiter] = {}

    async def run(self, caller: str, search: Callable[[], Value]) -> Value:
        """Run a search in a thread, and return what it found.

        Raises:
            SearchTooLong: it has waited as long as a search may take.
        """
        own = self._own.setdefault(caller, anyio.CapacityLimiter(_OF_ONE))
        try:
            with anyio.move_on_after(SECONDS) as waiting:
                async with own, self._all:
                    waiting.deadline = math.inf
                    return await anyio.to_thread.run_sync(search)
        finally:
            if not (own.borrowed_tokens or own.statistics().tasks_waiting):
                self._own.pop(caller, None)
        raise SearchTooLong("Too many searches are running. Try again in a few seconds.")
