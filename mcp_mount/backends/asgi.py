"""Calls an app in this process: as the caller, through its middleware, to the route meant."""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urljoin, urlsplit

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import Scope

from mcp_mount.backends.app_call import AppCall
from mcp_mount.backends.backend import ToolIndex
from mcp_mount.backends.request import (
    BOUND_KEY,
    Headers,
    OperationRequest,
    Sink,
    redirect_request,
    request_context,
)
from mcp_mount.backends.routing import Routing
from mcp_mount.backends.scope import NOWHERE, inner_scope, route_path
from mcp_mount.errors import InvalidArguments, InvalidMark
from mcp_mount.openapi.operations import Operation

logger = logging.getLogger("mcp_mount")

_LONGEST_PATH: Final = 8_192
"""Characters of a path that a redirect leads to: all routes of the app are asked for it."""

_HIDDEN = b"The app runs in debug mode, so this answer is not shown here. The server's log has it."


@dataclass(frozen=True, slots=True)
class ResolvedRoute:
    """Where a call was bound when it left for the app's middleware.

    `route` is the one entry of the app's routes that takes its path, where that is certain.
    `may_reach` tells whether a request that middleware has sent elsewhere may go there.
    """

    app: object
    path: str
    method: str
    route: BaseRoute | None
    may_reach: Callable[[Scope], bool]


class _TracebackFilter:
    """A sink that hides the traceback with which an app in debug mode answers an exception.

    Such an answer looks like any other with status 500, so those of the app's own are hidden too.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hides = False

    @property
    def may_wait(self) -> bool:
        """Whether the sink may wait."""
        return self._sink.may_wait

    async def start(self, status: int, headers: Headers) -> None:
        """Replace an answer with status 500; pass on every other."""
        self._hides = status == 500
        if not self._hides:
            await self._sink.start(status, headers)
            return
        await self._sink.start(status, [(b"content-type", b"text/plain; charset=utf-8")])
        await self._sink.write(_HIDDEN)

    async def write(self, chunk: bytes) -> bool:
        """Pass a part on, or write it to the log."""
        if not self._hides:
            return await self._sink.write(chunk)
        logger.warning("Not shown to the client: %s", chunk.decode("utf-8", "replace"))
        return True


class ASGIBackend:
    """Calls an application in this process, on behalf of the current MCP request."""

    def __init__(self, app: FastAPI, index: Callable[[], ToolIndex]) -> None:
        self.app = app
        self._index = index
        self._routing = Routing(app)

    def prepare(self, request: OperationRequest, sink: Sink, *, tool: str) -> AppCall:
        """Return the call that sends `request` through the app's whole middleware stack.

        See `Backend.prepare`.
        """
        if self.app.debug:
            sink = _TracebackFilter(sink)
        ctx = request_context.get()
        outer = ctx.scope if ctx is not None else NOWHERE
        cookies = ctx is not None and ctx.forward_cookies
        scope = inner_scope(outer, request, tool, cookies=cookies)
        template, values = request.template, request.path_values
        if template is not None:
            leads = self._routing.is_as_meant(scope, template, values, self._index().routes)
            if leads is None:
                message = "No such path: it is too long to be compared with the routes of this app."
                raise InvalidArguments(message)
            if not leads:
                given = ", ".join(f"{name}={value!r}" for name, value in values.items())
                what = given or template
                message = f"No such path: {what} leads to another operation, or to none."
                raise InvalidArguments(message)
        known = self._routing.known_route(request.method, template) if template else None
        scope[BOUND_KEY] = ResolvedRoute(
            self.app, scope["path"], request.method, known, self._may_reach
        )
        return AppCall(self.app, scope, request.body, sink)

    def encode_slashes(self, operation: Operation) -> None:
        """Refuse it: see `Backend.encode_slashes`.

        Raises:
            InvalidMark: routes of an app get paths that are decoded.
        """
        raise InvalidMark(
            f"The mark of {operation} sets encoded_slashes, which is for an API elsewhere. In an "
            "app, a parameter such as {path:path} takes slashes."
        )

    def warn_of_lost(self, operations: Iterable[tuple[str, str]]) -> None:
        """Tell the log of operations that no call can reach; see `Routing.without_route`."""
        lost = self._routing.without_route(operations)
        if lost:
            logger.warning(
                "Operations of the OpenAPI document that are no routes of the app: %d, e.g. %s. "
                "Every call of them is refused. Mount MCP on the app whose routes they are (an app "
                "mounted in another has its own), or leave them out with exclude=.",
                len(lost),
                " ".join(lost[0]),
            )

    def connected(self) -> AbstractAsyncContextManager[None]:
        """Keep nothing: the app is here."""
        return nullcontext()

    def _may_reach(self, scope: Scope) -> bool:
        """Whether a request, as middleware left it, reaches a tool's operation, or nothing."""
        found, template = self._routing.destination({**scope, BOUND_KEY: None})
        if template is None:
            return not found
        return self._index().may_lead_to(scope["method"], template)

    def follow(
        self, request: OperationRequest, status: int, location: str
    ) -> OperationRequest | None:
        """Return the request that a redirect inside the app asks for (RFC 9110 §15.4).

        It may lead to the same path, with or without a slash behind it, or to an operation that is
        a tool: what is left out of the tools is not reached by a detour either.
        """
        ctx = request_context.get()
        outer = ctx.scope if ctx is not None else NOWHERE
        host = next((value for name, value in outer["headers"] if name == b"host"), b"")
        try:
            target = urlsplit(urljoin(request.path, location))
        except ValueError:
            # For example an address whose bracket never closes.
            return None
        if target.netloc:
            is_elsewhere = target.netloc.encode("latin-1", "replace") != host
        else:
            # Browsers take "///host", "http:/host" and "/\\host" for the name of a host.
            is_elsewhere = bool(target.scheme) or location.startswith("//") or "\\" in location
        if is_elsewhere or target.scheme not in {"", "http", "https"}:
            return None
        path = target.path or "/"
        if not (path.startswith("/") and path.isascii()) or len(path) > _LONGEST_PATH:
            return None
        inside = route_path({**outer, "path": path})
        following = redirect_request(request, status, inside, target.query)
        template = request.template if following.method == request.method else None
        return following if self._is_offered(outer, following, template) else None

    def _is_offered(self, outer: Scope, request: OperationRequest, own: str | None) -> bool:
        """Whether a request leads to a tool's operation, or to the operation `own` once more.

        Where no route has the path, it is the app's to add or take a slash.
        """
        path = request.path
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        for each in (path, other or "/"):
            scope = inner_scope(outer, replace(request, path=each), "")
            found, template = self._routing.destination(scope)
            if found:
                offered = template and self._index().may_lead_to(request.method, template)
                return template is not None and (template == own or bool(offered))
        return False
