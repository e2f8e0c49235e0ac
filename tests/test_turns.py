"""Many who have much to do in one event loop, and others who have little."""

import asyncio
import gc
import socket
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from contextvars import ContextVar

import anyio
import httpcore2
import pytest
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


async def test_a_large_step_goes_before_those_with_many() -> None:
    """Security: a large request of somebody waited for all streams without a pause."""
    async with working(40) as busy:
        busy.pieces = 0
        for _ in range(3):
            await Turns(0, is_large=True).take()
        assert busy.pieces < 30


async def test_large_steps_go_on_one_in_a_round() -> None:
    """Security: sixty large requests at once held the event loop for 0.2 seconds."""
    went_on = list[int]()

    async def step(number: int) -> None:
        await Turns(0, is_large=True).take()
        went_on.append(number)

    steps = [asyncio.create_task(step(each)) for each in range(12)]
    while len(went_on) < 12:
        before = len(went_on)
        await checkpoint()
        assert len(went_on) <= before + 1
    assert went_on == [*range(12)]
    assert all(each.done() for each in steps)


async def test_who_has_waited_for_others_has_little_to_do() -> None:
    """Security: a stream of a word now and then had its turns after all those without a pause."""
    turns = Turns(0)
    async with working(40) as busy:
        for _ in range(15):
            await anyio.sleep(0.05)
            busy.pieces = 0
            await turns.take()
        assert busy.pieces < 30


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect how long the loop has left the interpreter to threads, each time."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


async def test_a_loop_that_is_busy_pauses_for_threads(pauses: list[float]) -> None:
    """Security: one stream kept guards and routes in threads waiting for half a second each."""
    with anyio.fail_after(30):
        async with working(1):
            while not pauses:
                await checkpoint()
    assert max(pauses) < 0.001


async def test_a_loop_that_waits_pauses_for_nobody(pauses: list[float]) -> None:
    """C14: it would with each call of an API elsewhere."""
    for _ in range(30):
        await anyio.sleep(0.006)
        await Turns(0).take()
    assert not pauses


async def test_who_leaves_takes_nobodys_turn() -> None:
    """Security: a call is cancelled while it waits for its turn."""
    went_on: list[int] = []

    async def wait(name: int) -> None:
        await Turns(0).take()
        went_on.append(name)

    waiting = [asyncio.create_task(wait(each)) for each in range(20)]
    while len(went_on) < 4:
        await checkpoint()
    for each in waiting[8::2]:
        each.cancel()
    while len(went_on) < 8:
        await checkpoint()
    await checkpoint()
    assert went_on == [*range(8), 9, 11, 13, 15]


async def test_what_had_a_turn_is_not_kept() -> None:
    """Security: a request, with all that came with it, while others come."""
    current: ContextVar[Busy] = ContextVar("current")

    async def request() -> weakref.ref[Busy]:
        current.set(Busy())
        await Turns(0).take()
        return weakref.ref(current.get())

    kept = await asyncio.create_task(request())
    for _ in range(5):
        await checkpoint()
    gc.collect()
    assert kept() is None


def test_a_loop_that_was_closed_is_not_kept() -> None:
    """Security: with all who still waited in it for their turn."""

    async def take() -> None:
        await Turns(0).take()

    loop = asyncio.new_event_loop()
    kept, tasks = weakref.ref(loop), [loop.create_task(take()) for _ in range(20)]
    loop.run_until_complete(tasks[0])
    loop.close()
    asyncio.run(take())
    del loop, tasks
    gc.collect()
    assert kept() is None


async def test_who_reads_from_a_connection_that_is_kept_has_little_to_do() -> None:
    """C14: each answer is another caller's, however many came before it."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stream = await Network().connect_tcp(*server.getsockname())
        stack.push_async_callback(stream.aclose)
        peer = stack.enter_context(server.accept()[0])

        async def ask() -> None:
            await stream.write(b"a")
            peer.sendall(b"a")
            await stream.read(1)

        pieces = []
        async with working(40) as busy:
            for _ in range(15):
                busy.pieces = 0
                await asyncio.create_task(ask())
                pieces.append(busy.pieces)
        assert max(pieces) < 40


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
