"""The OpenAI Agents SDK; its strict functions must take the list as well."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from agents import Agent, FunctionTool, RunContextWrapper
from agents.mcp import MCPServerStreamableHttp, MCPUtil
from agents.tool_context import ToolContext
from reporting import Tools, run


def caller(tool: FunctionTool) -> Callable[[dict[str, Any]], Awaitable[object]]:
    async def call(arguments: dict[str, Any]) -> object:
        text = json.dumps(arguments)
        context = ToolContext(None, tool_name=tool.name, tool_call_id="1", tool_arguments=text)
        return await tool.on_invoke_tool(context, text)

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    async with MCPServerStreamableHttp({"url": url}) as server:
        agent = Agent("it")
        context = RunContextWrapper(None)
        tools = await MCPUtil.get_all_function_tools([server], True, context, agent)  # noqa: FBT003
        yield {tool.name: caller(tool) for tool in tools if isinstance(tool, FunctionTool)}


run(connect)
