"""The standard input and output of this program, for messages alone.

* What else is printed goes to standard error, and who else reads finds the end of the input: the
  app, its libraries, and the programs that it starts.
* Reading and writing wait in threads that end with the process, so that neither a client that says
  nothing nor one that does not read keeps it.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

_CHUNK: Final = 65_536
_SOON: Final = 0.2
"""Seconds in which threads that have nothing to do end."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class StandardStreams:
    """The file descriptors on which a client speaks to this program."""

    reads: int
    writes: int

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines that the client writes, until it closes its end."""
        line = bytearray()
        while chunk := await _wait_in_thread(lambda: os.read(self.reads, _CHUNK)):
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                line += end
                if line.strip():
                    yield bytes(line)
                line.clear()
            line += rest
        if line.strip():
            yield bytes(line)

    async def write(self, line: bytes) -> None:
        """Write a line.

        Raises:
            OSError: the client does not read any more.
        """
        await _wait_in_thread(lambda: _write_all(self.writes, line + b"\n"))


@contextmanager
def claimed_streams() -> Iterator[StandardStreams]:
    """Keep standard input and output for messages, from now on and until the block ends.

    Where a thread still runs then, the process ends without it.
    """
    others = threading.enumerate()
    sys.stdout.flush()
    streams = StandardStreams(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    try:
        yield streams
    finally:
        # The copies stay open: a thread may still wait on them, and another file must not take
        # their place.
        sys.stdout.flush()
        os.dup2(streams.reads, 0)
        os.dup2(streams.writes, 1)
    _leave_behind(others)


def _leave_behind(others: list[threading.Thread]) -> None:
    """End the process where threads still run beside those others: Python would wait for them."""
    ends = time.monotonic() + _SOON
    threads = [each for each in threading.enumerate() if each not in others and not each.daemon]
    for thread in threads:
        thread.join(max(0, ends - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


async def _wait_in_thread(function: Callable[[], _T]) -> _T:
    """Call what blocks in a daemon thread; whoever is cancelled leaves it behind.

    The threads of anyio and asyncio are waited for when the process ends.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # it has returned

    def call() -> None:
        result, error = None, None
        try:
            result = function()
        except OSError as raised:
            error = raised
        # The event loop may have been closed meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=call, daemon=True).start()
    return await done
