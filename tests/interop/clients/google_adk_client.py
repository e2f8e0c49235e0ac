"""Google ADK: its declarations are those of Gemini, and what a tool returns is its response."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.agents.invocation_context import InvocationContext
from google.adk.models.llm_request import LlmRequest
from google.adk.sessions import InMemorySessionService
from google.adk.tools import BaseTool, ToolContext
from google.adk.tools.mcp_tool import McpToolset, StreamableHTTPConnectionParams
from reporting import Tools, run


def caller(tool: BaseTool, context: ToolContext) -> Callable[[dict[str, Any]], Awaitable[object]]:
    async def call(arguments: dict[str, Any]) -> object:
        # A function response is JSON, an image in it too.
        return json.dumps(await tool.run_async(args=arguments, tool_context=context))

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    sessions = InMemorySessionService()
    session = await sessions.create_session(app_name="it", user_id="it")
    agent = LlmAgent(name="it")
    invocation = InvocationContext(
        invocation_id="1", agent=agent, session=session, session_service=sessions
    )
    context = ToolContext(invocation)
    toolset = McpToolset(connection_params=StreamableHTTPConnectionParams(url=url))
    try:
        tools = await toolset.get_tools()
        for tool in tools:
            await tool.process_llm_request(tool_context=context, llm_request=LlmRequest())
        yield {tool.name: caller(tool, context) for tool in tools}
    finally:
        await toolset.close()


run(connect)
