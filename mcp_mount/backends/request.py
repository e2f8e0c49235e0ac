"""What is called, on whose behalf, and where the response goes: the words of every call.

A `Request` is sent, and its response pushed into a `Sink` while it is produced; whoever produces it
waits while the sink does.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol
from urllib.parse import quote

from anyio.abc import TaskGroup
from starlette.types import Scope

Headers = list[tuple[bytes, bytes]]

Outcome = Literal["complete", "ended", "timeout", "broken"]
"""How a response came to its end: whole, at the sink's limit, at the deadline, or by a failure."""

TOOL_KEY: Final = "mcp_mount.tool"
"""The scope's key that tells middleware: this request is an MCP call of the tool so named."""

APP_KEY: Final = "mcp_mount.app"
"""The scope's key for the app of an MCP request, where FastMCP's own app stands under ``app``."""

# RFC 3986 §3.4, and `%` for what is encoded already.
_QUERY_CHARACTERS = "!$&'()*+,;=:@/?-._~%[]|"


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an operation, e.g. ``GET /items/3?full=true``.

    `path` is percent-encoded and relative to the application; `template` is the path of the
    operation that routing must find there (None: any), and `path_values` are the decoded values
    that routing must find in it. `headers` have lower-case names and replace those of the MCP
    request. `query_credentials` are the names of keys that are taken from its query.
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
    """The MCP request being served: what a call inherits, and what its tasks live in.

    `disconnect_ends_call` is false where the protocol says that a lost connection is no
    cancellation (handshake versions without sessions); the call then ends with its deadline.
    `named_no_tool` is set when the request calls a tool that is not there.
    """

    scope: Scope
    tasks: TaskGroup | None
    disconnect_ends_call: bool
    forward_cookies: bool = False
    named_no_tool: bool = False


request_context: ContextVar[RequestContext | None] = ContextVar("mcp_mount_incoming", default=None)
"""The MCP request on whose behalf the current task runs; None under an in-memory client."""


def redirected(request: Request, status: int, path: str, query: str) -> Request:
    """Return the request that a redirect asks for (RFC 9110 §15.4), to a path that is encoded."""
    keeps_method = status in {307, 308} or request.method == "GET"
    bodiless = ((name, value) for name, value in request.headers if name[:8] != b"content-")
    return Request(
        method=request.method if keeps_method else "GET",
        path=path,
        query=quote(query, safe=_QUERY_CHARACTERS),
        headers=request.headers if keeps_method else tuple(bodiless),
        body=request.body if keeps_method else None,
    )
