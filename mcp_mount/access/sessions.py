"""Binds each session to the caller who opened it, whichever way the app tells its callers apart.

The SDK does so for the tokens of a FastMCP auth provider; here it is done for all. The session's id
is given out with a seal, ``<id>.<HMAC of id and caller>``. Without the right seal there is no such
session.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.access.principals import credentials_of

_SESSION_ID = b"mcp-session-id"


class SessionSeal:
    """Pure ASGI middleware around the MCP app."""

    def __init__(
        self, app: ASGIApp, *, credentials: Callable[[], Iterable[tuple[str, str]]]
    ) -> None:
        """Wrap `app`; `credentials` returns where the app looks for keys (see `Operation`)."""
        self._app = app
        self._credentials = credentials
        self._key = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, whose session is its caller's or is not there."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = session_owner(scope, self._credentials())

        async def send_sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    (name, self._sealed(value, caller) if name == _SESSION_ID else value)
                    for name, value in message["headers"]
                ]
                message = {**message, "headers": headers}
            await send(message)

        headers = [
            (name, self._opened(value, caller) if name == _SESSION_ID else value)
            for name, value in scope["headers"]
        ]
        await self._app({**scope, "headers": headers}, receive, send_sealed)

    def _sealed(self, session: bytes, caller: bytes) -> bytes:
        said = session + b"\0" + caller
        return session + b"." + hmac.digest(self._key, said, hashlib.sha256).hex().encode()

    def _opened(self, sealed: bytes, caller: bytes) -> bytes:
        """Return the session's id; nothing, which is no session's id, where the seal is wrong."""
        session = sealed.partition(b".")[0]
        return session if hmac.compare_digest(sealed, self._sealed(session, caller)) else b""


def session_owner(scope: Scope, credentials: Iterable[tuple[str, str]]) -> bytes:
    """Tell who calls: the authenticated subject, or else what the caller shows for itself.

    Not the address, which changes as people move. `credentials` are where the app looks for keys.
    """
    return "\n".join(credentials_of(Request(scope), credentials)).encode()
