"""FastMCP's client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastmcp import Client
from reporting import Tools, run


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    async with Client(url) as client:
        listed = await client.list_tools()
        yield {tool.name: partial(client.call_tool_mcp, tool.name) for tool in listed}


run(connect)
