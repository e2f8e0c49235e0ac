"""The process of a program, from its start to its end, and its standard error in the log.

The SDK's `stdio_client` does the same for one trusted program. This one bounds what a program can
write, tells whoever waits for a message that was too large, puts the standard error into the log,
and leaves nothing of its process group behind, however the gateway ends.
"""

import logging
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

from mcp_mount.remotes.bounds import Allowance, Pace
from mcp_mount.remotes.dispatcher import Received
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.stdio import CLOSED, PAUSE, read_messages, write_messages
from mcp_mount.system import guard_of, send_signal

logger = logging.getLogger("mcp_mount.remotes")

_MAX_LOG_LINE: Final = 500

_GRACE: Final = 2.0
"""Seconds to end by itself when its input is closed, and again when it is asked to."""

_POLL: Final = 0.5
"""Seconds between two looks whether it still runs; its output may be held open by a child."""


@asynccontextmanager
async def run_program(
    remote: Remote, max_bytes: int, lines: Allowance
) -> AsyncIterator[
    tuple[
        MemoryObjectReceiveStream[Received],
        MemoryObjectSendStream[SessionMessage],
        anyio.Event,
    ]
]:
    """Yield the messages of a program in both directions, and the event of its end.

    It gets no environment but the few variables that every program needs, and its own.
    """
    process = await anyio.open_process(
        [str(remote.command), *remote.args],
        env=get_default_environment() | dict(remote.env),
        cwd=remote.cwd,
        # Its own process group, which is ended as a whole.
        start_new_session=True,
    )
    to_session, read = anyio.create_memory_object_stream[Received](0)
    write, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    ended, pace = anyio.Event(), Pace()
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise OSError("The program has no pipes.")
    try:
        async with _killed_with_us(process), anyio.create_task_group() as tasks:
            tasks.start_soon(read_messages, process.stdout, to_session, max_bytes, ended, pace)
            tasks.start_soon(write_messages, process.stdin, from_session, pace)
            tasks.start_soon(_log_errors, remote.name, process.stderr, lines)
            tasks.start_soon(_watch, process, to_session, ended)
            try:
                yield read, write, ended
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(process)
                tasks.cancel_scope.cancel()
    finally:
        if process.returncode is None:
            # It has no guard, for want of descriptors or a shell, or was cancelled meanwhile.
            with anyio.CancelScope(shield=True):
                await _end(process)
        for stream in (to_session, read, write, from_session):
            stream.close()


async def _watch(
    process: Process, messages: MemoryObjectSendStream[Received], ended: anyio.Event
) -> None:
    """Tell of the program's end."""
    while process.returncode is None and not ended.is_set():
        with anyio.move_on_after(_POLL):
            await ended.wait()
    ended.set()
    messages.close()


async def _log_errors(name: str, errors: ByteReceiveStream, allowed: Allowance) -> None:
    """Write its standard error to the log, line by line; beyond a bound it is read and dropped."""
    rest = b""
    with suppress(*CLOSED):
        while True:
            if allowed.is_spent():
                if allowed.is_news():
                    logger.warning("%s: (it writes a lot; the rest of it is dropped)", name)
                await errors.receive()
                await anyio.sleep(PAUSE)
                rest = b""
                continue
            *lines, rest = (rest + await errors.receive(4096)).split(b"\n")
            rest = rest[:_MAX_LOG_LINE]
            for line in filter(None, lines):
                if allowed.is_spent():
                    break
                allowed.take()
                logger.info("%s: %s", name, _log_line(line))
                await anyio.lowlevel.checkpoint()


def _log_line(line: bytes) -> str:
    """Return a line that cannot look like another line of the log."""
    text = line[: 4 * _MAX_LOG_LINE].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text).strip()[:_MAX_LOG_LINE]


@asynccontextmanager
async def _killed_with_us(process: Process) -> AsyncIterator[None]:
    """Have a process group killed if we are, and can do it no more ourselves."""
    async with AsyncExitStack() as stack:
        if (command := guard_of(process)) is not None:
            guard = await anyio.open_process(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            stack.push_async_callback(guard.aclose)
            stack.callback(send_signal, guard, "SIGKILL")
        yield


async def _end(process: Process) -> None:
    """Close its input, and end what is left of its group."""
    try:
        if process.stdin is not None:
            with suppress(*CLOSED):
                await process.stdin.aclose()
        await _wait_for_exit(process)
        if process.returncode is None:
            send_signal(process, "SIGTERM")
            await _wait_for_exit(process)
    finally:
        # Also what it has started, and left behind; and at once where the event loop is stopped,
        # which respects no shield.
        send_signal(process, "SIGKILL")
        await _wait_for_exit(process)
        with suppress(*CLOSED):
            await process.aclose()


async def _wait_for_exit(process: Process) -> None:
    """Wait a while; `Process.wait` would also wait for those that hold its output open."""
    with anyio.move_on_after(_GRACE):
        # Nothing else tells of it.
        while process.returncode is None:  # noqa: ASYNC110
            await anyio.sleep(0.01)
