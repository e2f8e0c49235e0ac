"""Where the processes of an app report, and their streams get what they send, from the test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.text import TextReceiveStream


@dataclass
class Gate:
    """What has been reported so far.

    Attributes:
        port: Where it listens.
        started: The processes whose app has started, by their ids.
        held: The calls that wait for what they are to send, each with its process.
    """

    port: int
    started: list[int] = field(default_factory=list)
    held: list[tuple[int, SocketStream]] = field(default_factory=list)
    _changed: anyio.Event = field(default_factory=anyio.Event)

    async def wait_for(self, *, started: int = 0, held: int = 0) -> None:
        """Wait until so many have reported."""
        with anyio.fail_after(60):
            while len(self.started) < started or len(self.held) < held:
                await self._changed.wait()

    async def send(self, text: str) -> None:
        """Let every call that is held send a text."""
        for _, stream in self.held:
            await stream.send(text.encode())

    async def release(self) -> None:
        """Let every call that is held end."""
        for _, stream in self.held:
            await stream.aclose()
        self.held.clear()

    async def _hear(self, stream: SocketStream) -> None:
        what, _, process = (await TextReceiveStream(stream).receive()).partition(" ")
        if what == "started":
            await stream.aclose()
            self.started.append(int(process))
        else:
            self.held.append((int(process), stream))
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


@asynccontextmanager
async def gate() -> AsyncIterator[Gate]:
    """Listen on a free port of loopback."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        gate = Gate(listener.extra(SocketAttribute.local_port))  # noqa: S610 - anyio's
        tasks.start_soon(listener.serve, gate._hear)  # noqa: SLF001 - its own
        yield gate
        await gate.release()
        tasks.cancel_scope.cancel()
