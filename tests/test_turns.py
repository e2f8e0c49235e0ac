"""Many who have much to do in one event loop, and others who have little."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import anyio
import httpcore2
from anyio.lowlevel import checkpoint

from mcp_mount.outgoing.tls import Network
from mcp_mount.turns import Turns

PIECE = 0.001
"""Seconds of a processor: half a turn."""


class Busy:
    """Those who have much to do: how many pieces were done since somebody last looked."""

    def __init__(self) -> None:
        self.pieces = 0

    async def work(self) -> None:
        turns = Turns()
        while True:
            await turns.take()
            ends = time.thread_time() + PIECE
            while time.thread_time() < ends:
                pass
            self.pieces += 1

    async def between_two_looks(self) -> int:
        self.pieces = 0
        await checkpoint()
        return self.pieces


@asynccontextmanager
async def working(count: int) -> AsyncIterator[Busy]:
    """Have so many work, who had many turns already."""
    busy = Busy()
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(busy.work)
        while busy.pieces < 25 * count:
            await checkpoint()
        yield busy
        tasks.cancel_scope.cancel()


async def test_others_wait_for_one_of_those_who_have_much_to_do() -> None:
    """Security: a hundred streams held the event loop for 0.6 seconds at a time."""
    async with working(40) as busy:
        most = max([await busy.between_two_looks() for _ in range(20)])
    assert most <= 5


async def test_who_has_had_few_turns_goes_before_those_with_many() -> None:
    """Security: else a short call would wait for a turn of each of them, again and again."""
    async with working(40) as busy:
        busy.pieces = 0
        for _ in range(3):
            await Turns(0).take()
        assert busy.pieces < 30


async def test_threads_run_beside_who_has_much_to_do() -> None:
    """Security: one stream kept guards and routes in threads waiting for half a second each."""
    async with working(1):
        with anyio.fail_after(30):
            for _ in range(10):
                await anyio.to_thread.run_sync(lambda: None, abandon_on_cancel=True)


async def test_who_leaves_takes_nobodys_turn() -> None:
    """Security: a call is cancelled while it waits for its turn."""
    went_on = []

    async def wait(name: int) -> None:
        await Turns(0).take()
        went_on.append(name)

    waiting = [asyncio.create_task(wait(each)) for each in range(12)]
    await checkpoint()
    for each in waiting[::2]:
        each.cancel()
    with anyio.fail_after(5):
        await asyncio.wait(waiting)
    assert went_on == [1, 3, 5, 7, 9, 11]


async def test_hundreds_of_answers_at_once_are_read_one_after_the_other() -> None:
    """Security: 900 calls that a server answered at once held the event loop for 1.3 seconds."""
    looks, read_at, may_read = 0, Counter[int](), anyio.Event()

    async def read(stream: httpcore2.AsyncNetworkStream) -> None:
        await may_read.wait()
        await stream.read(1)
        read_at[looks] += 1

    with ExitStack() as sockets, anyio.fail_after(30):
        server = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        async with anyio.create_task_group() as tasks, AsyncExitStack() as connections:
            for _ in range(40):
                stream = await Network().connect_tcp(*server.getsockname())
                connections.push_async_callback(stream.aclose)
                await stream.write(b"a")
                peer = sockets.enter_context(server.accept()[0])
                peer.sendall(b"a")
                tasks.start_soon(read, stream)
            may_read.set()
            while read_at.total() < 40:
                await checkpoint()
                looks += 1
    assert max(read_at.values()) <= 4
