"""The MCP Python SDK of 2026-07-28."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from mcp import Client
from reporting import Tools, run


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    async with Client(url) as client:
        listed = await client.list_tools()
        yield {tool.name: partial(client.call_tool, tool.name) for tool in listed.tools}


run(connect)
