"""An operation as a FastMCP tool."""

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import mcp_types
from fastmcp.tools import ToolResult
from pydantic import PrivateAttr

from mcp_mount.access.auth import tool_check
from mcp_mount.backends.backend import Backend
from mcp_mount.backends.request import request_context
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools.binding import CallPolicy, ToolBinding, bind_operation
from mcp_mount.tools.call import ToolCall
from mcp_mount.tools.confirm import question
from mcp_mount.tools.context import (
    client_name,
    current_context,
    meta_of,
    progress_of,
    to_tool_result,
)
from mcp_mount.tools.describing import annotations_of, description_of, title_of
from mcp_mount.tools.limited import LimitedTool
from mcp_mount.tools.selection import SelectedOperation


class OperationTool(LimitedTool):
    """A tool that calls one operation of the application."""

    _binding: ToolBinding = PrivateAttr()

    @classmethod
    def from_operation(
        cls, selected: SelectedOperation, schemas: Schemas, backend: Backend, policy: CallPolicy
    ) -> "OperationTool":
        """Publish an operation under the name it was given."""
        operation, mark = selected.operation, selected.mark
        binding = bind_operation(selected, schemas, backend, policy)
        tool = cls(
            name=selected.name,
            title=title_of(operation, mark),
            description=description_of(operation, mark),
            parameters=binding.arguments.schema,
            output_schema=binding.output_schema,
            annotations=annotations_of(operation, mark),
            tags=set(selected.tags),
            meta=mark.meta or None,
            auth=tool_check(operation.scopes) if operation.scopes else None,
        )
        tool._binding = binding
        return tool

    @cached_property
    def binding(self) -> ToolBinding:
        """How the tool is called. Cached, because Pydantic is slow to find private attributes."""
        return self._binding

    @property
    def scopes(self) -> tuple[frozenset[str], ...]:
        """The alternatives of scopes that the tool asks for."""
        return self.binding.operation.scopes

    def to_mcp_tool(self, **overrides: Any) -> mcp_types.Tool:
        """Publish only what was declared: FastMCP's own metadata is of no use to a client."""
        return super().to_mcp_tool(**{"_meta": self.meta, **overrides})

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Call the operation; a call that cannot be made, or fails, is an error result."""
        call = self.prepare(arguments)
        try:
            return to_tool_result(await call.run())
        finally:
            call.close()

    def prepare(self, arguments: Mapping[str, Any]) -> ToolCall:
        """Return the call for the MCP request that FastMCP serves now; see `ToolCall`."""
        context, ctx = current_context(), request_context.get()
        binding, confirm = self.binding, None
        if binding.needs_confirmation and context is not None:
            path = (each.name for each in binding.operation.parameters if each.location == "path")
            confirm = partial(
                question, context, binding.label, arguments, answered=binding.answered, first=path
            )
        call = ToolCall(
            self.name,
            binding,
            arguments,
            meta=meta_of(context),
            client=client_name(context),
            progress=progress_of(context),
            confirm=confirm,
            cancel_ends_call=ctx is None or ctx.disconnect_ends_call,
        )
        if ctx is not None and ctx.abandon is None:
            # Else it is made within a call of an own tool, which ends it too.
            ctx.abandon = call.abandon
        return call
