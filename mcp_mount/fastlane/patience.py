"""Wakes what still runs after a while: one timer for all calls, most of which end before that."""

import asyncio
from contextvars import Context
from typing import Final, Protocol
from weakref import WeakKeyDictionary

SECONDS: Final = 0.05
"""After which a call that still runs is watched for its client and its deadline."""


class Watched(Protocol):
    """What may have to be watched."""

    def watch(self) -> None:
        """Begin to watch it; called once, in no particular context."""


class Patience:
    """Knows what runs in one event loop. A class because of its timer."""

    def __init__(self) -> None:
        """Begin with nothing."""
        # In the order in which they began, which is that in which they are due.
        self._due: dict[Watched, float] = {}
        self._is_ticking = False

    def begin(self, call: Watched, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the end of `call`, and have it watched when that does not come soon."""
        self._due[call] = due = loop.time() + SECONDS
        if not self._is_ticking:
            self._is_ticking = True
            self._tick_at(due, loop)

    def end(self, call: Watched) -> None:
        """Wait no longer."""
        self._due.pop(call, None)

    def _tick_at(self, due: float, loop: asyncio.AbstractEventLoop) -> None:
        # Not in the context of some call, of which it would keep everything.
        loop.call_at(due, self._tick, context=Context())

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._due:
            call, due = next(iter(self._due.items()))
            if due > now:
                self._tick_at(due, loop)
                return
            del self._due[call]
            call.watch()
        self._is_ticking = False


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Patience] = WeakKeyDictionary()


def patience_of(loop: asyncio.AbstractEventLoop) -> Patience:
    """Return the one of an event loop, of which a process may have several, in threads."""
    found = _of_loops.get(loop)
    if found is None:
        found = _of_loops[loop] = Patience()
    return found
