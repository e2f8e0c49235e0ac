"""How a client starts, fetches and ends a task: MCP's extension ``io.modelcontextprotocol/tasks``.

A call becomes a task where the operation's mark says that it may, and the client says, with the
call, that it speaks the extension. Every other call is made as ever. It exists in the versions
without a handshake only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import mcp_types
from fastmcp.server.context import Context
from fastmcp.server.extensions import (
    MethodBinding,
    ServerExtension,
    ToolCallContinuation,
    ToolCallOutcome,
    read_client_extension_settings,
)
from fastmcp.utilities.tasks import TASKS_EXTENSION_ID
from fastmcp_tasks.models import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CancelTaskParams,
    CancelTaskResult,
    CreateTaskResult,
    GetTaskParams,
    GetTaskResult,
    UpdateTaskParams,
    UpdateTaskResult,
    missing_capability_error_data,
)
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types.jsonrpc import HEADER_MISMATCH
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from mcp_mount.backends.request import RequestContext, request_context
from mcp_mount.conversion.content import error
from mcp_mount.errors import Busy, InvalidArguments
from mcp_mount.tasks.engine import TaskEngine
from mcp_mount.tasks.store import Task, moment
from mcp_mount.tools.context import client_name, meta_of, to_tool_result
from mcp_mount.tools.tool import OperationTool

_POLL_MS: Final = 1_000
"""How long a client is to wait until it asks again."""

_LONGEST_ID: Final = 200
"""Characters of an id that are repeated where it is unknown."""

_Request = ServerRequestContext[Any, Any]


class TasksExtension(ServerExtension):
    """Offers the tasks of one mount to its clients."""

    identifier = TASKS_EXTENSION_ID

    def __init__(self, engine: TaskEngine) -> None:
        self._engine = engine

    def methods(self) -> Sequence[MethodBinding]:
        """Return the methods that clients call."""
        versions = frozenset(MODERN_PROTOCOL_VERSIONS)
        return [
            MethodBinding("tasks/get", GetTaskParams, self._get, versions),
            MethodBinding("tasks/update", UpdateTaskParams, self._update, versions),
            MethodBinding("tasks/cancel", CancelTaskParams, self._cancel, versions),
        ]

    async def intercept_tool_call(
        self,
        params: mcp_types.CallToolRequestParams,
        context: Context,
        call_next: ToolCallContinuation,
    ) -> ToolCallOutcome:
        """Start a task in the place of a call, where that is wanted and may be."""
        ctx = request_context.get()
        if ctx is None or not self._is_wanted(params, context, ctx):
            return await call_next()
        tool = await context.fastmcp.get_tool(params.name)
        if not (isinstance(tool, OperationTool) and tool.binding.is_task):
            return await call_next()
        arguments = params.arguments or {}
        if (answer := await tool.prepare(arguments).admit()) is not None:
            return to_tool_result(answer)
        client, meta = client_name(context), meta_of(context)
        try:
            task_id, task = await self._engine.start(tool, arguments, ctx, meta=meta, client=client)
        except (Busy, InvalidArguments) as refused:
            return to_tool_result(error(str(refused)))
        return CreateTaskResult(**_fields(task_id, task))

    def _is_wanted(
        self, params: mcp_types.CallToolRequestParams, context: Context, ctx: RequestContext
    ) -> bool:
        """Whether the client asks for a task, and calls the tool itself, not by another one."""
        request = context.request_context
        return (
            self._engine.is_running
            and ctx.called_tool == params.name
            and request is not None
            and request.protocol_version in MODERN_PROTOCOL_VERSIONS
            and context.client_extension_settings(self.identifier) is not None
        )

    async def _find(self, request: _Request, task_id: str) -> tuple[Task, dict[str, Any]]:
        ctx = self._check(request, task_id)
        with _as_protocol_error():
            found = await self._engine.find(task_id, ctx)
        if found is None:
            raise _unknown(task_id)
        return found

    async def _get(self, request: _Request, params: GetTaskParams) -> dict[str, Any]:
        task, outcome = await self._find(request, params.task_id)
        told = GetTaskResult(**_fields(params.task_id, task), status_message=task.message)
        # The SDK would copy it, and write it, in one step each.
        return {**told.model_dump(by_alias=True, mode="json", exclude_none=True), **outcome}

    async def _update(self, request: _Request, params: UpdateTaskParams) -> UpdateTaskResult:
        """Take answers to questions; a task of ours asks none, because it asks before it begins."""
        await self._find(request, params.task_id)
        return UpdateTaskResult()

    async def _cancel(self, request: _Request, params: GetTaskParams) -> CancelTaskResult:
        ctx = self._check(request, params.task_id)
        with _as_protocol_error():
            is_known = await self._engine.cancel(params.task_id, ctx)
        if not is_known:
            raise _unknown(params.task_id)
        return CancelTaskResult()

    def _check(self, request: _Request, task_id: str) -> RequestContext:
        """Refuse a client that does not speak the extension, or whose headers say otherwise."""
        if read_client_extension_settings(request, self.identifier) is None:
            raise MCPError(
                code=MISSING_REQUIRED_CLIENT_CAPABILITY,
                message=f"Tasks need the client's capability {self.identifier!r}.",
                data=missing_capability_error_data(),
            )
        ctx = request_context.get()
        if ctx is None:
            raise _unknown(task_id)
        header = ctx.request.headers.get(MCP_NAME_HEADER)
        if header is not None and decode_header_value(header) != task_id:
            raise MCPError(
                code=HEADER_MISMATCH,
                message=f"The header {MCP_NAME_HEADER} and taskId are not the same.",
            )
        return ctx


def _fields(task_id: str, task: Task) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "status": task.status,
        "created_at": moment(task.created),
        "last_updated_at": moment(task.updated),
        "ttl_ms": int(task.seconds * 1000),
        "poll_interval_ms": _POLL_MS,
    }


def _unknown(task_id: str) -> MCPError:
    """Say that there is no such task; the same of a task that is somebody else's."""
    message = f"Unknown task: {task_id[:_LONGEST_ID]!r}"
    return MCPError(code=mcp_types.INVALID_PARAMS, message=message)


@contextmanager
def _as_protocol_error() -> Iterator[None]:
    try:
        yield
    except Busy as busy:
        raise MCPError(code=mcp_types.INTERNAL_ERROR, message=str(busy)) from None
