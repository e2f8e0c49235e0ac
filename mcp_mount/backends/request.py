"""The request of a call, the sink of its response, and the MCP request it is made for."""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import Scope

Headers = list[tuple[bytes, bytes]]

ResponseEnd = Literal["complete", "ended", "timeout", "broken", "shutdown"]
"""How a response ended: whole, at a limit of the sink, at the deadline, by a failure of the app, or
when the server was shut down."""

TOOL_KEY: Final = "mcp_mount.tool"
"""The scope's key that tells middleware: this request is an MCP call of the tool so named."""

APP_KEY: Final = "mcp_mount.app"
"""The scope's key for the user's app, where FastMCP's own app stands under ``app``."""

BOUND_KEY: Final = "mcp_mount.bound"
"""The scope's key for the route that a call is bound for; the endpoint's route sees to it."""

ROUTING_OVERRIDES: Final = (
    *("x-http-method-override", "x-http-method", "x-method-override"),
    *("x-original-url", "x-rewrite-url"),
)
"""Headers by which some middleware routes a request, in place of its method and path."""

# RFC 3986 §3.4, and `%` for what is encoded already.
_QUERY_CHARACTERS = "!$&'()*+,;=:@/?-._~%[]|"


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """A request to an operation, e.g. ``GET /items/3?full=true``.

    Attributes:
        method: E.g. ``"GET"``.
        path: Percent-encoded, relative to the application.
        template: The path of the operation that routing must find there; None: any.
        path_values: The decoded values that routing must find in the path.
        query: Percent-encoded, without ``?``.
        headers: With lower-case names; they replace those of the MCP request.
        body: None where nothing is sent.
        query_credentials: Keys to take from the query of the MCP request.
    """

    method: str
    path: str
    template: str | None = None
    path_values: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None
    query_credentials: frozenset[str] = frozenset()


class Sink(Protocol):
    """Receives a response while it is produced."""

    @property
    def may_wait(self) -> bool:
        """Whether `write` may have to wait for the client."""

    async def start(self, status: int, headers: Headers) -> None:
        """Take the status and the headers, whose names are lower-case."""

    async def write(self, chunk: bytes) -> bool:
        """Take a part of the body; return False to end the response here."""


@dataclass(slots=True)
class RequestContext:
    """The MCP request being served, from which its calls inherit.

    Attributes:
        scope: The request's scope in the user's app, before FastMCP's own app changes it.
        disconnect_ends_call: False where a lost connection is no cancellation (handshake versions
            without sessions): the call then ends at its deadline.
        forward_cookies: Whether the caller's cookies go along.
        user: Whom the auth provider of the endpoint has found; None where it has none.
        unknown_tool: The request calls a tool that does not exist. Set by `ProtocolMiddleware`,
            read where the status is written.
        surface: What the caller asked to be shown (``"tools"`` or ``"search"``); None: the default.
        input_schema: That of the own tool that the request calls. Set by `Dispatcher`, read by the
            SDK's header checks.
        abandon: Called when the client has gone and the call may go on; None where none does.
        called_tool: The tool that the request itself calls. Set by `Dispatcher`, read where a call
            may become a task.
        tasks: To await before the MCP request ends: what goes on after the answer.
    """

    scope: Scope
    disconnect_ends_call: bool
    forward_cookies: bool = False
    user: object = None
    unknown_tool: bool = False
    surface: str | None = None
    input_schema: Mapping[str, Any] | None = None
    abandon: Callable[[], None] | None = None
    called_tool: str | None = None
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def request(self) -> Request:
        """The request as the user's functions see it: of the user's app, with the user found."""
        scope = self.scope if self.user is None else {**self.scope, "user": self.user}
        return Request(scope)


async def wait_for_tasks(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait until all tasks have ended, also those added meanwhile; pass a cancellation on."""
    while running := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError:
            for task in running:
                task.cancel()
            raise
    tasks.clear()


request_context: ContextVar[RequestContext | None] = ContextVar(
    "mcp_mount_request_context", default=None
)
"""The MCP request on whose behalf the current task runs; None under an in-memory client."""


def redirect_request(
    request: OperationRequest, status: int, path: str, query: str
) -> OperationRequest:
    """Return the request that a redirect asks for (RFC 9110 §15.4), to a path that is encoded."""
    keeps_method = status in {307, 308} or request.method == "GET"
    bodiless = ((name, value) for name, value in request.headers if name[:8] != b"content-")
    return OperationRequest(
        method=request.method if keeps_method else "GET",
        path=path,
        query=quote(query, safe=_QUERY_CHARACTERS),
        headers=request.headers if keeps_method else tuple(bodiless),
        body=request.body if keeps_method else None,
    )
