"""Agno: what the entry point of a function returns is what its model is shown."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from agno.tools.function import Function, FunctionCall
from agno.tools.mcp import MCPTools
from reporting import IMAGE, Tools, run


def caller(function: Function) -> Callable[[dict[str, Any]], Awaitable[object]]:
    async def call(arguments: dict[str, Any]) -> object:
        done = await FunctionCall(function=function, arguments=arguments).aexecute()
        if done.status != "success":
            raise RuntimeError(done.error)
        answer = done.result
        return [answer.content, *([IMAGE] if answer.images else [])]

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    async with MCPTools(transport="streamable-http", url=url) as tools:
        for function in tools.functions.values():
            function.to_dict()
        yield {name: caller(function) for name, function in tools.functions.items()}


run(connect)
