"""How requests are forwarded to another server, and what is told when they fail.

The server gets the arguments, the trace and nothing else of the caller's request.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import mcp_types
from fastmcp.exceptions import FastMCPError
from fastmcp.server.auth import AuthContext
from fastmcp.server.context import Context
from mcp.shared.exceptions import MCPError
from mcp_types import URL_ELICITATION_REQUIRED, ErrorData, InputRequiredResult
from pydantic import ValidationError

from mcp_mount.access.auth import tool_check
from mcp_mount.access.principals import callers_of
from mcp_mount.backends.request import request_context
from mcp_mount.errors import Busy
from mcp_mount.limits import Limits, Slots
from mcp_mount.loops import in_thread
from mcp_mount.remotes.asking import callbacks_for
from mcp_mount.remotes.bounds import ASKS_TOO_MUCH, TOO_LARGE
from mcp_mount.remotes.elicitation import (
    can_open_pages,
    capabilities_of,
    clean_required,
    pass_on,
    read_state,
)
from mcp_mount.remotes.failures import ServerError, find_causes
from mcp_mount.remotes.links import with_our_links
from mcp_mount.remotes.monitor import Monitor
from mcp_mount.remotes.outgoing import Caller, OutgoingRequest
from mcp_mount.remotes.remote import Remote
from mcp_mount.remotes.session import Session
from mcp_mount.remotes.sizes import is_larger
from mcp_mount.tools.binding import CallPolicy

logger = logging.getLogger("mcp_mount.remotes")

Answer = TypeVar("Answer", bound=mcp_types.Result)

_SHUT_DOWN: Final = (
    "The call was ended before it was answered, because the gateway is shutting down. What it was "
    "to do may or may not be done."
)


class NotForwarded(FastMCPError):
    """A request has no result of the other server. The message is for whoever made it."""

    def __init__(self, message: str) -> None:
        # A line is in our log; FastMCP's would have a traceback.
        super().__init__(message, log_level=logging.DEBUG)


@dataclass(frozen=True, slots=True)
class RemoteBinding:
    """How requests to one server are made."""

    monitor: Monitor
    policy: CallPolicy
    limits: Limits
    slots: Slots

    @property
    def remote(self) -> Remote:
        """The server as it was configured."""
        return self.monitor.remote

    @property
    def scopes(self) -> tuple[frozenset[str], ...]:
        """The alternatives of scopes that a caller needs; see `ScopeCheck`."""
        return (frozenset(self.remote.scopes),) if self.remote.scopes else ()

    @property
    def check(self) -> Callable[[AuthContext], bool] | None:
        """FastMCP's kind of check for what the server offers."""
        return tool_check(self.scopes) if self.scopes else None

    def _callers(self) -> tuple[tuple[str, ...], ...]:
        """Return whom a request counts against, and who calls: callers of one count may be several.

        Both are nothing where a client is connected within this process.

        Raises:
            Busy: too many credentials are shown, or the rate limit cannot tell who calls.
        """
        ctx = request_context.get()
        if ctx is None:
            return (), ()
        shown = callers_of(ctx.request, self.policy.credentials())
        return tuple(self.policy.callers(ctx.request)), tuple(shown)

    async def forward(
        self,
        send: Callable[[Session, dict[str, Any]], Awaitable[Answer | InputRequiredResult]],
        context: Context | None,
        trace: Mapping[str, str],
        param_headers: Mapping[str, str] | None = None,
    ) -> Answer | InputRequiredResult:
        """Send a request, and return its result, or a question that the server has first.

        `send` does so in a session; its second argument is for the session's method.
        `param_headers` tell a modern server some of the arguments.

        Raises:
            Busy: there are too many callers.
            ServerError: the server refuses it.
            NotForwarded: there is no result, or none that can be passed on.
        """
        name = self.remote.name
        if self.monitor.standing.status == "down":
            raise NotForwarded(f"The server {name!r} is unavailable. Try again in a few seconds.")
        state = read_state(context) if context is not None else None
        capabilities = capabilities_of(context) if context is not None else {}
        options = {
            "meta": {**trace} or None,
            "input_responses": context.input_responses if context and state is not None else None,
            "request_state": state or None,
            "allow_input_required": True,
        }
        caller = context.request_context if context is not None else None
        request = OutgoingRequest(caller, capabilities, param_headers or {})
        try:
            with request.limited(self.limits.timeout):
                answer = await self.monitor.exchange(
                    request,
                    lambda session: send(session, options),
                    self._callers,
                    **callbacks_for(name, caller),
                )
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a client raises for a lost server
            if request.is_shut_down:
                raise NotForwarded(_SHUT_DOWN) from None
            raise self._explain(error, caller) from None
        if isinstance(answer, InputRequiredResult):
            return await self._passed_on(answer, context if capabilities else None)
        return await self._checked(answer)

    async def _passed_on(
        self, asked: InputRequiredResult, context: Context | None
    ) -> InputRequiredResult:
        """Return a question for the caller's client; there is no context where it cannot ask."""
        if context is None:
            raise NotForwarded(self._cannot_ask())
        # Ten forms take a while.
        clean = await in_thread(partial(pass_on, asked, self.remote.name, context))
        if clean is None:
            raise NotForwarded(self._asks_too_much())
        return clean

    async def _checked(self, answer: Answer) -> Answer:
        """Return a result that is not too large, without what speaks for the server."""
        if await is_larger(answer, self.limits.max_bytes):
            raise NotForwarded(self._too_large())
        kept = {
            key: value
            for key, value in (answer.meta or {}).items()
            if not key.startswith(("io.modelcontextprotocol/", "mcp-mount/"))
        }
        answer = answer.model_copy(update={"meta": kept or None})
        addresses = self.monitor.offer.catalog.addresses
        return await with_our_links(answer, self.remote.name, addresses)

    def _too_large(self) -> str:
        return f"The result is larger than {self.limits.max_bytes} bytes (max_bytes)."

    def _asks_too_much(self) -> str:
        name = self.remote.name
        return f"The server {name!r} asks for more than a question to its user, which is refused."

    def _cannot_ask(self) -> str:
        return f"The server {self.remote.name!r} asks its user first; this client cannot."

    def _ask_for_pages(self, error: ErrorData, caller: Caller | None) -> FastMCPError:
        asked = clean_required(error, self.remote.name, caller)
        if asked is not None:
            return ServerError(asked)
        can = can_open_pages(caller)
        return NotForwarded(self._asks_too_much() if can else self._cannot_ask())

    def _explain(self, error: Exception, caller: Caller | None) -> FastMCPError:
        """Return what to raise: the server's own words only if they are meant for its caller."""
        causes, name = [*find_causes(error)], self.remote.name
        if any(isinstance(each, MCPError) and each.code == TOO_LARGE for each in causes):
            return NotForwarded(self._too_large())
        if any(isinstance(each, MCPError) and each.code == ASKS_TOO_MUCH for each in causes):
            return NotForwarded(self._asks_too_much())
        self.monitor.suspect()
        refusal = next((each for each in causes if isinstance(each, ServerError)), None)
        if refusal is not None and refusal.error.code == URL_ELICITATION_REQUIRED:
            return self._ask_for_pages(refusal.error, caller)
        if refusal is not None:
            return refusal
        if isinstance(error, TimeoutError):
            seconds = self.limits.timeout
            return NotForwarded(f"The server {name!r} has not answered within {seconds:g} seconds.")
        logger.warning("A request to the remote %r has failed: %s", name, type(causes[-1]).__name__)
        logger.debug("What a request to the remote %r has raised", name, exc_info=error)
        if isinstance(error, ValidationError):
            return NotForwarded(
                f"The server {name!r} has answered with something that is not valid MCP."
            )
        return NotForwarded(
            f"The server {name!r} cannot be reached now. Try again in a few seconds."
        )
