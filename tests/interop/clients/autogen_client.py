"""AutoGen: what its tool returns, as the text that its agent shows the model."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from autogen_core import CancellationToken
from autogen_core.tools import BaseTool
from autogen_ext.tools.mcp import (
    StreamableHttpServerParams,
    create_mcp_server_session,
    mcp_server_tools,
)
from reporting import Tools, run


def caller(tool: BaseTool[Any, Any]) -> Callable[[dict[str, Any]], Awaitable[str]]:
    async def call(arguments: dict[str, Any]) -> str:
        answer = await tool.run_json(arguments, CancellationToken())
        return tool.return_value_as_string(answer)

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    server = StreamableHttpServerParams(url=url)
    async with create_mcp_server_session(server) as session:
        await session.initialize()
        # Without a session of its own it shows an error as that of a task group.
        tools = await mcp_server_tools(server, session=session)
        for tool in tools:
            assert tool.schema
        yield {tool.name: caller(tool) for tool in tools}


run(connect)
