"""The arguments of tools that an endpoint over HTTP wants in headers as well (``x-mcp-header``).

A client on standard input and output has no headers to mirror them in, and so does not. Which they
are is in the list of tools; a client that calls without listing first has it asked for.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio
from mcp.shared.inbound import find_invalid_x_mcp_header, mcp_param_headers, x_mcp_header_map

_MOST_PAGES: Final = 100

ListTools = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Sends ``tools/list`` with some parameters, and returns the result; ``{}`` where there is none."""


class Mirroring:
    """What is known of the tools of one endpoint."""

    def __init__(self, list_tools: ListTools) -> None:
        self._list_tools = list_tools
        self._by_tool: dict[str, Mapping[tuple[str, ...], str]] = {}
        self._asking = anyio.Lock()

    def read(self, result: Mapping[str, Any]) -> None:
        """Learn from the result of a ``tools/list``."""
        tools = result.get("tools")
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and isinstance(name := tool.get("name"), str):
                schema = tool.get("inputSchema")
                is_invalid = find_invalid_x_mcp_header(schema) is not None
                self._by_tool[name] = {} if is_invalid else x_mcp_header_map(schema)

    def forget(self) -> None:
        """Ask again: what was known is wrong."""
        self._by_tool.clear()

    async def headers(self, params: Mapping[str, Any]) -> dict[str, str]:
        """Return the headers that a ``tools/call`` with these parameters is to have."""
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return {}
        if name not in self._by_tool:
            async with self._asking:
                # Another call may have asked meanwhile.
                if name not in self._by_tool:
                    await self._ask(params)
        return mcp_param_headers(self._by_tool.setdefault(name, {}), arguments)

    async def _ask(self, params: Mapping[str, Any]) -> None:
        """Read all pages, as the client that calls would see them."""
        meta = {key: value for key, value in params["_meta"].items() if key != "progressToken"}
        asked: dict[str, Any] = {"_meta": meta}
        for _ in range(_MOST_PAGES):
            result = await self._list_tools(asked)
            self.read(result)
            if not isinstance(cursor := result.get("nextCursor"), str):
                return
            asked = {**asked, "cursor": cursor}
