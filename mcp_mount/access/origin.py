"""Which web pages may call: the ``Origin`` header, checked against DNS rebinding. Pure.

A request without an ``Origin`` comes from no page and is let through. The ``Host`` header alone
proves nothing: a page that rebinds its own name to a loopback address sends that name as both. It
cannot do so with an IP address, which is no name.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from mcp_mount.errors import MountError

_PORTS = {"http": 80, "https": 443}
_LONGEST: Final = 2_000
"""Characters of an origin or host that is looked at: `urlsplit` remembers what it was asked."""

_Origin = tuple[str, str, int | None]


class Origins:
    """The origins that are allowed: a list, the public URL's, and loopback with loopback.

    Where no public URL is known, also the endpoint's own, if it cannot have been rebound.
    """

    def __init__(self, allowed: Iterable[str] = (), *, public_url: str | None = None) -> None:
        """Take origins such as ``"https://app.example"``, or ``"*"`` for every one.

        Raises:
            MountError: an entry, or the public URL, is no URL with a scheme and a host.
        """
        entries = [*allowed, *([public_url] if public_url else [])]
        self._every = "*" in entries
        self._is_public_known = public_url is not None
        self._allowed = {_checked(entry) for entry in entries if entry != "*"}

    def allow(self, origin: str | None, host: str | None) -> bool:
        """Whether a request with these headers may be served (MCP "Transports", "Security").

        Args:
            origin: The ``Origin`` header, e.g. ``"https://app.example"``; None where there is none.
            host: The ``Host`` header, e.g. ``"localhost:8000"``.
        """
        if origin is None or self._every:
            return True
        asked = _read(origin)
        if asked is None:
            return False
        called = _read(f"http://{host}") if host else None
        # In other schemes, such as those of extensions, the host is no host of a network.
        is_web = asked[0] in _PORTS
        is_here = is_web and called is not None and is_loopback(asked[1]) and is_loopback(called[1])
        if asked in self._allowed or is_here:
            return True
        return not self._is_public_known and _is_own(asked, host)


def _read(text: str) -> _Origin | None:
    """Return scheme, host and port of an origin or URL; None where it has no host."""
    if len(text) > _LONGEST:
        return None
    try:
        parts = urlsplit(text.strip().lower())
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.scheme and parts.hostname else None


def _checked(text: str) -> _Origin:
    origin = _read(text)
    if origin is None:
        raise MountError(
            f"{text!r} is no origin: write it like 'https://app.example', or '*' for every one."
        )
    return origin


def _is_own(origin: _Origin, host: str | None) -> bool:
    """Whether an origin is the endpoint's, and no name that was rebound to it."""
    scheme, hostname, _ = origin
    is_unbound = scheme in _PORTS and _address(hostname) is not None
    return is_unbound and host is not None and _read(f"{scheme}://{host}") == origin


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine's own, e.g. ``"127.0.0.1"``."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
