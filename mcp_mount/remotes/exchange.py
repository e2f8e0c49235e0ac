"""One request in a session of its own, which lasts long enough to tell of a cancellation.

The session's tasks are shielded from whoever waits for the request; the request itself is not. When
it is cancelled, the server is told in the way of its protocol version.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import anyio
import anyio.lowlevel
from mcp.shared.exceptions import MCPError
from mcp_types import DiscoverResult

from mcp_mount.remotes.http import HTTPConnection
from mcp_mount.remotes.program import StdioConnection
from mcp_mount.remotes.session import Answer, Session

_FAREWELL: Final = 1.0
"""Seconds in which a server can be told that a request is over."""

Connection = HTTPConnection | StdioConnection


async def exchange(
    connection: Connection,
    send: Callable[[Session], Awaitable[Answer]],
    *,
    known: DiscoverResult | None,
    is_handshake: bool,
    **callbacks: Any,
) -> Answer:
    """Send a request, and return its result.

    `known` and `is_handshake` are as for `Session.connect`, `callbacks` for what the server asks.

    Raises:
        ServerError: the server refuses the request.
        Exception: whatever the client raises where there is no session.
    """
    scope = anyio.CancelScope()
    outcome: list[Answer | Exception] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_with_us, scope)
        with anyio.CancelScope(shield=True) as shield:
            try:
                async with connection.open_session(**callbacks) as session:
                    with scope:
                        await session.connect(known, is_handshake=is_handshake)
                        outcome.append(await session.attempt(send))
                    shield.deadline = anyio.current_time() + _FAREWELL
                    if scope.cancelled_caught and session.discover_result is None:
                        await _flush(session, connection)
            except Exception:
                # When it has answered, only the good-bye has failed.
                if not outcome:
                    raise
        tasks.cancel_scope.cancel()
    await anyio.lowlevel.checkpoint_if_cancelled()
    (answer,) = outcome
    if isinstance(answer, Exception):
        raise answer
    return answer


async def _flush(session: Session, connection: Connection) -> None:
    """See to it that the server hears of the cancellation before the connection ends.

    In the handshake versions the end of a connection cancels nothing, and what does has been sent
    when the next message is.
    """
    if isinstance(connection, HTTPConnection):
        with suppress(MCPError):
            await session.send_ping()


async def _cancel_with_us(scope: anyio.CancelScope) -> None:
    """Cancel a scope that is shielded from the one around it when that is."""
    try:
        await anyio.sleep_forever()
    finally:
        scope.cancel()
