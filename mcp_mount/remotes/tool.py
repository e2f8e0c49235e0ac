"""A tool of another server as a FastMCP tool.

It is subject to what ours are: the limits and the rate, the question before it destroys, the line
in the log. That it destroys nothing, it only claims.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastmcp.server.context import Context
from fastmcp.tools import ToolResult
from fastmcp.tools.base import InputRequiredToolResult
from mcp.shared.inbound import mcp_param_headers
from mcp_types import CallToolResult, InputRequiredResult
from pydantic import PrivateAttr

from mcp_mount.backends.request import request_context
from mcp_mount.conversion.content import Result
from mcp_mount.remotes.binding import NotForwarded, RemoteBinding
from mcp_mount.remotes.catalog import PublishedTool
from mcp_mount.remotes.elicitation import read_state
from mcp_mount.remotes.entries import VIA_KEY
from mcp_mount.remotes.progress import extending, forward_progress
from mcp_mount.remotes.shortening import shorten_answer
from mcp_mount.tools.account import account_for
from mcp_mount.tools.confirm import question
from mcp_mount.tools.context import current_context, to_tool_result
from mcp_mount.tools.limited import LimitedTool
from mcp_mount.tools.tracing import trace_of


@asynccontextmanager
async def admit(
    binding: RemoteBinding, context: Context | None
) -> AsyncIterator[Mapping[str, str]]:
    """Count a request, hold a slot while it runs, and yield its trace context.

    Raises:
        Busy: there have been too many, or too many are running.
    """
    ctx, rate = request_context.get(), binding.policy.rate
    if rate is not None and ctx is not None:
        await rate.count(ctx.request)
    request = context.request_context if context is not None else None
    async with binding.slots.held(ctx.request if ctx is not None else None):
        trace = trace_of(request.meta or {}) if request is not None else {}
        # Not the baggage, in which an application keeps what it likes.
        yield {key: trace[key] for key in ("traceparent", "tracestate") if key in trace}


class RemoteTool(LimitedTool):
    """A tool of another server."""

    _binding: RemoteBinding = PrivateAttr()
    _published: PublishedTool = PrivateAttr()

    @classmethod
    def from_published(
        cls, published: PublishedTool, binding: RemoteBinding, name: str
    ) -> "RemoteTool":
        """Offer a tool under the name it was given."""
        tool = cls(
            name=name,
            title=published.title,
            description=published.description,
            parameters=published.schema,
            output_schema=published.output_schema,
            annotations=published.annotations,
            meta={VIA_KEY: [*published.via]},
            # For those who choose among tools here; it is not published.
            tags={binding.remote.name},
            auth=binding.check,
        )
        tool._binding, tool._published = binding, published
        return tool

    def named(self, name: str) -> "RemoteTool":
        """Return the tool under a name; itself if that is its own."""
        if name == self.name:
            return self
        return self.from_published(self._published, self._binding, name)

    @property
    def server_name(self) -> str:
        """The name of the server that has the tool, as it was configured."""
        return self._binding.remote.name

    @property
    def scopes(self) -> tuple[frozenset[str], ...]:
        """The alternatives of scopes that the tool asks for."""
        return self._binding.scopes

    def get_meta(self) -> dict[str, Any]:
        """Publish only what was declared: FastMCP's own metadata is of no use to a client."""
        return self.meta or {}

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Call the tool where it is; a call that cannot be made is an error result.

        Raises:
            ServerError: the server refuses the call.
        """
        context = current_context()
        called = f"{self._binding.remote.name}/{self._published.name[:200]}"
        result: ToolResult = await account_for(
            self.name, called, context, lambda _: self._call(arguments, context)
        )
        return result

    async def _call(self, arguments: dict[str, Any], context: Context | None) -> ToolResult:
        binding, published = self._binding, self._published
        asks = binding.policy.confirm == "destructive" and published.is_destructive
        if asks and context is not None and read_state(context) is None:
            answered = binding.policy.answered
            asked = await question(context, f"the tool {self.name}", arguments, answered=answered)
            if asked is not None:
                return to_tool_result(asked)
        named = {published.aliases.get(key, key): value for key, value in arguments.items()}
        limits = binding.limits
        async with (
            admit(binding, context) as trace,
            forward_progress(context, limits.max_bytes, limits.timeout) as progress,
        ):
            try:
                answer: CallToolResult | InputRequiredResult = await binding.forward(
                    lambda session, options: session.call_tool(
                        published.name, named, progress_callback=extending(progress), **options
                    ),
                    context,
                    trace,
                    mcp_param_headers(published.headers, named),
                )
            except NotForwarded as error:
                return ToolResult(content=str(error), is_error=True)
        if isinstance(answer, InputRequiredResult):
            return InputRequiredToolResult(answer)
        structured = answer.structured_content
        # The handshake versions know no other structure than an object.
        structured = structured if isinstance(structured, dict | None) else {"result": structured}
        result = to_tool_result(
            Result((*answer.content,), structured, answer.meta, bool(answer.is_error))
        )
        if limits.max_result_chars is None:
            return result
        return await shorten_answer(result, published, limits.max_result_chars)
