"""What a request passes before MCP sees it.

In this order: the method, the ``Origin``, the app's dependencies, the size of the body. The auth
provider, the session and the scopes come after that, in the MCP app.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

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

Admit = Callable[[Request, Send], Awaitable[None]]
"""Reads a request that dependencies may have read before, and serves it."""


@dataclass(frozen=True, slots=True)
class RequestGuard:
    """Who is let in, and with how much. See `mount_mcp`."""

    origins: Origins
    max_request_bytes: int
    dependencies: Sequence[Depends] = ()
    scopes_of: ScopesOf | None = None
    sessions: bool = False
    forward_cookies: bool = False


def reject_head(door: RequestGuard, methods: Sequence[str], scope: Scope) -> Response | None:
    """Return the answer to a request that goes no further; None where its head is in order."""
    origin = host = None
    for name, value in scope["headers"]:
        if name == b"origin":
            # Several are one list (RFC 9110 §5.3), which is no origin.
            text = value.decode("latin-1")
            origin = text if origin is None else f"{origin}, {text}"
        elif name == b"host" and host is None:
            host = value.decode("latin-1")
    if scope["method"] not in methods:
        allow = {"allow": ", ".join(methods)}
        return PlainTextResponse("Method Not Allowed", 405, headers=allow)
    if not door.origins.allow(origin, host):
        return refusal(
            403,
            f"The origin {origin!r} is not allowed. The server's public_url= and "
            "allowed_origins= say which are.",
        )
    return None


def guard(
    door: RequestGuard, path: str, methods: Sequence[str], app: FastAPI, admit: Admit
) -> APIRoute | None:
    """Return a route that has FastAPI solve the door's dependencies, with the overrides of `app`.

    It then lets `admit` answer. None where there are no dependencies.
    """
    if not door.dependencies:
        return None

    async def let_in(request: Request, response: Response) -> Response:
        # `response` has the headers that the dependencies set.
        return _Handover(admit, request, response.raw_headers)

    return APIRoute(
        path,
        let_in,
        methods=[*methods],
        dependencies=door.dependencies,
        dependency_overrides_provider=app,
    )


class _Handover(Response):
    """A response that FastAPI sends by letting the endpoint answer."""

    def __init__(self, admit: Admit, request: Request, headers: Headers) -> None:
        super().__init__()
        self._admit = admit
        self._request = request
        self._added = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._added]}
            await send(message)

        await self._admit(self._request, send_with_headers)
        if self.background is not None:
            await self.background()


def refusal(status: int, message: str) -> JSONResponse:
    """Refuse a request before it is served, in the words of JSON-RPC 2.0 §5.1."""
    error = {"code": _INVALID_REQUEST, "message": message}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=status)


def too_large(door: RequestGuard) -> JSONResponse:
    """Return the answer to a request whose body `read_body` has not read."""
    return refusal(413, f"The request is larger than {door.max_request_bytes} bytes.")


async def read_body(
    door: RequestGuard, scope: Scope, receive: Receive, request: Request | None
) -> bytes | None:
    """Return the whole body; None where it is larger than the door lets in.

    Args:
        door: Says how large that is.
        scope: The request's.
        receive: The request's.
        request: Where dependencies may have read it before; None where there are none.

    Raises:
        ClientDisconnect: the client went while it was sending.
    """
    limit = door.max_request_bytes
    if _is_announced_larger(scope, limit):
        return None
    return await (_read_again(request, limit) if request is not None else _read(receive, limit))


def _is_announced_larger(scope: Scope, limit: int) -> bool:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return value.isdigit() and int(value[:20]) > limit
    return False


async def _read(receive: Receive, limit: int) -> bytes | None:
    """Receive the whole body; None as soon as it is larger than `limit` bytes.

    Raises:
        ClientDisconnect: the client went while it was sending.
    """
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            return None
    return bytes(body)


async def _read_again(request: Request, limit: int) -> bytes | None:
    """Return what `_read` does, of a request that a dependency may have read before.

    Starlette's requests remember what they gave.

    Raises:
        ClientDisconnect: the client went while it was sending.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            return None
    return bytes(body)
