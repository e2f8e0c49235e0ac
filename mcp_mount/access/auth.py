"""Who may call what: the scopes of a caller, and those that an operation asks for.

* A tool whose scopes the caller lacks is hidden from its list, and a call of it is answered with
  HTTP 403 and the scopes to ask for, before anything runs (MCP "Authorization", "Scope Challenge").
* Who the caller is, is decided before: by the app's own middleware, by the dependencies of the
  endpoint, or by a FastMCP auth provider. Strangers are told nothing about scopes.
* Should a call get past that, e.g. through a tool that calls tools, the tool's own check still
  refuses it, as if there were no such tool.
"""

import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from inspect import isawaitable
from typing import Final
from urllib.parse import urlsplit

from fastmcp.server.auth import AuthContext, AuthProvider
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.routes import build_resource_metadata_url
from pydantic import AnyHttpUrl
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse

from mcp_mount.turns import Turns

_CLOCK_SKEW: Final = 60
"""Seconds that the issuer's clock may be ahead of ours."""

_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,200}")
"""RFC 6749 §3.3, and of some length."""

Scopes = frozenset[str]
ScopesOf = Callable[[Request], Iterable[str] | Awaitable[Iterable[str] | None] | None]
"""Returns the scopes of the caller of a request, or None where they are not known."""

granted_scopes: ContextVar[Scopes | None] = ContextVar("mcp_mount_granted_scopes", default=None)
"""The scopes of the current caller; None where nothing tells them, and so nothing is hidden."""


def scopes_to_request(alternatives: Sequence[Scopes], granted: Scopes | None) -> Scopes:
    """Return the smallest set of scopes that would do; none where the caller has enough.

    A caller needs all the scopes of one of the alternatives; None: those granted are not known.
    """
    if granted is None or not alternatives or any(needed <= granted for needed in alternatives):
        return frozenset()
    return min(alternatives, key=lambda needed: len(needed - granted))


def tool_check(alternatives: Sequence[Scopes]) -> Callable[[AuthContext], bool]:
    """Return FastMCP's kind of check for a tool with these scopes: it hides, and refuses."""

    def allows(context: AuthContext) -> bool:  # noqa: ARG001 - FastMCP's signature
        return not scopes_to_request(alternatives, granted_scopes.get())

    return allows


class ScopeCheck:
    """Finds out what the caller of a request may do, and refuses what it may not."""

    def __init__(
        self, *, scopes_of: ScopesOf | None, auth: AuthProvider | None, metadata_url: str | None
    ) -> None:
        self._scopes_of = scopes_of
        self._auth = auth
        self._metadata_url = metadata_url

    async def granted(self, request: Request) -> Scopes | None:
        """Return the scopes of the caller; None where nothing tells them.

        Raises:
            HTTPException: what `scopes_of` raises of it.
        """
        if self._scopes_of is not None:
            scopes = self._scopes_of(request)
            scopes = await scopes if isawaitable(scopes) else scopes
            if isinstance(scopes, str):
                # As a token's claim has them (RFC 8693 §4.2).
                scopes = scopes.split()
            return None if scopes is None else frozenset(scopes)
        user = request.scope.get("user")
        return frozenset(user.scopes) if isinstance(user, AuthenticatedUser) else None

    def refuse(self, scopes: Scopes) -> JSONResponse:
        """Return a 403 that asks for the scopes a call needs (RFC 6750 §3.1, RFC 9728 §5.1)."""
        needed = sorted(scopes)
        asked = self._auth.get_challenge_scopes(needed) if self._auth is not None else needed
        # A document of others may call a scope what would be another header, or none at all.
        named = " ".join(filter(_SCOPE.fullmatch, asked))
        challenge = f'Bearer error="insufficient_scope", scope="{named}"'
        if self._metadata_url is not None:
            challenge += f', resource_metadata="{self._metadata_url}"'
        description = f"This call needs the scope {' '.join(needed)}."
        return JSONResponse(
            {"error": "insufficient_scope", "error_description": description},
            status_code=403,
            headers={"www-authenticate": challenge},
        )


def is_not_valid_yet(user: object) -> bool:
    """Whether the time of a caller's token has not come yet (RFC 7519 §4.1.5).

    FastMCP's verifiers check when a token ends, and not when it begins.
    """
    if not isinstance(user, AuthenticatedUser):
        return False
    begins = (user.access_token.claims or {}).get("nbf")
    if begins is None:
        return False
    # What is no number, `NaN` included, is no time that has come.
    is_number = isinstance(begins, int | float) and not isinstance(begins, bool)
    return not (is_number and begins <= time.time() + _CLOCK_SKEW)


def check_with_care(app: Starlette) -> None:
    """Have FastMCP's app check tokens in turns, and refuse one that breaks whoever reads it.

    A few kilobytes of ``[[[…`` raise `RecursionError` in a JSON parser, and ``1e999`` as a time
    `OverflowError`, neither of which FastMCP's verifiers expect.
    """
    for each in app.user_middleware:
        if isinstance(backend := each.kwargs.get("backend"), AuthenticationBackend):
            each.kwargs["backend"] = _CarefulBackend(backend)


class _CarefulBackend(AuthenticationBackend):
    def __init__(self, backend: AuthenticationBackend) -> None:
        self._backend = backend

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        # Strangers may come by the hundreds, and to check and refuse a token takes a millisecond.
        await Turns().begin()
        try:
            return await self._backend.authenticate(conn)
        except (RecursionError, OverflowError):
            return None


def metadata_url(auth: AuthProvider, path: str) -> str | None:
    """Return where the provider publishes who may issue tokens (RFC 9728 §3.1), if it does."""
    base = auth.resource_base_url or auth.base_url
    if base is None:
        return None
    resource = AnyHttpUrl(f"{str(base).rstrip('/')}{path}")
    url = str(build_resource_metadata_url(resource))
    served = {route.path for route in auth.get_well_known_routes(path)}
    return url if urlsplit(url).path in served else None
