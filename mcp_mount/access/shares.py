"""Keeps one caller from holding all sessions: whoever opens too many loses the oldest of its own.

A session that is ended is answered with 404, upon which a client opens another (MCP "Session
Management").
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from anyio import CancelScope
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.access.principals import callers_of
from mcp_mount.errors import Busy

_SESSION_ID = b"mcp-session-id"

_MOST_OF_A_CALLER: Final = 1_000
"""Sessions that a caller may have; of more, the one that was used least lately is ended. One with a
request is only where all have one: a call would end without an answer."""

_MOST: Final = 9_000
"""Sessions of all callers; of more, one is ended of whoever has most. The SDK refuses to open more
than 10,000."""

_ENDED: Final = frozenset({200, 202, 204, 404})
"""How a DELETE is answered when there is no such session any more."""

_Owner = tuple[object, object]
"""The user and the credentials of a scope, which the SDK compares."""


class SessionShare:
    """Pure ASGI middleware around the MCP app, inside of what seals sessions."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        credentials: Callable[[], Iterable[tuple[str, str]]],
        refuse: Callable[[str], ASGIApp],
    ) -> None:
        """Wrap `app`.

        Args:
            app: What opens sessions.
            credentials: Returns where the app looks for keys (see `Operation`).
            refuse: Returns the refusal of a request, for a reason.
        """
        self._app = app
        self._credentials = credentials
        self._refuse = refuse
        self._callers: dict[bytes, list[str]] = {}
        # Of each caller in the order of their use. Some may have ended by themselves since.
        self._sessions: dict[str, dict[bytes, _Owner]] = {}
        # How many requests of each are served now.
        self._served: Counter[bytes] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and remember the session that it opens, uses or ends."""
        session = _session_in(scope["headers"]) if scope["type"] == "http" else b""
        if session is not None:
            await self._serve(session, scope, receive, send)
            return

        try:
            callers = callers_of(Request(scope), self._credentials())
        except Busy as busy:
            await self._refuse(str(busy))(scope, receive, send)
            return

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                opened = _session_in(message["headers"])
                if opened is not None:
                    with CancelScope(shield=True):
                        for each, owner in self._add(opened, callers, scope):
                            await self._end(each, owner, scope)
            await send(message)

        await self._app(scope, receive, send_and_count)

    async def _serve(self, session: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        for caller in self._callers.get(session, ()):
            own = self._sessions[caller]
            own[session] = own.pop(session)

        async def send_and_forget(message: Message) -> None:
            # One that is refused has ended nothing.
            if message["type"] == "http.response.start" and message["status"] in _ENDED:
                self._forget(session)
            await send(message)

        is_end = scope.get("method") == "DELETE"
        self._served[session] += 1
        try:
            await self._app(scope, receive, send_and_forget if is_end else send)
        finally:
            self._served[session] -= 1
            if not self._served[session]:
                del self._served[session]

    def _add(self, session: bytes, callers: list[str], scope: Scope) -> list[tuple[bytes, _Owner]]:
        """Remember a session; return those that are to end for it."""
        # One that ends may have counted against several of them.
        ending = [
            self._forget_oldest(own)
            for caller in callers
            if len(own := self._sessions.get(caller, {})) >= _MOST_OF_A_CALLER
        ]
        if len(self._callers) >= _MOST:
            ending.append(self._forget_oldest(max(self._sessions.values(), key=len)))
        self._callers[session] = callers
        for caller in callers:
            own = self._sessions.setdefault(caller, {})
            own[session] = (scope.get("user"), scope.get("auth"))
        return ending

    def _forget_oldest(self, own: dict[bytes, _Owner]) -> tuple[bytes, _Owner]:
        idle = (each for each in own if not self._served[each])
        oldest = next(idle, next(iter(own)))
        owner = own[oldest]
        self._forget(oldest)
        return oldest, owner

    def _forget(self, session: bytes) -> None:
        for caller in self._callers.pop(session, ()):
            own = self._sessions[caller]
            del own[session]
            if not own:
                del self._sessions[caller]

    async def _end(self, session: bytes, owner: _Owner, scope: Scope) -> None:
        """End a session as its own client would."""
        user, auth = owner
        # FastMCP asks for a token even where it is known whose it was.
        shown = (pair for pair in scope["headers"] if pair[0] == b"authorization")
        headers = [(_SESSION_ID, session), *shown]
        ending = {**scope, "method": "DELETE", "headers": headers, "user": user, "auth": auth}

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def ignore(message: Message) -> None:
            """It may have ended before."""

        await self._app(ending, receive, ignore)


def _session_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    return next((value for name, value in headers if name == _SESSION_ID), None)
