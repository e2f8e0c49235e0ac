"""A tool of another server as a FastMCP tool.

* It is subject to what ours are: the limits and the rate, the question before it destroys, the line
  in the log. That it destroys nothing, it only claims.
* The other server gets the arguments, the trace and nothing else of the request.
* What it asks of a user reaches a client that can be asked, with the server's name before it.
"""

from typing import Any, Final

import anyio
import mcp_types
from fastmcp.server.context import Context
from fastmcp.tools import Tool, ToolResult
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputRequiredResult
from pydantic import ConfigDict, PrivateAttr

from mcp_mount.errors import InvalidArguments
from mcp_mount.remotes.connection import HOPS_KEY, Session, TooLarge
from mcp_mount.remotes.foreign import VIA_KEY, ForeignTool
from mcp_mount.remotes.listing import tools_of
from mcp_mount.remotes.program import TOO_LARGE
from mcp_mount.remotes.questions import passed_on, state_of
from mcp_mount.remotes.reasons import alone, causes
from mcp_mount.remotes.relay import Relay, own_meta, progress_to
from mcp_mount.tools.call import trace_of
from mcp_mount.tools.confirm import can_ask, question
from mcp_mount.tools.tool import check_rate, current_context, recorded, to_tool_result

MOST_HOPS: Final = 8
"""Gateways that a call can pass."""


class RemoteTool(Tool):
    """A tool of another server."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    _relay: Relay = PrivateAttr()
    _foreign: ForeignTool = PrivateAttr()

    @classmethod
    def of(cls, relay: Relay, foreign: ForeignTool, name: str) -> "RemoteTool":
        """Publish a tool under the name it was given."""
        tool = cls(
            name=name,
            title=foreign.title,
            description=foreign.description,
            parameters=foreign.schema,
            output_schema=foreign.output_schema,
            annotations=foreign.annotations,
            meta={VIA_KEY: [relay.gateway, *foreign.via]},
            auth=relay.check,
        )
        tool._relay, tool._foreign = relay, foreign
        return tool

    @property
    def scopes(self) -> tuple[frozenset[str], ...]:
        """The alternatives of scopes that the tool asks for."""
        return self._relay.scopes

    def to_mcp_tool(self, **overrides: Any) -> mcp_types.Tool:
        """Publish only what was declared: FastMCP's own metadata is of no use to a client."""
        return super().to_mcp_tool(**{"_meta": self.meta, **overrides})

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        """Call the tool where it is; a call that cannot be made, or fails, is an error result."""
        context = current_context()
        return await recorded(
            self._admitted(arguments, context),
            context,
            tool=self.name,
            operation=f"{self._relay.remote.name}/{self._foreign.name[:200]}",
        )

    async def _admitted(self, arguments: dict[str, Any], context: Context | None) -> ToolResult:
        terms = self._relay.terms
        asks = terms.confirm == "destructive" and self._foreign.destroys
        if asks and context is not None and state_of(context) is None:
            asked = question(context, f"the tool {self.name}", arguments)
            if asked is not None:
                return to_tool_result(asked)
        hops = _hops(context)
        if hops >= MOST_HOPS:
            message = f"The call has passed {hops} gateways: one of them leads back to itself."
            raise InvalidArguments(message)
        await check_rate(terms.rate)
        named = {self._foreign.aliases.get(key, key): value for key, value in arguments.items()}
        async with terms.slots.taken():
            async with progress_to(
                context, terms.limits.max_bytes, terms.limits.timeout
            ) as progress:
                answer, is_full = await self._answer(named, context, hops, progress)
            return self._result(answer, context, is_full=is_full)

    async def _answer(
        self,
        arguments: dict[str, Any],
        context: Context | None,
        hops: int,
        progress: ProgressFnT | None,
    ) -> tuple[object, bool]:
        """Return a result or what was raised, and whether the answer was cut off."""
        # A handler makes the session say that questions to a user are answered.
        handlers = {"elicitation_callback": _unasked} if context and can_ask(context) else {}

        async def make(session: Session) -> object:
            return await self._called(session, arguments, context, hops, progress)

        try:
            with anyio.fail_after(self._relay.terms.limits.timeout):
                return await self._relay.watch.call(make, **handlers)
        except Exception as error:  # noqa: BLE001 - whatever a client raises for a lost server
            return alone(error), any(isinstance(each, TooLarge) for each in causes(error))

    async def _called(
        self,
        session: Session,
        arguments: dict[str, Any],
        context: Context | None,
        hops: int,
        progress: ProgressFnT | None,
    ) -> CallToolResult | InputRequiredResult:
        request = context.request_context if context is not None else None
        trace = trace_of(request.meta or {}) if request is not None else {}
        state = state_of(context) if context is not None else None
        if self._foreign.headers and self._relay.remote.url is not None:
            # The session learns from the list which arguments go into headers as well.
            await tools_of(session)
        meta: Any = {**trace, HOPS_KEY: hops + 1}
        return await session.call_tool(
            self._foreign.name,
            arguments,
            progress_callback=progress,
            meta=meta,
            input_responses=context.input_responses if context and state is not None else None,
            request_state=state or None,
            allow_input_required=True,
        )

    def _result(self, answer: object, context: Context | None, *, is_full: bool) -> ToolResult:
        relay = self._relay
        most = relay.terms.limits.max_bytes
        is_dropped = isinstance(answer, MCPError) and answer.code == TOO_LARGE
        if is_full or is_dropped or _size(answer) > most:
            return _error(f"The result is larger than {most} bytes (max_bytes).")
        if isinstance(answer, CallToolResult):
            return ToolResult(
                content=[*answer.content],
                structured_content=_object(answer.structured_content),
                meta=own_meta(answer.meta),
                is_error=bool(answer.is_error),
            )
        if isinstance(answer, InputRequiredResult):
            if context is None or not can_ask(context):
                name = relay.remote.name
                return _error(f"The server {name!r} asks its user first; this client cannot.")
            return passed_on(answer, relay.remote.name, context)
        if isinstance(answer, TimeoutError):
            return _error(relay.late())
        return _error(relay.failed(answer if isinstance(answer, BaseException) else None))


async def _unasked(*arguments: object) -> mcp_types.ElicitResult:
    """Decline what the server asks in a version that has no way back to the caller's client."""
    del arguments
    return mcp_types.ElicitResult(action="decline")


def _error(text: str) -> ToolResult:
    return ToolResult(content=text, is_error=True)


def _hops(context: Context | None) -> int:
    request = context.request_context if context is not None else None
    hops = (request.meta or {}).get(HOPS_KEY) if request is not None else None
    return hops if isinstance(hops, int) and hops > 0 else 0


def _object(structured: Any) -> dict[str, Any] | None:
    """Return structured content as an object, which it has to be in the handshake versions."""
    return structured if isinstance(structured, dict | None) else {"result": structured}


def _size(answer: object) -> int:
    """Return about how many bytes a result has."""
    if not isinstance(answer, CallToolResult):
        return 0
    blocks = sum(len(block.model_dump_json(by_alias=True)) for block in answer.content)
    structured = answer.structured_content
    # Both carry the same, and each is bounded by itself.
    most = max(blocks, len(str(structured)) if structured is not None else 0)
    return most + (len(str(answer.meta)) if answer.meta else 0)
