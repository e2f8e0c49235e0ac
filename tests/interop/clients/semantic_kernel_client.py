"""Semantic Kernel: its function result is what the chat history shows its model."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from reporting import Tools, run
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_calling_utils import (
    kernel_function_metadata_to_function_call_format,
)
from semantic_kernel.connectors.mcp import MCPStreamableHttpPlugin
from semantic_kernel.contents import FunctionCallContent, FunctionResultContent
from semantic_kernel.functions import KernelFunction


def caller(kernel: Kernel, function: KernelFunction) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    async def call(arguments: dict[str, Any]) -> Any:
        asked = FunctionCallContent(name=function.fully_qualified_name, arguments=arguments)
        answer = await kernel.invoke(function, **arguments)
        shown = FunctionResultContent.from_function_call_content_and_result(asked, answer)
        return shown.to_dict()

    return call


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Tools]:
    async with MCPStreamableHttpPlugin(name="it", url=url) as plugin:
        kernel = Kernel()
        functions = kernel.add_plugin(plugin).functions
        for function in functions.values():
            kernel_function_metadata_to_function_call_format(function.metadata)
        yield {name: caller(kernel, function) for name, function in functions.items()}


run(connect)
