"""A program that speaks MCP on its standard input and output, from its start to its end.

* It gets no environment but the few variables that every program needs, and its own.
* What it writes to its standard error goes to the log, line by line, and bounded.
* A message that is too large is dropped while it arrives; the call that waits for it is told.
* It is ended with all processes of its group, also those it leaves behind when it dies.
"""

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, jsonrpc_message_adapter
from pydantic import ValidationError

from mcp_mount.remotes.remote import Remote

logger = logging.getLogger("mcp_mount.remotes")

_LONGEST_LINE: Final = 500
_MOST_LINES: Final = 1_000
"""Lines of a program's standard error that go to the log in one run of it."""

TOO_LARGE: Final = -32098
"""The code of the error that stands for an answer which was dropped."""

_END: Final = 200
"""Bytes at both ends of a message in which its id is looked for."""

# Where the other members stand between, somebody else may have written what looks like an id.
_ID_FIRST: Final = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,18})\b')
_ID_LAST: Final = re.compile(
    rb'[}\]]\s*,\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,18})\s*'
    rb'(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$'
)

_GRACE: Final = 2.0
"""Seconds to end by itself when its input is closed, and again when it is asked to."""

_LOOK: Final = 0.5
"""Seconds between two looks whether it still runs; its output may be held open by a child."""

_GONE: Final = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    ConnectionError,
)


@dataclass(frozen=True, slots=True)
class RunningApp:
    """A running program: its messages in both directions, and the event of its end."""

    read: MemoryObjectReceiveStream[SessionMessage | Exception]
    write: MemoryObjectSendStream[SessionMessage]
    ended: anyio.Event


@asynccontextmanager
async def running(remote: Remote, most_bytes: int) -> AsyncIterator[RunningApp]:
    """Run a remote's program while this lasts.

    Args:
        remote: One with a command.
        most_bytes: How long one message of it can be.

    Raises:
        OSError: it cannot be started.
    """
    process = await anyio.open_process(
        [str(remote.command), *remote.args],
        env=get_default_environment() | dict(remote.env),
        cwd=remote.cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Its own group, which is ended as a whole.
        start_new_session=True,
    )
    to_session, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    ended = anyio.Event()
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise OSError("The program has no pipes.")
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read, process.stdout, to_session, most_bytes, ended)
            tasks.start_soon(_write, process.stdin, from_session)
            tasks.start_soon(_log, remote.name, process.stderr)
            tasks.start_soon(_watch, process, to_session, ended)
            try:
                yield RunningApp(read, write, ended)
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(process)
                tasks.cancel_scope.cancel()
    finally:
        for stream in (to_session, read, write, from_session):
            stream.close()


async def _read(
    output: ByteReceiveStream,
    messages: MemoryObjectSendStream[SessionMessage | Exception],
    most_bytes: int,
    ended: anyio.Event,
) -> None:
    """Pass on its messages, one a line; what is no message is left out."""
    line = _Line(most_bytes)
    with messages, suppress(*_GONE):
        async for chunk in output:
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                line.add(end)
                message = line.message()
                if message is not None:
                    await messages.send(message)
                line = _Line(most_bytes)
            line.add(rest)
    ended.set()


class _Line:
    """A line while it arrives. A class because of one that is too large only the ends are kept."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._text = bytearray()
        self._head: bytes | None = None

    def add(self, part: bytes) -> None:
        self._text += part
        if len(self._text) > self._most_bytes:
            if self._head is None:
                self._head = bytes(self._text[:_END])
            del self._text[:-_END]

    def message(self) -> SessionMessage | None:
        if self._head is not None:
            logger.warning("A program's message is larger than %d bytes", self._most_bytes)
            found = _ID_FIRST.match(self._head) or _ID_LAST.search(bytes(self._text[-_END:]))
            if found is None:
                return None
            error = ErrorData(code=TOO_LARGE, message="The answer is too large.")
            return SessionMessage(JSONRPCError(jsonrpc="2.0", id=int(found[1]), error=error))
        try:
            message = jsonrpc_message_adapter.validate_json(bytes(self._text), by_name=False)
        except ValidationError:
            logger.debug("A line of a program's output is no message of MCP")
            return None
        return SessionMessage(message)


async def _write(
    program: ByteSendStream, messages: MemoryObjectReceiveStream[SessionMessage]
) -> None:
    with messages, suppress(*_GONE):
        async for each in messages:
            line = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            await program.send(line.encode() + b"\n")


async def _watch(
    process: Process,
    messages: MemoryObjectSendStream[SessionMessage | Exception],
    ended: anyio.Event,
) -> None:
    while process.returncode is None and not ended.is_set():
        with anyio.move_on_after(_LOOK):
            await ended.wait()
    ended.set()
    messages.close()


async def _log(name: str, errors: ByteReceiveStream) -> None:
    """Write its standard error to the log; beyond a bound it is read and dropped."""
    count, rest = 0, b""
    with suppress(*_GONE):
        async for chunk in errors:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in _lines(whole):
                count += 1
                if count <= _MOST_LINES:
                    logger.info("%s: %s", name, line)
                elif count == _MOST_LINES + 1:
                    logger.warning("%s: (it writes a lot; the rest of it is dropped)", name)
            rest = rest[:_LONGEST_LINE]


def _lines(lines: list[bytes]) -> Iterator[str]:
    """Yield lines that cannot look like other lines of the log."""
    for line in lines:
        text = line[: 4 * _LONGEST_LINE].decode("utf-8", "replace")
        plain = "".join(char if char.isprintable() else " " for char in text).strip()
        if plain:
            yield plain[:_LONGEST_LINE]


async def _end(process: Process) -> None:
    """Close its input, and end what is left of its group."""
    try:
        if process.stdin is not None:
            with suppress(*_GONE):
                await process.stdin.aclose()
        await _exited(process, _GRACE)
        if process.returncode is None:
            _signal(process, "SIGTERM")
            await _exited(process, _GRACE)
    finally:
        # Also what it has started, and left behind; and at once where the event loop is stopped,
        # which respects no shield.
        _signal(process, "SIGKILL")
        await _exited(process, _GRACE)
        with suppress(*_GONE):
            await process.aclose()


async def _exited(process: Process, seconds: float) -> None:
    """Wait for its exit; `Process.wait` would wait for those too that hold its output open."""
    with anyio.move_on_after(seconds):
        # Nothing else tells of it.
        while process.returncode is None:  # noqa: ASYNC110
            await anyio.sleep(0.01)


def _signal(process: Process, name: str) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.Signals[name])
