"""LangChain: the content of the tool message is what its model is shown."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_mcp_adapters.client import MultiServerMCPClient
from reporting import Tools, run


def caller(tool: BaseTool) -> Callable[[dict[str, Any]], Awaitable[object]]:
    async def call(arguments: dict[str, Any]) -> object:
        message = {"type": "tool_call", "id": "1", "name": tool.name, "args": arguments}
        return (await tool.ainvoke(message)).content

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    client = MultiServerMCPClient({"it": {"transport": "streamable_http", "url": url}})
    tools = await client.get_tools()
    for tool in tools:
        convert_to_openai_tool(tool)
    yield {tool.name: caller(tool) for tool in tools}


run(connect)
