"""Pydantic AI: what a tool returns is what its model is shown."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai import BinaryContent, RunContext
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage
from reporting import IMAGE, Tools, run


def caller(toolset: MCPToolset[Any], name: str) -> Callable[[dict[str, Any]], Awaitable[object]]:
    async def call(arguments: dict[str, Any]) -> object:
        answer = await toolset.direct_call_tool(name, arguments)
        return IMAGE if isinstance(answer, BinaryContent) else answer

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    async with MCPToolset(url) as toolset:
        listed = await toolset.get_tools(RunContext(deps=None, model=TestModel(), usage=RunUsage()))
        yield {name: caller(toolset, name) for name in listed}


run(connect)
