"""An operation as a FastMCP tool: what is published of it, and what happens on a call."""

import re
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Final, Literal

import anyio
import mcp_types
from fastmcp.server.context import Context
from fastmcp.server.dependencies import get_context
from fastmcp.tools import Tool, ToolResult
from fastmcp.tools.base import InputRequiredToolResult
from mcp_types import ContentBlock, TextContent, ToolAnnotations
from pydantic import ConfigDict, PrivateAttr
from starlette.requests import Request as HTTPRequest

from mcp_mount import journal
from mcp_mount.arguments import Arguments, read_arguments
from mcp_mount.auth import tool_check
from mcp_mount.call import Outcome, Request
from mcp_mount.confirm import question
from mcp_mount.content import Block, Result, Shape, error, to_result
from mcp_mount.errors import Busy, InvalidArguments, InvalidMark, MountError
from mcp_mount.limits import CallRate, Limits, Slots
from mcp_mount.nodes import Schema
from mcp_mount.operations import Operation
from mcp_mount.reading import Progress, Reading
from mcp_mount.running import Caller, completed
from mcp_mount.schemas import Schemas
from mcp_mount.selection import Mark, Offer
from mcp_mount.shape import read_shape

_LONGEST_DESCRIPTION = 2_000
MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LARGE: Final = 128 * 1024
"""Bytes of a body that the event loop reads itself, in some milliseconds."""

