"""Wakes coroutines when something was written, from whichever thread wrote it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import anyio

from mock_api.errors import TooManyWatchers
from mock_api.models import Change

MOST_WATCHERS: Final = 200
"""Each takes some 0.5 ms of the event loop with each change."""

MOST_OF_ONE: Final = 100
"""Of them, those of one caller, who so leaves room for others."""


@dataclass(slots=True)
class _Reading:
    changes: list[Change] | None = None
    ended: anyio.Event = field(default_factory=anyio.Event)


class Feed:
    """A bell: `ring()` from any thread wakes everyone inside `listening()`, in any event loop."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._readings: dict[tuple[asyncio.AbstractEventLoop, int, int], _Reading] = {}
        self._rings = 0
        self._watchers = Counter[str]()

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

    @contextmanager
    def watching(self, caller: str) -> Iterator[None]:
        """Be one of those who watch.

        Raises:
            TooManyWatchers: there are as many as there can be, of all or of this caller.
        """
        with self._lock:
            for watchers, most in (
                (self._watchers.total(), MOST_WATCHERS),
                (self._watchers[caller], MOST_OF_ONE),
            ):
                if watchers >= most:
                    raise TooManyWatchers(
                        f"{most} clients watch already. Try again later, or list the articles."
                    )
            self._watchers[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._watchers -= Counter([caller])

    async def read(self, last: int, read: Callable[[], Awaitable[list[Change]]]) -> list[Change]:
        """Return what is read after the change `last`, once for all who listen since a ring."""
        key = (asyncio.get_running_loop(), self._rings, last)
        while (reading := self._readings.get(key)) is not None:
            await reading.ended.wait()
            # Unless whoever read has gone, or could not.
            if reading.changes is not None:
                return reading.changes
        reading = self._readings[key] = _Reading()
        try:
            reading.changes = await read()
        finally:
            del self._readings[key]
            reading.ended.set()
        return reading.changes

    def ring(self) -> None:
        """Wake every listener."""
        with self._lock:
            self._rings += 1
            listeners = list(self._listeners)
        for loop, event in listeners:
            # A loop that was closed with its listener still inside has nobody left to wake.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(event.set)
