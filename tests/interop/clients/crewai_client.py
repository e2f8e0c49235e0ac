"""CrewAI: what a tool returns, as text, is what its model is shown."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from crewai.tools import BaseTool
from crewai_tools import MCPServerAdapter
from reporting import Tools, run


def caller(tool: BaseTool) -> Callable[[dict[str, Any]], Awaitable[object]]:
    async def call(arguments: dict[str, Any]) -> object:
        return str(await asyncio.to_thread(tool.run, **arguments))

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    with MCPServerAdapter({"url": url, "transport": "streamable-http"}) as tools:
        for tool in tools:
            assert tool.args_schema.model_json_schema()
        yield {tool.name: caller(tool) for tool in tools}


run(connect)