_TRACE = ("traceparent", "tracestate", "baggage")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the calls of a mount are subject to; a mark on an operation can say otherwise."""

    limits: Limits
    slots: Slots
    rate: CallRate | None = None
    confirm: Literal["destructive"] | None = None

    def __post_init__(self) -> None:
        """Refuse what would be read as "ask nobody".

        Raises:
            MountError: `confirm` has another value.
        """
        if self.confirm not in {None, "destructive"}:
            raise MountError(f"confirm={self.confirm!r} is not known: write 'destructive'.")


@dataclass(frozen=True, slots=True)
class Plan:
    """How one tool is called: from arguments to a request, and from its response to a result."""

    operation: Operation
    arguments: Arguments
    output_schema: Schema | None
    shape: Shape
    caller: Caller
    limits: Limits
    slots: Slots
    rate: CallRate | None
    asks: bool


class OperationTool(Tool):
    """A tool that calls one operation of the application."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    _plan: Plan = PrivateAttr()

    @classmethod
    def from_offer(
        cls, offer: Offer, schemas: Schemas, caller: Caller, terms: Terms
    ) -> "OperationTool":
        """Publish an operation under the name it was given."""
        plan = _plan(offer, schemas, caller, terms)
        tool = cls(
            name=offer.name,
            title=_title(offer.operation, offer.mark),
            description=_description(offer.operation, offer.mark),
            parameters=plan.arguments.schema,
            output_schema=plan.output_schema,
            annotations=_annotations(offer.operation, offer.mark),
            tags=set(offer.operation.tags),
            auth=tool_check(offer.operation.scopes) if offer.operation.scopes else None,
        )
        tool._plan = plan
        return tool

    @cached_property
    def plan(self) -> Plan:
        """How the tool is called. Cached, because Pydantic is slow to find private attributes."""
        return self._plan

    def to_mcp_tool(self, **overrides: Any) -> mcp_types.Tool:
        """Publish only what was declared: FastMCP's own metadata is of no use to a client."""
        return super().to_mcp_tool(**{"_meta": self.meta, **overrides})

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Call the operation; a call that cannot be made, or fails, is an error result."""
        context = current_context()
        readings: list[Reading] = []
        return await recorded(
            self._admitted(arguments, context, readings),
            context,
            tool=self.name,
            operation=str(self.plan.operation),
            readings=readings,
        )

    async def _admitted(
        self, arguments: dict[str, Any], context: Context | None, readings: list[Reading]
    ) -> ToolResult:
        """Make the call, once everything that can refuse or delay it has let it through."""
        request = self.plan.arguments.request(arguments)
        if self.plan.asks and context is not None:
            operation = self.plan.operation
            path = (each.name for each in operation.parameters if each.location == "path")
            asked = question(context, str(operation), arguments, first=path)
            if asked is not None:
                return asked
        await counted(self.plan.rate, context)
        progress, trace = _from_context(context)
        async with self.plan.slots.taken():
            return await self._call(traced(request, trace), progress, readings)

    async def _call(
        self, request: Request, progress: Progress | None, readings: list[Reading]
    ) -> ToolResult:
        deadline = anyio.current_time() + self.plan.limits.timeout
        return _tool_result(
            await responded(
                self.plan, self.name, request, readings, deadline=deadline, progress=progress
            )
        )


async def recorded(
    call: Awaitable[ToolResult],
    context: Context | None,
    *,
    tool: str,
    operation: str,
    readings: Sequence[Reading] = (),
) -> ToolResult:
    """Make a call, and write its line in the log; one that is refused is an error result.

    Args:
        call: Returns the result, or raises `InvalidArguments` or `Busy`.
        context: The call's FastMCP context, if it came by MCP.
        tool: The tool's name.
        operation: What it calls, e.g. ``"GET /articles/{slug}"``.
        readings: Where the call puts its responses, the last one last.
    """
    started = time.perf_counter()
    outcome: journal.Outcome = "cancelled"
    try:
        result = await call
        is_question = isinstance(result, InputRequiredToolResult)
        outcome = "asked" if is_question else "error" if result.is_error else "ok"
    except (InvalidArguments, Busy) as refused:
        result = _tool_result(error(str(refused)))
        outcome = journal.refusal(refused)
    except Exception:
        outcome = "failed"
        raise
    finally:
        journal.record(
            tool=tool,
            operation=operation,
            seconds=time.perf_counter() - started,
            reading=readings[-1] if readings else None,
            outcome=outcome,
            request=_http_request(context),
            client=_client_name(context),
        )
    return result


async def counted(rate: CallRate | None, context: Context | None) -> None:
    """Count a call that came over HTTP.

    Raises:
        Busy: the caller has called too often.
    """
    request = _http_request(context)
    if rate is not None and request is not None:
        await rate.count(request)


async def responded(
    plan: Plan,
    tool: str,
    request: Request,
    readings: list[Reading],
    *,
    deadline: float,
    progress: Progress | None = None,
    hops: int = MOST_REDIRECTS,
) -> Result:
    """Send a request and follow its redirects; return what they lead to.

    Args:
        plan: How the tool is called.
        tool: Its name.
        request: What to send first.
        readings: Where each response is added, the last one last.
        deadline: When the last response must be complete, on the event loop's clock.
        progress: Where the pieces of streams go.
        hops: How many redirects to follow at the most.
    """
    for _ in range(1 + hops):
        reading = Reading(plan.limits, progress)
        readings.append(reading)
        left = deadline - anyio.current_time()
        outcome = await completed(plan.caller.prepare(request, reading, tool=tool), timeout=left)
        await reading.end()
        following = following_request(plan.caller, request, reading)
        if following is None:
            break
        request = following
    return await result_of(plan, reading, outcome)


async def result_of(plan: Plan, reading: Reading, outcome: Outcome) -> Result:
    """Write what was read as the result; in a thread, where that takes others' time."""
    write = partial(to_result, reading, plan.shape, outcome=outcome, timeout=plan.limits.timeout)
    if reading.size <= _LARGE:
        return write()
    # Threads of our own: those of the app's routes are for them.
    return await anyio.to_thread.run_sync(write, limiter=anyio.CapacityLimiter(1))


def following_request(caller: Caller, request: Request, reading: Reading) -> Request | None:
    """Return the request that the response redirects to, if it leads back into the app."""
    location = reading.headers.get("location")
    if location is None or reading.status not in _REDIRECTS:
        return None
    return caller.follow(request, reading.status, location)


def _tool_result(result: Result) -> ToolResult:
    return ToolResult(
        content=[*map(_content_block, result.content)],
        structured_content=result.structured_content,
        meta=result.meta,
        is_error=result.is_error,
    )


def _content_block(block: Block) -> ContentBlock:
    if isinstance(block, str | list):
        return TextContent(type="text", text="".join(block))
    return block


