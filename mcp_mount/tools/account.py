"""A call of what is not an operation: measured, and written into the log."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastmcp.server.context import Context
from fastmcp.tools import ToolResult
from fastmcp.tools.base import InputRequiredToolResult

from mcp_mount.backends.request import request_context
from mcp_mount.conversion.content import error
from mcp_mount.errors import Busy, InvalidArguments
from mcp_mount.tools import access_log
from mcp_mount.tools.context import client_name, to_tool_result
from mcp_mount.tools.metrics import CallMetrics, Kind


async def account_for(
    tool: str,
    operation: str,
    context: Context | None,
    call: Callable[[CallMetrics], Awaitable[Any]],
    outcome_of: Callable[[Exception], access_log.CallOutcome] = lambda _: "failed",
    *,
    kind: Kind = "tool",
) -> Any:
    """Make a call, and return its result, which is an error where the call was refused.

    `tool` and `operation` are as for `log_call`; `outcome_of` says what it is that a call raises.
    """
    started, metrics = time.perf_counter(), CallMetrics(tool, kind)
    outcome: access_log.CallOutcome = "cancelled"
    try:
        result = await call(metrics)
        is_question = isinstance(result, InputRequiredToolResult)
        # An extension may answer with something else, a task for example.
        is_error = isinstance(result, ToolResult) and result.is_error
        outcome = "asked" if is_question else "error" if is_error else "ok"
    except (InvalidArguments, Busy) as refused:
        result = to_tool_result(error(str(refused)))
        outcome = access_log.outcome_of_refusal(refused)
    except Exception as raised:
        outcome = outcome_of(raised)
        raise
    finally:
        seconds = time.perf_counter() - started
        metrics.end(outcome, seconds, None)
        said = (tool, operation, outcome, seconds, request_context.get())
        access_log.log_call(*said, client=client_name(context))
    return result
