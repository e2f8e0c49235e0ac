"""The ASGI scope of a call, made from that of the MCP request. Pure."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode

from starlette.types import Scope

from mcp_mount.backends.request import (
    APP_KEY,
    BOUND_KEY,
    ROUTING_OVERRIDES,
    TOOL_KEY,
    OperationRequest,
)
from mcp_mount.headers import OF_THE_CONNECTION

# What routing and FastAPI write into a scope is theirs to write again. Everything else stays: what
# the server, a parent app or a wrapper has said of the caller is as true of the call.
_ROUTING_KEYS = (
    *("app", "app_root_path", "endpoint", "route", "router"),
    *("fastapi", "fastapi.telemetry", "fastapi_inner_astack", "fastapi_function_astack"),
    *("fastapi_middleware_astack", APP_KEY, BOUND_KEY),
)

# A header of the MCP request reaches the route unless it speaks of that request's own message
# (RFC 9110 §6 and §8), of its connection (§7.6.1), of caching or ranges (§13, §14), or of the
# browser's page, or lets some middleware route the request to another operation.
_OWN_HEADERS = frozenset(
    b"accept accept-charset accept-encoding expect date digest repr-digest origin referer "
    b"http2-settings proxy-authenticate proxy-authorization range cookie cookie2 last-event-id "
    b"signature signature-input".split()
) | {name.encode() for name in (*OF_THE_CONNECTION, *ROUTING_OVERRIDES)}
_OWN_PREFIXES = (b"content-", b"if-", b"mcp-", b"sec-", b"access-control-")

_ASGI: Final = {"version": "3.0"}

# A request that came over no transport: FastMCP's in-memory client, or a call of `Tool.run`.
NOWHERE: Final[Scope] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "scheme": "http",
    "root_path": "",
    "path": "/",
    "client": None,
    "server": None,
    "headers": [(b"host", b"localhost")],
}


def inner_scope(
    outer: Scope, request: OperationRequest, tool: str, *, cookies: bool = False
) -> Scope:
    """Return the scope of a call.

    `outer` is that of the MCP request, or `NOWHERE`; `tool` is for middleware.
    """
    # What stands before the application's own paths, as the server writes them.
    path: str = outer["path"]
    prefix = path[: len(path) - len(route_path(outer))]
    scope: Scope = dict(outer)
    for key in _ROUTING_KEYS:
        scope.pop(key, None)
    scope["type"] = "http"
    # Whatever the server is: here `send` raises `OSError` when the client is gone.
    scope["asgi"] = {**outer.get("asgi", _ASGI), "spec_version": "2.4"}
    scope["method"] = request.method
    scope["path"] = prefix + unquote(request.path)
    scope["raw_path"] = prefix.encode() + request.path.encode("ascii")
    scope["query_string"] = _with_credentials(outer, request).encode("ascii")
    scope["headers"] = _forwarded(outer["headers"], request.headers, cookies=cookies)
    scope[TOOL_KEY] = tool
    if "state" in outer:
        scope["state"] = dict(outer["state"])
    if "extensions" in outer:
        # A response goes to a model, not to the server that could send a file by itself.
        scope["extensions"] = {
            name: value
            for name, value in outer["extensions"].items()
            if not name.startswith("http.response.")
        }
    return scope


def _with_credentials(outer: Scope, request: OperationRequest) -> str:
    """Return the query, with the keys that the caller sent in the MCP request's own."""
    if not request.query_credentials:
        return request.query
    sent = parse_qsl(outer.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    keys = urlencode([pair for pair in sent if pair[0].lower() in request.query_credentials])
    return "&".join(part for part in (request.query, keys) if part)


def route_path(scope: Scope) -> str:
    """Return the path that the application's routes are matched with, as Starlette does.

    Some servers write ``root_path`` before ``path``, some leave it out, and both are right.
    """
    path: str = scope["path"]
    inside = path.removeprefix(scope.get("root_path", ""))
    return inside if not inside or inside.startswith("/") else path


def _forwarded(
    outer: Iterable[tuple[bytes, bytes]], own: Iterable[tuple[bytes, bytes]], *, cookies: bool
) -> list[tuple[bytes, bytes]]:
    """Return the headers that the caller could have sent to the route itself, then `own`."""
    # What `Connection` names stays, unlike in a proxy: the connection ends here, at the app, and a
    # caller could take away what a proxy has added, such as its address, by naming it.
    replaced = {name for name, _ in own}
    kept = [
        (name, value)
        for name, value in outer
        if name not in replaced
        and (
            (name not in _OWN_HEADERS and not name.startswith(_OWN_PREFIXES))
            or (cookies and name == b"cookie")
        )
    ]
    return [*kept, *own]
