"""Strands: the result of a tool use is what its model is shown."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from mcp.client.streamable_http import streamable_http_client
from reporting import IMAGE, Tools, run
from strands.tools.mcp import MCPAgentTool, MCPClient


def caller(client: MCPClient, tool: MCPAgentTool) -> Callable[[dict[str, Any]], Awaitable[object]]:
    async def call(arguments: dict[str, Any]) -> object:
        answer = await client.call_tool_async("1", tool.tool_name, arguments)
        # What else is in the answer is for the program.
        return [IMAGE if "image" in block else block for block in answer["content"]]

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    with MCPClient(lambda: streamable_http_client(url)) as client:
        tools = client.list_tools_sync()
        for tool in tools:
            assert tool.tool_spec
        yield {tool.tool_name: caller(client, tool) for tool in tools}


run(connect)
