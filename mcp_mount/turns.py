"""The time of an event loop, for those who have much to do.

They go on one after the other, so that everybody else waits for one of them, however many they are.
"""

import asyncio
import time
from collections import deque
from contextvars import Context
from typing import Final

from mcp_mount.loops import PerLoop

_TURN: Final = 0.002
"""Seconds for which what never waits may go on before others run."""

_FEW: Final = 10
_AT_ONCE: Final = 4
"""Turns after which somebody has much to do, and of how many others the turns are in one round."""

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
        if self._left and not self._turns:
            self._left -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        await turn

    def begin(self) -> bool:
        """Begin a round; return whether anybody has had a turn in the last one, or has one now."""
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
        self._few, self._many = _Waiting(_AT_ONCE), _Waiting(1)
        self._is_open = False
        self._rested = 0.0
        # Not that of a request, which would be kept while others come.
        self._context = Context()

    async def wait(self, *, is_long: bool) -> None:
        """Wait for a turn."""
        if not self._is_open:
            self._is_open = True
            self._go_on()
        await (self._many if is_long else self._few).wait()

    def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._begin, context=self._context)

    def _begin(self) -> None:
        """Begin a round."""
        is_used = [each.begin() for each in (self._few, self._many)]
        self._is_open = any(is_used)
        if not self._is_open:
            return
        self._go_on()
        if time.monotonic() > self._rested + _BUSY:
            time.sleep(_PAUSE)
            self._rested = time.monotonic()


_rounds = PerLoop(_Rounds)


class Turns:
    """Lets others run from time to time while there is much to do.

    Not after each part, because a turn of the event loop costs more than a small part does.
    """

    def __init__(self, seconds: float = _TURN) -> None:
        """Begin a turn of so many seconds."""
        self._ends = time.monotonic() + seconds
        self._had = 0

    async def take(self) -> None:
        """Let others run if they have waited for long."""
        if time.monotonic() > self._ends:
            self._had += 1
            # A scope that is cancelled reaches who waits here. It passes by whose turn has come.
            await asyncio.sleep(0)
            await _rounds.get().wait(is_long=self._had > _FEW)
            self._ends = time.monotonic() + _TURN
