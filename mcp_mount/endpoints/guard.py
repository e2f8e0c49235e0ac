"""What a request passes before MCP sees it: method, ``Origin``, the app's dependencies, size."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from mcp_mount.access.auth import ScopesOf
from mcp_mount.access.origin import Origins
from mcp_mount.backends.request import Headers

_INVALID_REQUEST = -32600

MOST_SAID: Final = 200
"""Characters of what a request says that are said again in its refusal."""

_MOST_FIELDS: Final = 200
_LARGEST_HEAD: Final = 64 * 1024
"""Header fields of a request, and their bytes with the query's: a session keeps those that it was
opened with."""

_LONGEST_QUERY: Final = 8 * 1024
"""Bytes; each who looks for a key in it reads it anew, which takes 25 ms for 64 KiB."""

_LONGEST_ACCEPT: Final = 1_000
_MOST_COOKIES: Final = 200
"""Characters of an ``Accept``, and cookies; each who looks into them splits them anew, which takes
14 and 9 ms for 60,000 parts."""

Dispatch = Callable[[Scope, Receive, Send], Awaitable[None]]
"""Serves a request that was let in."""


@dataclass(frozen=True, slots=True)
class RequestGuard:
    """Which requests are served, and how large they may be. See `mount_mcp`."""

    origins: Origins
    max_request_bytes: int
    dependencies: Sequence[Depends] = ()
    scopes_of: ScopesOf | None = None
    sessions: bool = False
    forward_cookies: bool = False


def reject_head(
    guard: RequestGuard,
    methods: Sequence[str],
    scope: Scope,
    *,
    is_page: bool = False,
    about: str | None = None,
) -> Response | None:
    """Return a 431, 414, 405 or 403 response; None if head, method and ``Origin`` are fine.

    `is_page` says that the request is one of the page, which no method of MCP's serves; `about` is
    what a 405 says.
    """
    if (refused := _reject_size(scope)) is not None:
        return refused
    origin = host = None
    for name, value in scope["headers"]:
        if name == b"origin":
            # Several are one list (RFC 9110 §5.3), which is no origin.
            text = value.decode("latin-1")
            origin = text if origin is None else f"{origin}, {text}"
        elif name == b"host" and host is None:
            host = value.decode("latin-1")
    if not is_page and scope["method"] not in methods:
        allow = {"allow": ", ".join(methods)}
        return PlainTextResponse(about or "Method Not Allowed", 405, headers=allow)
    if not guard.origins.allow(origin, host):
        said = origin[:MOST_SAID] if origin is not None else None
        return refuse(
            403,
            f"The origin {said!r} is not allowed. The server's public_url= and "
            "allowed_origins= say which are.",
        )
    return None


def _reject_size(scope: Scope) -> Response | None:
    """Return a 431 or 414 response; None if query and header fields are as long as usual."""
    if len(scope["headers"]) > _MOST_FIELDS:
        return refuse(431, f"The request has more than {_MOST_FIELDS} header fields.")
    # Some servers bound neither.
    size, cookies = len(scope["query_string"]), 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"accept" and len(value) > _LONGEST_ACCEPT:
            return refuse(431, f"The Accept has more than {_LONGEST_ACCEPT:,} characters.")
        if name == b"cookie":
            cookies += value.count(b";") + 1
    if size > _LARGEST_HEAD:
        return refuse(431, f"Query and header fields have more than {_LARGEST_HEAD} bytes.")
    if cookies > _MOST_COOKIES:
        return refuse(431, f"The request has more than {_MOST_COOKIES} cookies.")
    if len(scope["query_string"]) > _LONGEST_QUERY:
        return refuse(414, f"The query has more than {_LONGEST_QUERY} bytes.")
    return None


def dependency_route(
    guard: RequestGuard, path: str, methods: Collection[str], app: FastAPI, dispatch: Dispatch
) -> APIRoute | None:
    """Return a route that has FastAPI solve the dependencies, then dispatches the request.

    The dependency overrides of `app` count. None where there are no dependencies.
    """
    if not guard.dependencies:
        return None

    async def respond(request: Request, response: Response) -> Response:
        # `response` has the headers that the dependencies set.
        return _Dispatched(dispatch, request, response.raw_headers)

    return APIRoute(
        path,
        respond,
        methods=[*methods],
        dependencies=guard.dependencies,
        dependency_overrides_provider=app,
    )


class _Dispatched(Response):
    """A response that FastAPI sends by letting the endpoint answer."""

    def __init__(self, dispatch: Dispatch, request: Request, headers: Headers) -> None:
        super().__init__()
        self._dispatch = dispatch
        self._request = request
        self._added = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._added]}
            await send(message)

        request, receive = self._request, self._request.receive
        if request.method == "POST":
            # Starlette's requests remember the body, which a dependency may have read. Where none
            # has, `body()` would keep a list of its parts, which are many where they are short.
            body = bytearray()
            try:
                async for part in request.stream():
                    body += part
            except ClientDisconnect:
                return
            receive = replay_body(bytes(body), receive)
        await self._dispatch(request.scope, receive, send_with_headers)
        if self.background is not None:
            await self.background()


def refuse(status: int, message: str, code: int = _INVALID_REQUEST) -> JSONResponse:
    """Return a refusal of a request that was not served, in the form of JSON-RPC 2.0 §5.1."""
    error = {"code": code, "message": message}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=status)


def too_large(guard: RequestGuard) -> JSONResponse:
    """Return the 413 for a request that is larger than the guard lets in."""
    return refuse(413, f"The request is larger than {guard.max_request_bytes} bytes.")


async def read_body(guard: RequestGuard, scope: Scope, receive: Receive) -> bytes | None:
    """Return the whole body; None as soon as it is larger than the guard lets in.

    Raises:
        ClientDisconnect: the client went while it was sending.
    """
    limit = guard.max_request_bytes
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value[:20]) > limit:
            return None
    message = await receive()
    body = _chunk(message)
    if not message.get("more_body", False):
        return body if len(body) <= limit else None
    # A list of many short parts would take thirty times as much.
    whole = bytearray(body)
    while message.get("more_body", False) and len(whole) <= limit:
        message = await receive()
        whole += _chunk(message)
    return bytes(whole) if len(whole) <= limit else None


async def handle_within_limit(
    guard: RequestGuard, route: APIRoute, scope: Scope, receive: Receive, send: Send
) -> None:
    """Let a route with dependencies handle a request; a larger body is a 413, and not read."""
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return message if size <= guard.max_request_bytes else {"type": "http.disconnect"}

    async def send_unless_exceeded(message: Message) -> None:
        if size <= guard.max_request_bytes:
            await send(message)

    try:
        await route.handle(scope, receive_limited, send_unless_exceeded)
    except ClientDisconnect:
        if size <= guard.max_request_bytes:
            raise
    if size > guard.max_request_bytes:
        await too_large(guard)(scope, receive, send)


def replay_body(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the whole body once more, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


def _chunk(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    body: bytes = message.get("body", b"")
    return body
