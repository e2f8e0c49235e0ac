"""The MCP Python SDK of the handshake versions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from reporting import Tools, run


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    async with (
        streamablehttp_client(url) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        listed = await session.list_tools()
        yield {tool.name: partial(session.call_tool, tool.name) for tool in listed.tools}


run(connect)
