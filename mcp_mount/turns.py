"""The time of an event loop, for those who have much to do.

They go on one after the other, so that everybody else waits for one of them, however many they are.
"""

import asyncio
import time
from collections import deque
from contextvars import Context
from typing import Any, Final
from weakref import WeakKeyDictionary

from mcp_mount.loops import PerLoop

_TURN: Final = 0.002
"""Seconds for which what never waits may go on before others run."""

_FEW: Final = 10
"""Turns of a task after which it has much to do."""

_AWAY: Final = 0.02
"""Seconds between two of its turns in which it has waited for others, and done nothing much."""

_AT_ONCE: Final = 4
"""Turns in one round of those who have little to do."""

_BUSY: Final = 0.005
_PAUSE: Final = 0.000_1
"""Seconds after which a loop that is busy waits a moment, and how long. Threads ask for the
interpreter after five milliseconds in which nobody has let go of it. A loop does so sooner, and has
it back before they wake: one with much to do would keep them waiting for seconds."""


class _Waiting:
    """Those who wait for a turn, of whom some have one in each round of the event loop."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._turns: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        """Wait for a turn, if this round has none left."""
        if self._left:
            self._left -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        await turn

    def start_round(self) -> bool:
        """Start a round; return whether anybody has had a turn in the last one, or has one now."""
        was_used, self._left = self._left < self._most, self._most
        while self._turns and self._left:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        return was_used or self._left < self._most


class _Rounds:
    """The rounds of one event loop, while some have much to do."""

    def __init__(self) -> None:
        # A large step waits for others like it, and not for those that go on and on.
        self._short, self._large, self._long = _Waiting(_AT_ONCE), _Waiting(1), _Waiting(1)
        self._is_open = False
        self._looked, self._worked = 0.0, 0.0
        # Not that of a request, which would be kept while others come.
        self._context = Context()
        self._round = 0
        # The turns of a task without a wait, when the last ended, and its round.
        self._had: WeakKeyDictionary[asyncio.Task[Any] | None, tuple[int, float, int]] = (
            WeakKeyDictionary()
        )

    async def wait(self, *, is_large: bool) -> None:
        """Wait for the task's next turn, of which the first step may be known to be large."""
        task = asyncio.current_task()
        had, ended, last = self._had.get(task, (0, 0.0, 0))
        # Where no round has begun meanwhile, the whole process has waited.
        has_waited = time.monotonic() > ended + _AWAY and self._round > last + 1
        had = 1 if has_waited else had + 1
        if not self._is_open:
            self._is_open = True
            self._schedule()
        short = self._large if is_large else self._short
        await (self._long if had > _FEW else short).wait()
        self._had[task] = had, time.monotonic() + _TURN, self._round

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._start, context=self._context)

    def _start(self) -> None:
        """Start a round."""
        self._round += 1
        is_used = [each.start_round() for each in (self._short, self._large, self._long)]
        self._is_open = any(is_used)
        if self._is_open:
            self._schedule()
            self._pause()

    def _pause(self) -> None:
        """Leave the interpreter to threads for a moment, if the loop was busy since the last."""
        now = time.monotonic()
        if now > self._looked + _BUSY:
            if time.thread_time() - self._worked > (now - self._looked) / 2:
                time.sleep(_PAUSE)
            self._looked, self._worked = time.monotonic(), time.thread_time()


_rounds = PerLoop(_Rounds)


class Turns:
    """Lets others run from time to time while there is much to do.

    Not after each part, because a turn of the event loop costs more than a small part does.
    """

    def __init__(self, seconds: float = _TURN, *, is_large: bool = False) -> None:
        """Begin a turn of so many seconds.

        `is_large` tells that the next ones have steps longer than a turn: one in a round is enough.
        """
        self._ends = time.monotonic() + seconds
        self._is_large = is_large

    async def begin(self) -> None:
        """Begin a turn now, unless as many others as may have begun theirs in this round."""
        await _rounds.get().wait(is_large=self._is_large)
        self._ends = time.monotonic() + _TURN

    async def take(self) -> None:
        """Let others run if they have waited for long."""
        if time.monotonic() > self._ends:
            # A scope that is cancelled reaches who waits here, and nobody whose turn has come.
            await asyncio.sleep(0)
            await _rounds.get().wait(is_large=self._is_large)
            self._ends = time.monotonic() + _TURN
