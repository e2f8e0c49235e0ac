"""What a server says by itself: that it offers something else.

* 2026-07-28: on the stream that is asked for with ``subscriptions/listen``.
* A server of the handshake versions at a URL: on the stream of a session that is kept for that.
* A program of those versions: on its output, which is read anyway.
"""

from collections.abc import Awaitable, Callable

from mcp.client.subscriptions import SubscriptionLost, listen
from mcp.shared.exceptions import MCPError
from mcp_types import ServerCapabilities

from mcp_mount.remotes.asking import calling_on_change
from mcp_mount.remotes.events import EventStream
from mcp_mount.remotes.exchange import Connection
from mcp_mount.remotes.http import HTTPConnection
from mcp_mount.remotes.life import wait_for_any
from mcp_mount.remotes.session import Session


async def hear_changes(
    connection: Connection,
    connect: Callable[[Session], Awaitable[None]],
    changed: Callable[[], None],
) -> bool:
    """Call `changed` whenever a server says so, until it says no more.

    Returns whether there was a stream on which it could.

    Raises:
        Exception: whatever the client raises where there is no session.
    """
    if not isinstance(connection, HTTPConnection):
        async with connection.open_session() as session:
            await connect(session)
            return session.discover_result is not None and await _listen(session, changed)
    stream = EventStream()
    hear = calling_on_change(changed)
    async with connection.open_session(stream=stream, message_handler=hear) as session:
        await connect(session)
        if session.discover_result is not None:
            return await _listen(session, changed)
        await wait_for_any(stream.ended, session.dispatcher.ended)
        return stream.was_open


async def _listen(session: Session, changed: Callable[[], None]) -> bool:
    tools, resources, prompts = tells_of(session.server_capabilities)
    try:
        async with listen(
            session,
            tools_list_changed=tools,
            resources_list_changed=resources,
            prompts_list_changed=prompts,
        ) as changes:
            async for _ in changes:
                changed()
    except MCPError:
        return False
    except SubscriptionLost:
        pass
    return True


def tells_of(capabilities: ServerCapabilities | None) -> tuple[bool, bool, bool]:
    """Return of which changes a server says that it tells: tools, resources, prompts."""
    if capabilities is None:
        return (False, False, False)
    lists = (capabilities.tools, capabilities.resources, capabilities.prompts)
    tools, resources, prompts = (bool(each and each.list_changed) for each in lists)
    return tools, resources, prompts
