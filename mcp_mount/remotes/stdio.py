"""MCP messages on the standard input and output of a program, one a line."""

import logging
import re
from contextlib import suppress
from functools import partial
from typing import Final

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest, jsonrpc_message_adapter
from pydantic_core import from_json

from mcp_mount.conversion.structure import Meter
from mcp_mount.loops import run_apart
from mcp_mount.remotes.bounds import JUNK, MAX_UNASKED, Pace, begins_answer, too_large_error
from mcp_mount.remotes.sdk_log import tell_of_junk
from mcp_mount.turns import Turns

logger = logging.getLogger("mcp_mount.remotes")

PAUSE: Final = 0.05
"""Seconds before more is read of what is not wanted; a pipe gives some 64 KB at once."""

CLOSED: Final = (
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    ConnectionError,
)

_END: Final = 200
"""Bytes at both ends of a message in which its id is looked for."""

# Where the other members stand between, somebody else may have written what looks like an id.
_ID_FIRST: Final = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,18})\b')
_ID_LAST: Final = re.compile(
    rb'[}\]]\s*,\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,18})\s*'
    rb'(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$'
)


async def read_messages(
    output: ByteReceiveStream,
    messages: MemoryObjectSendStream[SessionMessage | Exception],
    max_bytes: int,
    ended: anyio.Event,
    pace: Pace,
) -> None:
    """Pass on its messages, one a line.

    Lines that are no messages are read slowly, and dropped; messages for which nobody asked are
    read at a pace.
    """
    line, turns = _Line(max_bytes), Turns()
    with messages, suppress(*CLOSED):
        async for chunk in output:
            if not pace.expected or line.is_dropped:
                await pace.keep(0, len(chunk))
            *ends, rest = chunk.split(b"\n")
            is_junk = bool(ends)
            # A message is an object. Of other lines there may be thousands.
            for end in [*ends[:1], *(each for each in ends[1:] if each.lstrip()[:1] == b"{")]:
                line.add(end)
                size, message, line = line.size, await line.parse(), _Line(max_bytes)
                if message is not None:
                    is_junk = False
                    await _keep_pace(pace, message)
                    await messages.send(message)
                    continue
                await turns.take()
                # What no answer is was not waited for either.
                await pace.keep(JUNK, size if pace.expected else 0)
            line.add(rest)
            if is_junk:
                await anyio.sleep(PAUSE)
    ended.set()


class _Line:
    """A line while it arrives; of one that is too large only the two ends are kept."""

    def __init__(self, max_bytes: int) -> None:
        self._meter = Meter(max_bytes)
        self._text = bytearray()
        self._head: bytes | None = None

    def add(self, part: bytes) -> None:
        self._text += part
        if self._head is None:
            may_grow = len(self._text) <= MAX_UNASKED or begins_answer(self._text)
            if not (self._meter.add(part) and may_grow):
                self._head = bytes(self._text[:_END])
        if self._head is not None:
            del self._text[:-_END]

    @property
    def is_dropped(self) -> bool:
        """Whether what comes of it is not kept."""
        return self._head is not None

    @property
    def size(self) -> int:
        """How much was read of it until it was dropped."""
        return self._meter.size

    async def parse(self) -> SessionMessage | None:
        """Return the message, or the error that stands for one too large; None if it is none."""
        if self._head is not None:
            if not begins_answer(self._head):
                return None
            tell_of_junk()
            found = _ID_FIRST.match(self._head) or _ID_LAST.search(bytes(self._text[-_END:]))
            if found is None:
                return None
            return SessionMessage(
                JSONRPCError(jsonrpc="2.0", id=int(found[1]), error=too_large_error())
            )
        try:
            # In one step it takes sixteen times as long where a large message is none.
            said = await run_apart(len(self._text), partial(from_json, self._text))
            message = jsonrpc_message_adapter.validate_python(said, by_name=False)
        except ValueError:
            logger.debug("A line of a program's output is no message of MCP")
            return None
        is_unasked = isinstance(message, JSONRPCNotification | JSONRPCRequest)
        return None if is_unasked and len(self._text) > MAX_UNASKED else SessionMessage(message)


async def _keep_pace(pace: Pace, message: SessionMessage) -> None:
    is_unasked = isinstance(message.message, JSONRPCNotification | JSONRPCRequest)
    if is_unasked or not pace.expected:
        await pace.keep(1, 0)
    else:
        pace.expected -= 1


async def write_messages(
    program: ByteSendStream, messages: MemoryObjectReceiveStream[SessionMessage], pace: Pace
) -> None:
    """Write messages, one a line."""
    with messages, suppress(*CLOSED):
        async for each in messages:
            pace.asked(each.message)
            line = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            await program.send(line.encode() + b"\n")
