"""Sessions with another server end with the task that keeps them, and no other begins then."""

import anyio
import anyio.lowlevel
import pytest

from mcp_mount import Remote
from mcp_mount.remotes import pool as pools
from mcp_mount.remotes.contact import Contact
from mcp_mount.remotes.failures import Ended
from mcp_mount.remotes.http import HTTPConnection
from mcp_mount.remotes.outgoing import OutgoingRequest
from mcp_mount.remotes.session import Session
from tests.others import raw


async def test_who_waits_for_room_when_all_sessions_end_opens_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody would have ended it: the server was never asked again, and refused every call."""
    monkeypatch.setattr(pools, "_MAX_HTTP", 1)
    contact, outcome = Contact(0), list[object]()

    async def connect(session: Session) -> None:
        await session.connect(None, is_handshake=True)

    async def ping(caller: str) -> None:
        assert contact.pool is not None
        key = ((caller,), (caller,), ())
        await contact.pool.exchange(key, OutgoingRequest(), Session.send_ping)

    async def wait_for_room() -> None:
        try:
            await ping("b")
        except Ended as error:
            outcome.append(error)

    with raw([], modern=False, ping={}) as (server, url):
        connection = HTTPConnection(Remote("wiki", url=url), 1_000, 10)
        with anyio.fail_after(10):
            async with (
                connection.keep(),
                anyio.create_task_group() as requests,
                contact.keep_sessions(connection, connect),
            ):
                await ping("a")
                requests.start_soon(wait_for_room)
                await anyio.lowlevel.checkpoint()
    assert len(outcome) == 1
    assert server.methods.count("initialize") == 1
