"""An API elsewhere, as an ASGI application: what comes in goes on over HTTP, part by part.

* One pool of connections for all callers, and nothing else in common: no cookies are kept.
* A request is sent again only where that changes nothing (RFC 9110 §9.2.2) and no answer has begun.
* What goes wrong on the way is answered as gateways do, with 502 or 504 (RFC 9110 §15.6).
"""

import logging
import math
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
import httpx2
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from mcp_mount.backends.redaction import without_own
from mcp_mount.backends.token import NoToken
from mcp_mount.backends.upstream import Upstream, encode_headers
from mcp_mount.loops import PerLoop
from mcp_mount.openapi.fetching import check_proxies
from mcp_mount.openapi.servers import Base
from mcp_mount.outgoing.excess import close_on_excess
from mcp_mount.outgoing.heads import BoundedClient, NoCookies
from mcp_mount.outgoing.log import describe, hide_url_async
from mcp_mount.outgoing.tls import usual_tls
from mcp_mount.version import __version__

logger = logging.getLogger("mcp_mount")

_REPEATABLE: Final = frozenset({"GET", "PUT", "DELETE", "QUERY"})
_FIRST_PAUSE: Final = 0.1
"""Seconds before the first repetition; each further one waits four times as long."""

_HEALTH_TIMEOUT: Final = 2.0
_FRESH: Final = 1.0
"""Seconds for which it holds that the API answers, or does not."""

_SILENT: Final = "Server disconnected"
"""How the HTTP library's message begins when a connection ended without an answer."""


@dataclass(slots=True)
class _Shared:
    """What the calls of one event loop have in common."""

    client: httpx2.AsyncClient | None = None
    users: int = 0
    asking: anyio.Lock = field(default_factory=anyio.Lock)
    asked: float = -math.inf
    answers: bool = False


