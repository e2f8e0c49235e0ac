"""Serves the requests of an endpoint: reads each, checks its scopes, answers it or hands it on."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi.exception_handlers import http_exception_handler
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.authentication import UnauthenticatedUser
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount.access.auth import (
    ScopeCheck,
    Scopes,
    granted_scopes,
    is_not_valid_yet,
    metadata_url,
    scopes_to_request,
)
from mcp_mount.backends.request import APP_KEY, RequestContext, request_context
from mcp_mount.endpoints.amount import refuse_too_much
from mcp_mount.endpoints.form import reject_form
from mcp_mount.endpoints.guard import read_body, refuse, replay_body, too_large
from mcp_mount.endpoints.hosting import MountContext
from mcp_mount.endpoints.unwrap import unwrap
from mcp_mount.fastpath.messages import HotRequest, MessageReader
from mcp_mount.fastpath.outline import read_outline
from mcp_mount.fastpath.responder import FastPath
from mcp_mount.page.details import PageDetails
from mcp_mount.page.negotiation import wanted
from mcp_mount.tools.tracing import joined_trace, unsound_trace
from mcp_mount.turns import Turns

_NO_PAGE_OF_OURS: Final = (
    "What the page shows is told to a page at this server's own address: at localhost, at an IP "
    "address, at public_url= or at one of allowed_origins=."
)

_LARGE: Final = 4 * 1024
"""Bytes of a request from which on it may take milliseconds to read; a usual call has a tenth."""


class Dispatcher:
    """Pure ASGI middleware around FastMCP's app; with ``auth=``, inside it.

    In this order: who calls, then the body, then the scopes. A stranger's body is not read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        mount: MountContext,
        path: str,
        fast_path: FastPath | None = None,
        page: PageDetails | None = None,
    ) -> None:
        self._app = app
        self._mount = mount
        self._fast_path = fast_path
        self._page = page
        self._messages = MessageReader()
        # A session, or a stream, keeps what it was opened with.
        self._is_kept = mount.guard.sessions or fast_path is None
        auth, scopes_of = mount.server.auth, mount.guard.scopes_of
        self._auth = auth
        self._scopes: ScopeCheck | None = None
        if auth is not None or scopes_of is not None:
            url = metadata_url(auth, path) if auth is not None else None
            self._scopes = ScopeCheck(scopes_of=scopes_of, auth=auth, metadata_url=url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ctx = request_context.get()
        if is_not_valid_yet(scope.get("user")):
            scope = {**scope, "user": UnauthenticatedUser()}
        if self._auth is not None:
            # As FastMCP's own check does.
            given = {*getattr(scope.get("auth"), "scopes", ())}
            is_known = isinstance(scope.get("user"), AuthenticatedUser)
            if not (is_known and given.issuperset(self._auth.required_scopes)):
                # The provider answers with 401 or 403. Which scopes a tool needs is not told to
                # strangers.
                refused = {**scope, "method": "POST"} if self._asks_for_details(scope) else scope
                await self._app(refused, receive, send)
                return
            if ctx is not None:
                ctx.user = scope["user"]
        granted: Scopes | None = None
        if self._scopes is not None:
            request = ctx.request if ctx is not None else _request_of(scope)
            try:
                granted = await self._scopes.granted(request)
            except HTTPException as refused:
                await (await http_exception_handler(request, refused))(scope, receive, send)
                return
        token = granted_scopes.set(granted)
        try:
            await self._dispatch(scope, receive, send)
        finally:
            granted_scopes.reset(token)

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._read(scope, receive, send)
        if body is None:
            return
        # Only now: a body can come slowly, and there may be other routes meanwhile.
        await self._mount.provider.refresh()
        if scope["method"] != "POST":
            if self._page is not None and self._asks_for_details(scope):
                ctx = request_context.get()
                request = ctx.request if ctx is not None else _request_of(scope)
                host, origins = request.headers.get("host"), self._mount.guard.origins
                # A GET carries no `Origin`, and may come from a page of another name.
                if not any(origins.allow(f"{each}://{host}", host) for each in ("http", "https")):
                    await refuse(403, _NO_PAGE_OF_OURS)(scope, receive, send)
                else:
                    await (await self._page.respond(request))(scope, receive, send)
            else:
                # Hundreds may open a stream, or end a session, at once.
                await Turns().begin()
                await self._app(scope, replay_body(body, receive), send)
            return
        await self._dispatch_message(body, scope, receive, send)

    async def _dispatch_message(
        self, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        ctx, is_large = request_context.get(), len(body) > _LARGE
        turns = Turns(is_large=is_large)
        hot = self._messages.read(scope, body) if self._fast_path is not None else None
        meta: Mapping[str, Any]
        if hot is not None:
            tool, meta = hot.called_tool, hot.message.params.meta.trace
        else:
            outline = read_outline(body)
            tool, meta = outline.tool, outline.meta
        if meta and (unsound := unsound_trace(meta)) is not None:
            await refuse(400, f"{unsound!r} in _meta is no trace context.")(scope, receive, send)
            return
        inner = await unwrap(self._mount.search, tool, scope, body, hot)
        if inner is not None:
            tool, hot = inner.name, inner.hot(hot)
        if tool is not None and tool not in self._mount.provider.listed:
            own = await self._mount.own_schema(tool)
            # The app may describe it by now, but for one that users added: it goes before that.
            await self._mount.provider.refresh(anew=own is None)
        # Each of these steps may read all of a large message.
        await turns.take()
        refusal = await self._refuse_scopes(tool, granted_scopes.get(), body)
        if refusal is None and hot is None and self._fast_path is not None:
            refusal = reject_form(scope, body)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await turns.take()
        with joined_trace(meta, scope["headers"]):
            if await self._respond(hot, ctx, receive, send):
                return
            if inner is not None:
                body = inner.body(body)
                await turns.take()
                scope = inner.scope(scope, body)
            if ctx is not None:
                ctx.input_schema, ctx.called_tool = await self._mount.own_schema(tool), tool
            # Hundreds may come at once, and FastMCP takes a millisecond for each.
            await Turns(0, is_large=is_large).take()
            await self._app(scope, replay_body(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> bytes | None:
        """Return the body; None where it is too large, which has been said, or never came."""
        try:
            body = await read_body(self._mount.guard, scope, receive)
        except ClientDisconnect:
            return None
        if body is None:
            await too_large(self._mount.guard)(scope, receive, send)
            return None
        if len(body) > _LARGE:
            # Hundreds may come at once, and each is read several times.
            await Turns(is_large=True).begin()
        if (refusal := await refuse_too_much(scope, body, is_kept=self._is_kept)) is not None:
            await refusal(scope, receive, send)
            return None
        return body

    async def _respond(
        self, hot: HotRequest | None, ctx: RequestContext | None, receive: Receive, send: Send
    ) -> bool:
        """Answer a request the quick way; return False where that is FastMCP's to do."""
        if self._fast_path is None or hot is None or ctx is None:
            return False
        # A session's messages belong to it: what cancels one of them goes to FastMCP too.
        if self._mount.guard.sessions and not hot.is_modern:
            return False
        return await self._fast_path.respond(hot, ctx, receive, send)

    def _asks_for_details(self, scope: Scope) -> bool:
        """Whether the page asks. FastMCP knows no such request, and refuses it like a call."""
        return self._page is not None and wanted(scope) == "details"

    async def _refuse_scopes(
        self, tool: str | None, granted: Scopes | None, body: bytes
    ) -> Response | None:
        """Return a 403 if a call lacks scopes, before anything runs (MCP "Authorization")."""
        if self._scopes is None or granted is None:
            return None
        if tool is None:
            uri = read_outline(body).address
            alternatives = self._mount.scopes_of_resource(uri) if uri is not None else ()
            lacking = scopes_to_request(alternatives, granted)
            return self._scopes.refuse(lacking) if lacking else None
        needed = scopes_to_request(await self._mount.scopes_of_call(tool), granted)
        if not needed or await self._mount.own_schema(tool) is not None:
            # A tool that users add stands in the place of the operation.
            return None
        return self._scopes.refuse(needed)


def _request_of(scope: Scope) -> Request:
    """Return the request as the user's functions see it: of the user's app."""
    return Request({**scope, "app": scope.get(APP_KEY, scope.get("app"))})
