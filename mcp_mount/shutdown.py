"""The server's end: what still runs then is ended soon, and its caller is told why.

A server that is told to stop waits for its open connections, and only then for the app's lifespan.
A stream would keep it waiting, so the signal itself is heard, beside the server's own handler.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from mcp_mount.loops import PerLoop
from mcp_mount.system import STOPPING

logger = logging.getLogger("mcp_mount")

GRACE: Final = 1.0
"""Seconds in which a running call may still end by itself."""


class Shutdown:
    """What one event loop still has to end when its server stops.

    Attributes:
        endings: What ends each of the calls that run.
        streams: What ends each of the streams that wait for news, at once.
    """

    def __init__(self) -> None:
        self.endings: set[Callable[[], None]] = set()
        self.streams: set[Callable[[], None]] = set()
        self._has_begun = False

    def begin(self) -> None:
        """End the calls that run, `GRACE` seconds from now."""
        if not self._has_begun:
            self._has_begun = True
            for end in [*self.streams]:
                end()
            asyncio.get_running_loop().call_later(GRACE, self._end_calls)

    def _end_calls(self) -> None:
        self._has_begun = False
        endings = [*self.endings]
        if endings:
            logger.warning("Shutting down: ended %d calls that were still running.", len(endings))
        for end in endings:
            end()


shutdown: Final = PerLoop(Shutdown)


@contextmanager
def hearing_signals() -> Iterator[None]:
    """Begin the shutdown of this event loop when its server is told to stop.

    Nothing is heard where no server listens to signals either, or outside the main thread, which
    alone gets them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    begin, loop = shutdown.get().begin, asyncio.get_running_loop()
    theirs: dict[int, Callable[[int, FrameType | None], object]] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(begin)
        theirs[number](number, frame)

    for number in STOPPING:
        handler = signal.getsignal(number)
        if callable(handler) and handler is not signal.default_int_handler:
            theirs[number] = handler
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in theirs.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)
