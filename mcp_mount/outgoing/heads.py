"""A transport and a client that parse no more of a head than an answer can need.

The HTTP library bounds the bytes of a head, and of trailers. But tens of thousands of empty fields
fit in there, and it parses them, and any number of informational responses, in one step. Cookies,
which Python reads, take it a second.
"""

import ssl
from email.message import Message
from functools import cache
from http.cookiejar import Cookie, CookieJar
from types import SimpleNamespace
from typing import Any, Final

import h11
import httpcore2
import httpx2

from mcp_mount.outgoing.tls import Network

_MAX_LINES: Final = 1_000
"""Lines of one answer's head, of its trailers, and of the informational responses before it.

It is ten times as many as most servers take of a request."""

_HEAD: Final = 20
"""So many lines an informational response costs, and any other head."""

_MAX_COOKIES: Final = 10
_LONGEST_COOKIE: Final = 4_096
"""Of the cookies that a client keeps; a load balancer tells by one which process has a session."""


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Sends requests over connections of its own, which speak HTTP/1.1."""

    def __init__(self, *, verify: ssl.SSLContext, limits: httpx2.Limits, retries: int = 0) -> None:
        """Take what `httpx2.AsyncHTTPTransport` does."""
        super().__init__(verify=verify, limits=limits, retries=retries)
        self._pool = _Pool(
            ssl_context=verify,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            retries=retries,
            network_backend=Network(),
        )


class _ProxyTransport(httpx2.AsyncHTTPTransport):
    """Sends requests through a proxy of the environment."""

    def __init__(
        self, proxy: httpx2.Proxy, *, verify: ssl.SSLContext, limits: httpx2.Limits
    ) -> None:
        super().__init__(verify=verify, limits=limits, proxy=proxy)
        if isinstance(self._pool, httpcore2.AsyncHTTPProxy):
            self._pool = _ProxyPool(
                str(proxy.url),
                proxy_auth=proxy.raw_auth,
                proxy_headers=proxy.headers.raw,
                proxy_ssl_context=proxy.ssl_context,
                ssl_context=verify,
                max_connections=limits.max_connections,
                max_keepalive_connections=limits.max_keepalive_connections,
                keepalive_expiry=limits.keepalive_expiry,
                network_backend=Network(),
            )


class FewCookies(CookieJar):
    """Keeps few cookies, and short ones, and reads no ``Set-Cookie2``.

    That is of nobody any more (RFC 6265 §9.3), and takes a time that grows with its square.
    """

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep what a response sets."""
        few = Message()
        for each in response.info().get_all("set-cookie", [])[:_MAX_COOKIES]:
            if len(each) <= _LONGEST_COOKIE:
                few["set-cookie"] = each
        bounded: Any = SimpleNamespace(info=lambda: few)
        super().extract_cookies(bounded, request)

    def set_cookie(self, cookie: Cookie) -> None:
        """Keep a cookie, where there are not too many others."""
        super().set_cookie(cookie)
        if len(self) > _MAX_COOKIES:
            self.clear(cookie.domain, cookie.path, cookie.name)


class NoCookies(CookieJar):
    """Keeps none, and reads none."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Keep nothing of what a response sets."""


class BoundedClient(httpx2.AsyncClient):
    """Sends requests with them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take what `httpx2.AsyncClient` does, but for `transport`."""
        super().__init__(*arguments, **{"cookies": FewCookies(), **options})

    def _init_proxy_transport(
        self, proxy: httpx2.Proxy, *_: Any, **options: Any
    ) -> httpx2.AsyncBaseTransport:
        return _ProxyTransport(proxy, verify=options["verify"], limits=options["limits"])

    def _init_transport(self, *_: Any, **options: Any) -> httpx2.AsyncBaseTransport:
        return BoundedTransport(verify=options["verify"], limits=options["limits"])


class _Pool(httpcore2.AsyncConnectionPool):
    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        return _Connection(
            origin=origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=self._keepalive_expiry,
            retries=self._retries,
            network_backend=self._network_backend,
        )


class _ProxyPool(httpcore2.AsyncHTTPProxy):
    def create_connection(self, origin: httpcore2.Origin) -> httpcore2.AsyncConnectionInterface:
        connection = super().create_connection(origin)
        if origin.scheme == b"https":
            # What is behind the tunnel is made when that is open.
            kind: Any = type(connection)
            connection.__class__ = _bounding(kind)
        else:
            vars(connection)["_connection"] = _Connection(
                origin=self._proxy_url.origin,
                ssl_context=self._proxy_ssl_context,
                keepalive_expiry=self._keepalive_expiry,
                network_backend=self._network_backend,
            )
        return connection


class _Bounding:
    """Has whatever speaks HTTP/1.1 behind it parse with bounds."""

    @property
    def _connection(self) -> Any:
        return vars(self)["_connection"]

    @_connection.setter
    def _connection(self, connection: Any) -> None:
        if isinstance(connection, httpcore2.AsyncHTTP11Connection):
            vars(connection)["_h11_state"] = _Parser(connection.MAX_INCOMPLETE_EVENT_SIZE)
        vars(self)["_connection"] = connection


class _Connection(_Bounding, httpcore2.AsyncHTTPConnection):
    pass


@cache
def _bounding(kind: Any) -> Any:
    """Return a kind of connection that does so."""
    return type("_Bounded", (_Bounding, kind), {})


class _Parser(h11.Connection):
    """Parses what comes on a connection, and refuses an answer with too many lines in its heads."""

    def __init__(self, max_size: int) -> None:
        super().__init__(h11.CLIENT, max_incomplete_event_size=max_size)
        self._lines = 0
        self._extract_lines = self._receive_buffer.maybe_extract_lines
        # It is asked for the lines of each head, and of trailers.
        self._receive_buffer.maybe_extract_lines = self._count_lines  # type: ignore[method-assign]

    def start_next_cycle(self) -> None:
        super().start_next_cycle()
        self._lines = 0

    def _count_lines(self) -> list[bytearray] | None:
        lines = self._extract_lines()
        self._lines += len(lines) + _HEAD if lines is not None else 0
        if self._lines > _MAX_LINES:
            raise h11.RemoteProtocolError(f"more than {_MAX_LINES} header fields")
        return lines
