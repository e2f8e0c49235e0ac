"""A server with tools of given names, as a program: ``python -m tests.changing PORT ERA NAME…``.

It learns another tool when it is told to, and says so on the streams of the era that it speaks.
"""

import sys
from typing import Any

import uvicorn
from fastmcp import FastMCP
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged
from mcp_types import NotificationParams, SubscriptionsListenRequestParams

from mcp_mount.server import low_level_server
from tests.others import handshake_only


def changing_server(names: list[str]) -> FastMCP[Any]:
    """Return a server with tools of these names, and one that adds another."""
    server: FastMCP[Any] = FastMCP("changing")
    bus = InMemorySubscriptionBus()
    sessions: list[ServerSession] = []
    low_level = low_level_server(server)
    low_level.add_request_handler(
        "subscriptions/listen", SubscriptionsListenRequestParams, ListenHandler(bus)
    )

    async def remember(context: ServerRequestContext[Any, Any], _: NotificationParams) -> None:
        sessions.append(context.session)

    low_level.add_notification_handler("notifications/initialized", NotificationParams, remember)

    def say() -> str:
        return "said"

    for name in names:
        server.tool(say, name=name)
    server.prompt(say, name="ask")
    server.resource("data://parts")(say)

    @server.resource("data://parts/{number}")
    def part(number: str) -> str:
        return number

    @server.tool
    async def learn(name: str) -> str:
        server.tool(say, name=name)
        for session in sessions:
            await session.send_tool_list_changed()
        await bus.publish(ToolsListChanged())
        return "learnt"

    return server


def main() -> None:
    """Serve until the process is ended."""
    _, port, era, *names = sys.argv
    app: Any = changing_server(names).http_app(path="/mcp", stateless_http=False)
    served = handshake_only(app) if era == "legacy" else app
    uvicorn.run(served, port=int(port), log_level="error", ws="none", timeout_graceful_shutdown=0)


if __name__ == "__main__":
    main()
