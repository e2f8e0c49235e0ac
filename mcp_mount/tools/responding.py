"""From the request of a call to its result, through the redirects that are followed."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import anyio

from mcp_mount.backends.backend import Backend, completed
from mcp_mount.backends.request import Outcome, Request
from mcp_mount.conversion.content import Result, to_result
from mcp_mount.conversion.reader import Progress, ResponseReader
from mcp_mount.tools.binding import ToolBinding

MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LARGE: Final = 128 * 1024
"""Bytes of a body that the event loop reads itself, in some milliseconds."""

_TRACE = ("traceparent", "tracestate", "baggage")


async def send_and_follow(
    binding: ToolBinding,
    tool: str,
    request: Request,
    readers: list[ResponseReader],
    *,
    deadline: float,
    progress: Progress | None = None,
    hops: int = MOST_REDIRECTS,
) -> Result:
    """Send a request and follow its redirects; return what they lead to.

    Args:
        binding: How the tool is called.
        tool: Its name.
        request: What to send first.
        readers: Where each response is added, the last one last.
        deadline: When the last response must be complete, on the event loop's clock.
        progress: Where the pieces of streams go.
        hops: How many redirects to follow at the most.
    """
    for _ in range(1 + hops):
        reader = ResponseReader(binding.limits, progress, has_json_data=binding.shape.has_json_data)
        readers.append(reader)
        left = deadline - anyio.current_time()
        outcome = await completed(binding.caller.prepare(request, reader, tool=tool), timeout=left)
        await reader.end()
        following = following_request(binding.caller, request, reader)
        if following is None:
            break
        request = following
    return await result_of(binding, reader, outcome)


async def result_of(binding: ToolBinding, reader: ResponseReader, outcome: Outcome) -> Result:
    """Write what was read as the result; in a thread, where that takes others' time."""
    write = partial(
        to_result, reader, binding.shape, outcome=outcome, timeout=binding.limits.timeout
    )
    if reader.size <= _LARGE:
        return write()
    # Threads of our own: those of the app's routes are for them.
    return await anyio.to_thread.run_sync(write, limiter=anyio.CapacityLimiter(1))


def following_request(caller: Backend, request: Request, reader: ResponseReader) -> Request | None:
    """Return the request that the response redirects to, if it leads back into the app."""
    location = reader.headers.get("location")
    if location is None or reader.status not in _REDIRECTS:
        return None
    return caller.follow(request, reader.status, location)


def trace_of(meta: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the trace context of a message's ``_meta``."""
    if meta.keys().isdisjoint(_TRACE):
        return {}
    return {key: meta[key] for key in _TRACE if isinstance(meta.get(key), str)}


def traced(request: Request, trace: Mapping[str, str]) -> Request:
    """Let the request join the trace of the MCP call (W3C Trace Context, in ``_meta``)."""
    headers = [
        (key.encode(), value.encode())
        for key, value in trace.items()
        if value.isascii() and value.isprintable()
    ]
    return replace(request, headers=(*request.headers, *headers)) if headers else request
