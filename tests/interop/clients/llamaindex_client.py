"""LlamaIndex: the blocks of a tool's output are what its model is shown."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from llama_index.core.tools import FunctionTool
from llama_index.tools.mcp import BasicMCPClient, McpToolSpec
from reporting import Tools, run


def caller(tool: FunctionTool) -> Callable[[dict[str, Any]], Awaitable[object]]:
    async def call(arguments: dict[str, Any]) -> object:
        return (await tool.acall(**arguments)).blocks

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    tools = await McpToolSpec(client=BasicMCPClient(url)).to_tool_list_async()
    for tool in tools:
        tool.metadata.to_openai_tool()
    yield {tool.metadata.get_name(): caller(tool) for tool in tools}


run(connect)
