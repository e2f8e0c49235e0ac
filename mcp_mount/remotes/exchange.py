"""One call of another server, in a session that lasts long enough to tell it of the call's end.

The session's tasks are shielded from whoever waits for the call; the call itself is not. When it is
cancelled, the server is told in the way of its version.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import anyio.lowlevel
from mcp.shared.exceptions import MCPError
from mcp_types import DiscoverResult

from mcp_mount.remotes.connection import OURSELVES, HttpTransport, Session, StdioTransport

_FAREWELL: Final = 1.0
"""Seconds in which a server can be told that a call is over."""

Make = Callable[[Session], Awaitable[object]]


@dataclass(slots=True)
class _Made:
    """What came of a call, and the scope in which it runs. A class because others cancel it."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    answer: object = None
    is_full: bool = False


async def exchange(
    transport: HttpTransport | StdioTransport,
    discovered: DiscoverResult | None,
    make: Make,
    **handlers: Any,
) -> tuple[object, bool]:
    """Make a call; return its result, or what it has raised, and whether it was cut off.

    Args:
        transport: The way to the server.
        discovered: What it said of itself; None where it speaks a handshake version.
        make: Makes the call in a session that is ready for it.
        handlers: For the session, of what the server asks.

    Raises:
        Exception: whatever the client raises where there is no session.
    """
    made = _Made()
    is_handshake = discovered is None and isinstance(transport, HttpTransport)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancelled_too, made.scope)
        with anyio.CancelScope(shield=True) as shield:
            try:
                async with transport.connect_session(client_info=OURSELVES, **handlers) as session:
                    await _run(made, session, discovered, make)
                    shield.deadline = anyio.current_time() + _FAREWELL
                    if made.scope.cancelled_caught and is_handshake:
                        await _say_so(session)
            except Exception:
                # When it has answered, only the good-bye has failed.
                if made.answer is None:
                    raise
        tasks.cancel_scope.cancel()
    await anyio.lowlevel.checkpoint_if_cancelled()
    return made.answer, made.is_full


async def _run(
    made: _Made, session: Session, discovered: DiscoverResult | None, make: Make
) -> None:
    with made.scope:
        try:
            if session.protocol_version is None:
                if discovered is not None:
                    session.adopt(discovered)
                else:
                    await session.initialize()
            made.answer = await make(session)
        except Exception as error:  # noqa: BLE001 - it is told of where the call was made
            made.answer = error
    made.is_full = session.is_full


async def _say_so(session: Session) -> None:
    """See to it that the server knows of a call that was cancelled.

    In the handshake versions the end of a connection cancels nothing, and what does has been sent
    when the next message is.
    """
    with suppress(MCPError):
        await session.send_ping()


async def _cancelled_too(scope: anyio.CancelScope) -> None:
    """Cancel a scope that is shielded from the one around it when that is."""
    try:
        await anyio.sleep_forever()
    finally:
        scope.cancel()
