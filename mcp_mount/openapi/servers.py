"""Where an API is: by its URL, and by its document's ``servers`` (OpenAPI 3.1 §4.8.5)."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpx2

from mcp_mount.errors import InvalidDocument, MountError
from mcp_mount.openapi.document import without_secrets
from mcp_mount.openapi.nodes import within
from mcp_mount.openapi.operations import Operation, server_urls

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[^\s{}<>\\^`|%\"]+")
# RFC 3986 §3.3 and §3.4; percent-encoded characters stay as they are.
_SAFE_IN_PATH = "/:@!$&'()*+,;=~%"
_SAFE_IN_QUERY = f"{_SAFE_IN_PATH}?"


@dataclass(frozen=True, slots=True)
class Base:
    """The origin of an API, and the prefix of its document's paths.

    E.g. ``Base(("http", "localhost", 9000), prefix="/api/v3")``. `query` goes with every request.
    """

    origin: tuple[str, str, int]
    prefix: str = ""
    query: str = ""

    def __str__(self) -> str:
        """Return the URL without its query, which may hold a key."""
        scheme, host, port = self.origin
        host = f"[{host}]" if ":" in host else host
        return f"{scheme}://{host}:{port}{self.prefix}"


def read_base(url: str) -> Base:
    """Read the URL of an API, e.g. ``"http://localhost:9000"``.

    Raises:
        MountError: it is no absolute HTTP URL, or holds a password.
    """
    origin = origin_of(url)
    if origin is None:
        shown = without_secrets(url) if "@" in url else url
        message = f"The upstream cannot be {shown!r}: write it like 'http://localhost:9000'."
        raise MountError(message)
    parts = urlsplit(url)
    if "@" in parts.netloc:
        message = "The upstream's URL holds a user name. Send the 'Authorization' header instead."
        raise MountError(message)
    return Base(origin, _prefix_of(url), quote(parts.query, safe=_SAFE_IN_QUERY))


def read_base_path(base: Base, path: str | None) -> str | None:
    """Return the prefix that all operations are given, e.g. ``"/api"`` for ``"api/"``.

    Raises:
        MountError: it is no path, or the upstream's URL has another one.
    """
    if path is None:
        return None
    if not re.fullmatch(r"[^?#{}\\\s]*", path) or "//" in path or ".." in path:
        raise MountError(f"The base path cannot be {path!r}: write it like '/api', or '' for none.")
    prefix = _prefix_of(f"/{path.strip('/')}")
    if base.prefix not in {"", prefix}:
        raise MountError(
            f"The upstream's URL has the path {base.prefix!r}, and the base path is {path!r}: give "
            "one of the two."
        )
    return prefix


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an absolute HTTP URL (RFC 6454 §4), else None."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        # Refuses names that cannot be looked up (RFC 5891).
        httpx2.URL(scheme="http", host=host)
    except (ValueError, httpx2.InvalidURL):
        return None
    port = _PORTS.get(parts.scheme) if port is None else port
    is_http = parts.scheme in _PORTS and _HOST.fullmatch(host) is not None
    return (parts.scheme, host, port) if is_http and port else None


def _prefix_of(url: str) -> str:
    """Return the percent-encoded path of a server without a slash at its end: ``"/api/v3"``."""
    return quote(urlsplit(urljoin("http://localhost/", url)).path, safe=_SAFE_IN_PATH).rstrip("/")


def upstream_of(document: Mapping[str, Any], source: str) -> str:
    """Return the URL of the API whose document was fetched from `source`, on the same host.

    Raises:
        InvalidDocument: the document names other hosts only.
    """
    named = server_urls(document) or ["/"]
    for url in named:
        with suppress(ValueError):
            upstream = urljoin(source, url or "/")
            if origin_of(upstream) == origin_of(source):
                return upstream
    raise InvalidDocument(
        f"The document says that the API is at {', '.join(map(repr, named))}, and was fetched from "
        "another host. Name the upstream yourself if that is meant."
    )


class Bases:
    """The prefixes of a document's operations on one upstream."""

    def __init__(
        self, document: Mapping[str, Any], base: Base, base_path: str | None = None
    ) -> None:
        """Take the document and the upstream; a path in the upstream's URL replaces ``servers``.

        Args:
            document: The document.
            base: The upstream.
            base_path: The prefix of all operations, whatever the document says: ``"/api"``, or
                ``""`` for none. None: what the upstream's URL says, or else the document.

        Raises:
            InvalidDocument: the path of a server has a variable without a value.
            MountError: `base_path` and the upstream's URL contradict each other.
        """
        self._base_path = read_base_path(base, base_path)
        self._upstream = base
        servers = server_urls(document)
        here = [url for url in servers if self._origin(url) == base.origin]
        self._server = next(iter([*here, *servers]), "")
        is_replaced = (base.prefix or self._base_path is not None) and "{" in self._server
        self._common = "" if is_replaced else _check_prefix(self._server)
        self.base = replace(base, prefix=self.prefix(None))

    @property
    def is_documented(self) -> bool:
        """Whether the document alone says what precedes its paths."""
        return bool(self._common) and self._base_path is None and not self._upstream.prefix

    def serves(self, operation: Operation) -> bool:
        """Whether an operation is on the upstream's host, or the one that the upstream stands for.

        Its own server may say that it is elsewhere.
        """
        known = {self._upstream.origin, self._origin(self._server)}
        return not operation.server or self._origin(operation.server) in known

    def check(self, operations: Sequence[Operation]) -> None:
        """Refuse operations on hosts that are neither the upstream's nor the document's.

        Raises:
            InvalidDocument: there is one, or its path has a variable without a value.
        """
        if away := [each for each in operations if not self.serves(each)]:
            names = ", ".join(repr(str(each)) for each in away)
            raise InvalidDocument(
                f"{away[0]} is on another host than the upstream: {away[0].server!r}. Leave out "
                f"what is elsewhere with exclude=[{names}]."
            )
        for each in operations:
            if each.server and self._base_path is None:
                with within(str(each)):
                    _check_prefix(each.server)

    def prefix(self, operation: Operation | None) -> str:
        """Return what precedes the path of an operation, e.g. ``"/api/v3"``."""
        if self._base_path is not None:
            return self._base_path
        own = operation.server if operation is not None else ""
        if own and self._upstream.prefix in {"", self._common}:
            return _check_prefix(own)
        return self._upstream.prefix or self._common

    def _origin(self, url: str) -> tuple[str, str, int] | None:
        try:
            return origin_of(urljoin(str(self._upstream), url))
        except ValueError:
            return None


def _check_prefix(url: str) -> str:
    try:
        prefix = _prefix_of(url)
    except ValueError:
        prefix = "{"
    if "%7B" in prefix or "{" in prefix:
        raise InvalidDocument(f"The server {url!r} is no URL, or has a variable without a default.")
    return prefix