class Forwarder:
    """An ASGI application that answers with the API's response."""

    def __init__(self, upstream: Upstream, base: Base) -> None:
        check_proxies()
        self._upstream = upstream
        self.base = base
        self._own = encode_headers(upstream.headers)
        self._tls = upstream.tls or usual_tls()
        self._shared = PerLoop(_Shared)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Keep the connections of this event loop, which go when nobody does so any more.

        A lifespan does it for all calls meanwhile; without one, each call does it for itself.
        """
        shared = self._shared.get()
        client = shared.client if shared.client is not None else self._new_client()
        shared.client, shared.users = client, shared.users + 1
        try:
            yield client
        finally:
            shared.users -= 1
            if not shared.users:
                shared.client = None
                with anyio.CancelScope(shield=True):
                    await client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request, and its response while it arrives, until the client goes."""
        message = await receive()
        request = self._request(scope, message.get("body", b""))
        async with anyio.create_task_group() as tasks:

            async def cancel() -> None:
                await receive()
                tasks.cancel_scope.cancel()

            tasks.start_soon(cancel)
            async with self.connected() as client:
                await self._forward(client, request, scope, receive, send)
            tasks.cancel_scope.cancel()

    async def answers(self) -> bool:
        """Whether the API answers at all, whatever it says.

        What it was a moment ago stands for now, so that those who ask do not burden it.
        """
        shared = self._shared.get()
        async with shared.asking:
            if shared.asked + _FRESH < anyio.current_time():
                shared.answers = await self._answers()
                shared.asked = anyio.current_time()
            return shared.answers

    async def _answers(self) -> bool:
        request = httpx2.Request("GET", self._url(self.base.prefix or "/"), headers=self._own)
        with anyio.move_on_after(_HEALTH_TIMEOUT):
            async with self.connected() as client:
                try:
                    response = await client.send(request, stream=True)
                except (httpx2.HTTPError, httpx2.InvalidURL):
                    return False
                await response.aclose()
                return True
        return False

    def _request(self, scope: Scope, body: bytes) -> httpx2.Request:
        own = {name for name, _ in self._own}
        headers = [pair for pair in scope["headers"] if pair[0] not in own]
        queries = (self.base.query, scope["query_string"].decode("ascii"))
        url = self._url(scope["raw_path"].decode("ascii"), "&".join(filter(None, queries)))
        headers += self._own
        if not any(name == b"user-agent" for name, _ in headers):
            headers.insert(0, _USER_AGENT)
        return httpx2.Request(scope["method"], url, headers=headers, content=body or None)

    def _url(self, path: str, query: str = "") -> httpx2.URL:
        scheme, host, port = self.base.origin
        target = f"{path}?{query}" if query else path
        return httpx2.URL(scheme=scheme, host=host, port=port, raw_path=target.encode("ascii"))

    def _new_client(self) -> httpx2.AsyncClient:
        upstream = self._upstream
        return BoundedClient(
            auth=upstream.auth,
            event_hooks={"request": [hide_url_async], "response": [close_on_excess]},
            verify=self._tls,
            # A cookie that one caller is given is not another's.
            cookies=NoCookies(),
            timeout=httpx2.Timeout(upstream.read_timeout, connect=upstream.connect_timeout),
            # `Limits.max_concurrency` says how many calls there can be.
            limits=httpx2.Limits(
                max_connections=None,
                max_keepalive_connections=100,
                # Sooner than servers do, most of which wait five seconds: a POST that meets a
                # connection which is being closed cannot be sent again.
                keepalive_expiry=3.0,
            ),
        )

    async def _forward(
        self,
        client: httpx2.AsyncClient,
        request: httpx2.Request,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        try:
            response = await self._send_with_retries(client, request)
        except httpx2.RequestError as error:
            logger.warning("%s %s: %s", request.method, self.base, describe(error))
            await self._refusal(error)(scope, receive, send)
            return
        try:
            start = {"status": response.status_code, "headers": self._shown_headers(response)}
            await send({"type": "http.response.start", **start})
            async for chunk in response.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except httpx2.RequestError as error:
            # Without its last message the response is seen to be broken off.
            said = describe(error)
            logger.warning("%s %s was broken off: %s", request.method, self.base, said)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    def _shown_headers(self, response: httpx2.Response) -> list[tuple[bytes, bytes]]:
        own = {name for name, _ in self._own}
        if self._upstream.auth is not None:
            own.add(b"authorization")
        sent = [pair for pair in response.request.headers.raw if pair[0].lower() in own]
        return without_own(response.headers.raw, self.base.query, sent)

    async def _send_with_retries(
        self, client: httpx2.AsyncClient, request: httpx2.Request
    ) -> httpx2.Response:
        pause = _FIRST_PAUSE
        retries = self._upstream.retries if request.method in _REPEATABLE else 0
        for _ in range(retries):
            try:
                return await client.send(request, stream=True)
            except httpx2.RequestError as error:
                if not _is_silence(error):
                    raise
            await anyio.sleep(pause)
            pause *= 4
        return await client.send(request, stream=True)

    def _refusal(self, error: httpx2.RequestError) -> Response:
        upstream = self._upstream
        if isinstance(error, httpx2.ConnectTimeout):
            what = f"accepted no connection within {upstream.connect_timeout:g} seconds"
        elif isinstance(error, httpx2.TimeoutException):
            what = f"gave no answer within {upstream.read_timeout:g} seconds"
        elif isinstance(error, NoToken):
            what = "cannot be called: the proxy was given no access token for it"
        elif isinstance(error, httpx2.ConnectError):
            what = f"cannot be reached{_tls_note(error)}"
        elif isinstance(error, httpx2.ProxyError):
            what = "cannot be reached through the proxy that the environment names"
        elif _is_silence(error):
            what = "closed the connection without an answer"
        else:
            what = "answered with what is no HTTP"
        status = 504 if isinstance(error, httpx2.TimeoutException) else 502
        return PlainTextResponse(f"The API {what}.", status)


_USER_AGENT: Final = (b"user-agent", f"mcp-mount/{__version__}".encode())


def _is_silence(error: httpx2.RequestError) -> bool:
    """Whether nothing at all came back."""
    kinds = httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ReadError | httpx2.WriteError
    return isinstance(error, kinds) or str(error).startswith(_SILENT)


def _tls_note(error: BaseException) -> str:
    """Say that it is the certificate; the rest of what TLS has to say is in the log."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return " securely: its certificate, or its TLS, is not accepted"
        cause = cause.__cause__ or cause.__context__
    return ""
