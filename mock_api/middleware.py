"""What every request passes, outermost first: request id, access log, identity.

Plain ASGI, so that streams pass unbuffered and context variables reach the routes.
"""

import logging
import re
import time
import uuid
from contextvars import ContextVar
from typing import Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import Mounted
from mock_api.identity import ANONYMOUS, Identity

access_log = logging.getLogger("mock_api.access")

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""The id of the request that this code runs for."""

REQUEST_ID_HEADER: Final = "X-Request-ID"
TOOL_KEY: Final = "mcp_mount.tool"
"""The scope's key that holds the tool's name where the request is an MCP call in process."""

OPEN_PATHS: Final = frozenset({"/health"})
OPEN_PREFIX: Final = "/.well-known/"
"""What says how to become a known caller (RFC 8615, RFC 9728)."""

CLIENT_LEFT: Final = 499
POLICY_VIOLATION: Final = 1008

LONGEST_PATH: Final = 1_000
"""Characters of a path that the log has; a server lets 64 KiB of it through."""

LONGEST_QUERY: Final = 8_192
"""Bytes of a query. A server lets 64 KiB of it through, which take a tenth of a second to read."""

_TOO_LONG: Final = JSONResponse(
    {"detail": f"The query has more than {LONGEST_QUERY:,} bytes."}, status_code=414
)
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class RequestIdMiddleware:
    """Names each request, by its `X-Request-ID` where that is sane, and answers with the name."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request under its id."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        name = _request_id(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = name
            await send(message)

        # For the handler of unexpected errors, which runs outside of this middleware.
        scope.setdefault("state", {})["request_id"] = name
        token = request_id.set(name)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            request_id.reset(token)


class AccessLogMiddleware:
    """Logs one line a request, when its last byte was sent or its client left."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and log it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = CLIENT_LEFT
        started = time.perf_counter()

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        is_long = len(scope["query_string"]) > LONGEST_QUERY
        try:
            await (_TOO_LONG if is_long else self.app)(scope, receive, send_noting_status)
        except Exception:
            if status == CLIENT_LEFT:  # Nothing was sent yet: the client will be sent a 500.
                status = 500
            raise
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            tool = f" tool={scope[TOOL_KEY]}" if TOOL_KEY in scope else ""
            # Quoted, because a decoded path may hold line breaks.
            path = quote(scope["path"][:LONGEST_PATH])
            access_log.info(
                "%s %s %d %.1fms id=%s%s",
                *(scope["method"], path, status, milliseconds, request_id.get(), tool),
            )


class IdentityMiddleware:
    """Refuses callers who are not known, and tells routes, in `request.state.caller`, who calls.

    What is behind it finds the one credential that was accepted, and finds it as a bearer token,
    whichever header it came in: the endpoint at `/mcp` takes nothing else.
    """

    def __init__(self, app: ASGIApp, identity: Identity | None) -> None:
        self.app = app
        self.identity = identity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a known caller, or anyone where that is not asked for; refuse the others."""
        if scope["type"] == "lifespan" or _is_open(scope):
            await self.app(scope, receive, send)
        elif self.identity is None:
            scope.setdefault("state", {})["caller"] = ANONYMOUS
            await self.app(scope, receive, send)
        elif accepted := await self.identity.accepted(Headers(scope=scope)):
            credential, caller = accepted
            scope.setdefault("state", {})["caller"] = caller
            headers = [pair for pair in scope["headers"] if pair[0] not in _CREDENTIALS]
            headers.append((b"authorization", f"Bearer {credential}".encode("latin-1")))
            await self.app({**scope, "headers": headers}, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            instruction, challenge = self.identity.unknown(Headers(scope=scope))
            refusal = JSONResponse(
                {"detail": instruction}, status_code=401, headers={"WWW-Authenticate": challenge}
            )
            await refusal(scope, receive, send)


_CREDENTIALS = (b"authorization", b"x-api-key")


def _request_id(scope: Scope) -> str:
    # A tool call is a part of the request that brought it, and has its id.
    if TOOL_KEY in scope and (outer := request_id.get()) != "-":
        return outer
    given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    if path in OPEN_PATHS or path.startswith(OPEN_PREFIX):
        return True
    # The page on which a person enters a key.
    mounted: Mounted = scope["app"].state.mounted
    return mounted.serves_page(scope)
