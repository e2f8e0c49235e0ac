"""Where an API is, by its URL and by what its document says (``servers``, OpenAPI §4.8.5). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from mcp_mount.errors import InvalidDocument, MountError
from mcp_mount.operations import Operation, first_server

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Base:
    """Where an API is: its origin, and what stands before the paths of its document.

    E.g. ``Base(("http", "localhost", 9000), prefix="/api/v3")``. `query` goes with every request.
    """

    origin: tuple[str, str, int]
    prefix: str = ""
    query: str = ""

    def __str__(self) -> str:
        """Show where it is, as a URL; the query, which may hold a key, stays out."""
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
        message = f"The upstream cannot be {url!r}: write it like 'http://localhost:9000'."
        raise MountError(message)
    parts = urlsplit(url)
    if "@" in parts.netloc:
        message = "The upstream's URL holds a user name. Send the 'Authorization' header instead."
        raise MountError(message)
    return Base(origin, parts.path.rstrip("/"), parts.query)


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an absolute HTTP URL (RFC 6454 §4); None for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and port else None


def upstream_of(document: Mapping[str, Any], source: str) -> str:
    """Return where the API is of a document that was fetched from `source`, on the same host.

    Raises:
        InvalidDocument: the document points to another host.
    """
    server = first_server(document)
    upstream = urljoin(source, server or "/")
    if origin_of(upstream) != origin_of(source):
        message = (
            f"The document says that the API is at {server!r}, and was fetched from another host. "
            "Name the upstream yourself if that is meant."
        )
        raise InvalidDocument(message)
    return upstream


class Bases:
    """Where the operations of one document are. A class because it keeps what most have in common."""

    def __init__(self, document: Mapping[str, Any], base: Base) -> None:
        """Take the document and the upstream; a path of the upstream's own replaces ``servers``."""
        self.base = base
        self._common = urlsplit(first_server(document)).path.rstrip("/")

    def check(self, operations: Sequence[Operation]) -> None:
        """Refuse operations that are on another host.

        Raises:
            InvalidDocument: there is one.
        """
        for each in operations:
            if origin_of(each.server) not in {None, self.base.origin}:
                message = (
                    f"{each} is on another host than the upstream: {each.server!r}. Leave it out "
                    f"with exclude=[{str(each)!r}]."
                )
                raise InvalidDocument(message)

    def prefix(self, operation: Operation | None) -> str:
        """Return what stands before the path of an operation, e.g. ``"/api/v3"``."""
        own = operation.server if operation is not None else ""
        return self.base.prefix or (urlsplit(own).path.rstrip("/") if own else self._common)
