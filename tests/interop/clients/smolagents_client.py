"""smolagents: an agent checks the arguments that its model gave, and calls the tool with them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from PIL.Image import Image
from reporting import IMAGE, Tools, run
from smolagents import MCPClient, Tool
from smolagents.tools import validate_tool_arguments


def caller(tool: Tool) -> Callable[[dict[str, Any]], Awaitable[object]]:
    async def call(arguments: dict[str, Any]) -> object:
        validate_tool_arguments(tool, arguments)
        answer = await asyncio.to_thread(tool, **arguments)
        return IMAGE if isinstance(answer, Image) else answer

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    with MCPClient({"url": url, "transport": "streamable-http"}, structured_output=False) as tools:
        for tool in tools:
            tool.to_tool_calling_prompt()
        yield {tool.name: caller(tool) for tool in tools}


run(connect)
