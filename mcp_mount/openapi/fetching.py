"""Fetches a document from its URL, with what the API itself asks for."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio
import httpx2
from anyio.from_thread import start_blocking_portal

from mcp_mount.errors import MountError
from mcp_mount.outgoing.heads import BoundedClient
from mcp_mount.outgoing.log import hide_url_async
from mcp_mount.outgoing.tls import usual_tls

MAX_BYTES: Final = 64 * 1024 * 1024
"""Four times the largest document known."""

_TIMEOUT: Final = httpx2.Timeout(10.0)
DEADLINE: float = 30.0
"""Seconds for all of it: what comes byte by byte keeps each of those timeouts."""

_UNPACKED: Final = frozenset({"identity", "gzip"})
_MAX_REDIRECTS: Final = 5
_LAST_PORT: Final = 65_535
_ASKS_WHO: Final = frozenset({401, 403})


class Refused(httpx2.RequestError):
    """The document is not for everyone; the message says what to do about it."""

    def __init__(self, status: int, access: "Access") -> None:
        advice = "The headers or the token of the upstream are not accepted there"
        if access.is_open:
            advice = (
                "Give the API's own key or token to the upstream (--upstream-header 'X-Api-Key: …'"
                "); it goes along where the document is on the upstream's own origin"
            )
        super().__init__(f"it is answered with HTTP {status}. {advice}")


@dataclass(frozen=True, slots=True)
class Access:
    """What a document is fetched with, where it is not open to everyone.

    With any of it, redirects are followed within the document's own origin only.
    """

    headers: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)
    auth: httpx2.Auth | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is nothing that another host must not get."""
        return not (self.headers or self.auth or self.tls)


def check_proxies() -> None:
    """Refuse proxies of the environment through which nothing can be sent.

    Raises:
        MountError: there is one.
    """
    reason = ""
    try:
        httpx2.Client(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).close()
    except ImportError:
        reason = "one speaks SOCKS, which needs the package 'socksio'"
    except (httpx2.InvalidURL, ValueError):
        # It may hold a password.
        reason = "one is no URL such as 'http://proxy.example:3128'"
    if reason:
        names = "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"
        message = f"The proxies of the environment cannot be used: {reason}. Set or unset {names}."
        raise MountError(message)


def fetch(url: str, access: Access) -> bytes:
    """Return what is at a URL, fetched in an event loop of its own: there may be one here.

    Raises:
        MountError: the environment's proxies cannot be used.
        httpx2.HTTPError: it cannot be fetched, or leads elsewhere; the message says which.
        httpx2.InvalidURL: it is no URL.
        UnicodeError: its host can be none.
    """
    check_proxies()
    parsed = httpx2.URL(url)
    # What no socket can be opened for, each library that is in between tells in its own way.
    parsed.host.encode("idna")
    if (parsed.port or 0) > _LAST_PORT:
        raise httpx2.InvalidURL(f"There is no port {parsed.port}.")
    with start_blocking_portal() as portal:
        return portal.call(_download_in_time, parsed, access)


async def _download_in_time(url: httpx2.URL, access: Access) -> bytes:
    try:
        with anyio.fail_after(DEADLINE):
            return await _download(url, access)
    except TimeoutError:
        message = f"it has not come to its end within {DEADLINE:g} seconds"
        raise httpx2.ReadTimeout(message) from None


async def _download(url: httpx2.URL, access: Access) -> bytes:
    async def check_host(request: httpx2.Request) -> None:
        # Whoever named the first host did not name another.
        if request.url.host != url.host:
            raise httpx2.RequestError(f"it leads to another host, {request.url.host!r}")
        if not access.is_open and _origin(request.url) != _origin(url):
            raise httpx2.RequestError("it leads to another origin, which gets no credentials")

    data = bytearray()
    async with (
        BoundedClient(
            auth=access.auth,
            headers=[*access.headers, (b"accept-encoding", b"gzip")],
            verify=access.tls or usual_tls(),
            timeout=_TIMEOUT,
            follow_redirects=True,
            max_redirects=_MAX_REDIRECTS,
            event_hooks={"request": [check_host, hide_url_async]},
        ) as client,
        client.stream("GET", url) as response,
    ):
        if response.status_code in _ASKS_WHO:
            raise Refused(response.status_code, access)
        if not response.is_success:
            raise httpx2.RequestError(f"it is answered with HTTP {response.status_code}")
        if response.headers.get("content-encoding", "identity").lower() not in _UNPACKED:
            # Packed twice, a few hundred bytes become gigabytes before they are counted.
            raise httpx2.RequestError("it is compressed in a way that was not asked for")
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > MAX_BYTES:
                raise httpx2.RequestError(f"it is larger than {MAX_BYTES} bytes")
    return bytes(data)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return (url.scheme, url.host, url.port)