def _plan(offer: Offer, schemas: Schemas, caller: Caller, terms: Terms) -> Plan:
    output_schema, shape = read_shape(offer.operation, schemas)
    limits = _limits(offer, terms)
    has_own_slots = "max_concurrency" in offer.mark.limits
    return Plan(
        operation=offer.operation,
        arguments=read_arguments(offer.operation, schemas),
        output_schema=output_schema,
        shape=shape,
        caller=caller,
        limits=limits,
        slots=Slots(limits.max_concurrency) if has_own_slots else terms.slots,
        rate=terms.rate,
        asks=_asks(offer, terms),
    )


def _limits(offer: Offer, terms: Terms) -> Limits:
    try:
        return terms.limits.overridden(offer.mark.limits)
    except ValueError as wrong:
        message = f"The 'x-mcp' mark of {offer.operation} sets a limit that cannot be: {wrong}"
        raise InvalidMark(message) from None


def _asks(offer: Offer, terms: Terms) -> bool:
    """Whether the caller's user is to be asked: a DELETE, or what a mark names."""
    if offer.mark.confirm is not None:
        return offer.mark.confirm
    destroys = offer.mark.annotations.get("destructiveHint", offer.operation.method == "DELETE")
    return terms.confirm == "destructive" and destroys


def current_context() -> Context | None:
    """Return the FastMCP context of the call that is being made."""
    try:
        return get_context()
    except RuntimeError:
        # The tool was run by hand, outside any MCP request.
        return None


def _http_request(context: Context | None) -> HTTPRequest | None:
    request = context.request_context.request if context and context.request_context else None
    return request if isinstance(request, HTTPRequest) else None


def _client_name(context: Context | None) -> str | None:
    request = context.request_context if context is not None else None
    client = request.session.client_params if request is not None else None
    return client.client_info.name if client is not None else None


def _from_context(context: Context | None) -> tuple[Progress | None, Mapping[str, str]]:
    """Return where progress goes, if the caller asked for it, and the caller's trace context."""
    if context is None or context.request_context is None:
        return None, {}
    meta = context.request_context.meta or {}
    trace = trace_of(meta)
    if meta.get("progressToken") is None:
        return None, trace
    count = 0

    async def progress(message: str) -> None:
        nonlocal count
        count += 1
        await context.report_progress(count, message=message)

    return progress, trace


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


def _title(operation: Operation, mark: Mark) -> str | None:
    return mark.title or " ".join(operation.summary.split()) or None


def _description(operation: Operation, mark: Mark) -> str:
    """Say what the tool does, its first sentence first."""
    if mark.description is not None:
        text = mark.description
    else:
        summary, description = operation.summary.strip(), operation.description.strip()
        if description.lower().startswith(summary.lower()) or _is_generated(operation):
            text = description or summary
        elif not description:
            text = summary or str(operation)
        else:
            end = "" if summary.endswith((".", "!", "?")) else "."
            text = f"{summary}{end} {description}"
    if operation.deprecated:
        text = f"Deprecated. {text}"
    return _cut(text)


def _is_generated(operation: Operation) -> bool:
    """Whether the summary is the one that FastAPI makes of the function's name."""
    name = re.sub(r"[^a-z0-9]", "", operation.summary.lower())
    generated = re.sub(r"[^a-z0-9]", "", operation.id.lower())
    path = re.sub(r"[^a-z0-9]", "", operation.path.lower())
    return bool(operation.description) and generated.startswith(f"{name}{path}")


def _cut(text: str) -> str:
    """Keep whole words within the length that every client shows."""
    if len(text) <= _LONGEST_DESCRIPTION:
        return text
    whole_words = re.sub(r"\s+\S*$", "", text[: _LONGEST_DESCRIPTION - 2])
    return f"{whole_words} …"


def _annotations(operation: Operation, mark: Mark) -> ToolAnnotations:
    """Say what the method promises (RFC 9110 §9.2); POST and PATCH promise nothing."""
    method = operation.method
    safe = method in {"GET", "QUERY"}
    hints = {
        "readOnlyHint": safe,
        "destructiveHint": not safe,
        "idempotentHint": safe or method in {"PUT", "DELETE"},
        "openWorldHint": False,
    }
    return ToolAnnotations.model_validate(hints | dict(mark.annotations))
