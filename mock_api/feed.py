"""Wakes coroutines when something was written, from whichever thread wrote it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock


class Feed:
    """A bell: `ring()` from any thread wakes everyone inside `listening()`, in any event loop."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    @property
    def listeners(self) -> int:
        """How many coroutines are listening now."""
        return len(self._listeners)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """Give an event that the next ring sets.

        Look for what you wait for inside the block, before you wait: what is written between
        the look and the wait rings too, so that nothing is missed.
        """
        listener = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._listeners.add(listener)
        try:
            yield listener[1]
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def ring(self) -> None:
        """Wake every listener."""
        with self._lock:
            listeners = list(self._listeners)
        for loop, event in listeners:
            # A loop that was closed with its listener still inside has nobody left to wake.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)
