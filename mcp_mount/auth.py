"""Who may call what: the scopes of a caller, and those that an operation asks for.

* A tool whose scopes the caller lacks is hidden from its list, and a call of it is answered with
  HTTP 403 and the scopes to ask for, before anything runs (MCP "Authorization", "Scope Challenge").
* Who the caller is, is decided before: by the app's own middleware, by the dependencies of the
  endpoint, or by a FastMCP auth provider.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from inspect import isawaitable
from typing import Any
from urllib.parse import urlsplit

from fastmcp.server.auth import AuthContext, AuthProvider
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.routes import build_resource_metadata_url
from pydantic import AnyHttpUrl
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Scopes = frozenset[str]
ScopesOf = Callable[[Request], Iterable[str] | Awaitable[Iterable[str] | None] | None]

granted_scopes: ContextVar[Scopes | None] = ContextVar("mcp_mount_granted_scopes", default=None)
"""The scopes of the current caller; None where nothing tells them, and so nothing is hidden."""


def lacking(alternatives: Sequence[Scopes], granted: Scopes | None) -> Scopes:
    """Return the scopes that a caller lacks; of several alternatives, those of the nearest.

    Args:
        alternatives: What an operation asks for; a caller needs all the scopes of one of them.
        granted: What the caller has; None where that is not known.
    """
    if granted is None or not alternatives:
        return frozenset()
    return min((needed - granted for needed in alternatives), key=len)


def tool_check(alternatives: Sequence[Scopes]) -> Callable[[AuthContext], bool]:
    """Return FastMCP's kind of check for a tool with these scopes: it hides, and refuses."""

    def allows(context: AuthContext) -> bool:  # noqa: ARG001 - FastMCP's signature
        return not lacking(alternatives, granted_scopes.get())

    return allows


class ScopeGate:
    """Tells the rest who may do what, and refuses calls that lack a scope with HTTP 403.

    Pure ASGI middleware around the MCP app. It reads the request's body ahead, and gives it on.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        needs: Callable[[str], Sequence[Scopes]],
        scopes_of: ScopesOf | None,
        auth: AuthProvider | None,
        metadata_url: str | None,
    ) -> None:
        """Wrap `app`; `needs` returns the alternatives of the tool so named."""
        self._app = app
        self._needs = needs
        self._scopes_of = scopes_of
        self._auth = auth
        self._metadata_url = metadata_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        granted = await self._granted(Request(scope))
        if granted is None:
            await self._app(scope, receive, send)
            return
        messages = await _read_ahead(receive) if scope["method"] == "POST" else []
        name = called_tool(b"".join(message.get("body", b"") for message in messages))
        missing = lacking(self._needs(name), granted) if name is not None else frozenset()
        if missing:
            await self._refusal(missing)(scope, receive, send)
            return
        token = granted_scopes.set(granted)
        try:
            await self._app(scope, _replayed(messages, receive), send)
        finally:
            granted_scopes.reset(token)

    async def _granted(self, request: Request) -> Scopes | None:
        if self._scopes_of is not None:
            scopes = self._scopes_of(request)
            scopes = await scopes if isawaitable(scopes) else scopes
            return None if scopes is None else frozenset(scopes)
        user = request.scope.get("user")
        return frozenset(user.scopes) if isinstance(user, AuthenticatedUser) else None

    def _refusal(self, missing: Scopes) -> JSONResponse:
        """Ask for the scopes that are missing (RFC 6750 §3.1, RFC 9728 §5.1)."""
        needed = sorted(missing)
        asked = self._auth.get_challenge_scopes(needed) if self._auth is not None else needed
        challenge = f'Bearer error="insufficient_scope", scope="{" ".join(asked)}"'
        if self._metadata_url is not None:
            challenge += f', resource_metadata="{self._metadata_url}"'
        description = f"This call needs the scope {' '.join(needed)}."
        return JSONResponse(
            {"error": "insufficient_scope", "error_description": description},
            status_code=403,
            headers={"www-authenticate": challenge},
        )


def metadata_url(auth: AuthProvider, path: str) -> str | None:
    """Return where the provider publishes who may issue tokens (RFC 9728 §3.1), if it does.

    Args:
        auth: The provider; its base URL is that of the public server.
        path: The endpoint's path, e.g. ``"/mcp"``.
    """
    base = auth.resource_base_url or auth.base_url
    if base is None:
        return None
    resource = AnyHttpUrl(f"{str(base).rstrip('/')}{path}")
    url = str(build_resource_metadata_url(resource))
    served = {route.path for route in auth.get_well_known_routes(path)}
    return url if urlsplit(url).path in served else None


def called_tool(body: bytes) -> str | None:
    """Return the tool that a JSON-RPC message calls; None for every other message."""
    try:
        message: Any = json.loads(body)
        name = message["params"]["name"] if message["method"] == "tools/call" else None
    except (ValueError, TypeError, KeyError, RecursionError):
        # Whatever this is, it calls nothing; the SDK answers it as the specification says.
        return None
    return name if isinstance(name, str) else None


async def _read_ahead(receive: Receive) -> list[Message]:
    """Receive the whole body, which the endpoint has bounded."""
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def receive_again() -> Message:
        return next(waiting, None) or await receive()

    return receive_again
