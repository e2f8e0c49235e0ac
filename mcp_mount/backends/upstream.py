"""Where an API is that is not in this process, and how to call it."""

import re
import ssl
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx2

from mcp_mount.errors import MountError
from mcp_mount.headers import OF_THE_CONNECTION
from mcp_mount.validation import (
    Rule,
    check_fields,
    instance_of,
    is_map_of_texts,
    is_positive,
    is_positive_integer,
    list_of,
)

OF_THE_MESSAGE: Final = OF_THE_CONNECTION | {
    *("accept", "accept-encoding", "content-encoding", "content-length", "content-type"),
    *("expect", "proxy-authorization"),
}
"""Headers that speak of one message or one connection (RFC 9110 §6 to §8), in lower case."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """An API elsewhere, and how to call it.

    Attributes:
        url: Where it is, e.g. ``"http://localhost:9000"``; empty: where a document's own URL and
            its ``servers`` say, on the same host. A path of its own, as in
            ``"http://localhost:9000/api"``, replaces that of the document's ``servers``; a query
            goes with every request.
        headers: Sent with every request, whatever a caller sends.
        forward_headers: Names of the headers of callers that go upstream; no others do.
        auth: How the proxy authenticates itself, e.g. `ClientCredentials`.
        tls: The context for ``https``; by default the system's authorities are trusted.
        connect_timeout: Seconds to wait for a connection.
        read_timeout: Seconds without a byte after which a response is given up. `Limits.timeout`
            bounds the whole.
        retries: How often a GET, PUT or DELETE is sent again when nothing came back.
        slashes: Operations whose path values may hold slashes, e.g. ``"GET /files/{path}"``; globs
            are allowed.
        encoded_slashes: The same for slashes that are sent as ``%2F``, where the API takes
            ``"group%2Fproject"`` for one value, e.g. ``"* /projects/{id}*"``.
        base_path: What stands before the document's paths, e.g. ``"/api"``, or ``""`` for nothing,
            whatever the document's ``servers`` say; for an API behind a proxy that takes a prefix
            away. None: as `url` and the document say.
        strict: Whether an operation that the document puts on another host stops the start.
            Otherwise it is left out, with a line in the log.
    """

    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    forward_headers: tuple[str, ...] = ()
    auth: httpx2.Auth | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    retries: int = 2
    slashes: tuple[str, ...] = ()
    encoded_slashes: tuple[str, ...] = ()
    base_path: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse what no call could be made with.

        Raises:
            MountError: a field is of another kind, or a number is out of its range.
        """
        check_fields(self, _FIELDS)


_SECONDS: Final = Rule(is_positive, "a positive number of seconds")
_FIELDS: Final = {
    "url": Rule(instance_of(str), "a URL such as 'http://localhost:9000'"),
    "headers": Rule(is_map_of_texts, "a mapping of strings", is_secret=True),
    "forward_headers": Rule(list_of(str), "a list such as ['Authorization']"),
    "auth": Rule(
        instance_of(httpx2.Auth | None),
        "an httpx2.Auth such as ClientCredentials(…)",
        is_secret=True,
    ),
    "tls": Rule(instance_of(ssl.SSLContext | None), "an ssl.SSLContext or None"),
    "connect_timeout": _SECONDS,
    "read_timeout": _SECONDS,
    "retries": Rule(lambda value: value == 0 or is_positive_integer(value), "0 or more"),
    "slashes": Rule(list_of(str), "a list such as ['GET /files/{path}']"),
    "encoded_slashes": Rule(list_of(str), "a list such as ['GET /projects/{id}']"),
    "strict": Rule(instance_of(bool), "True or False"),
    "base_path": Rule(instance_of(str | None), "a path such as '/api', '' or None"),
}


Header = tuple[bytes, bytes]

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")


def encode_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Write the proxy's own headers.

    Raises:
        MountError: one is no header (RFC 9110 §5.5), or is the message's own.
    """
    lines = []
    for name, value in headers.items():
        if name.lower() in OF_THE_MESSAGE:
            message = f"The upstream header {name!r} cannot be set: it is each message's own."
            raise MountError(message)
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            message = f"The upstream header {name!r} cannot be sent: write it in one line of ASCII."
            raise MountError(message)
        lines.append((name.lower().encode(), value.encode()))
    return lines


def forwarded_names(upstream: Upstream) -> frozenset[bytes]:
    """Return the names of the callers' headers that go along, in lower case.

    Raises:
        MountError: one of them is not a caller's to send.
    """
    names = {name.strip().lower() for name in upstream.forward_headers}
    for name in names:
        is_own = name in OF_THE_MESSAGE or name == "host" or name.startswith("mcp-")
        if is_own or not _NAME.fullmatch(name):
            raise MountError(f"The header {name!r} cannot be forwarded: it belongs to the message.")
    return frozenset(name.encode() for name in names)


def merge_headers(callers: Collection[Header], own: Iterable[Header]) -> list[Header]:
    """Return the headers of one request: the caller's that go along, and the request's own.

    A header is sent once. Those of the request count, but for cookies: the one line that there may
    be (RFC 6265 §5.4) has the caller's, and what the request adds to them.
    """
    cookies = [value for name, value in callers if name == b"cookie"]
    taken = {pair.partition(b"=")[0].strip() for line in cookies for pair in line.split(b";")}
    headers = []
    for name, value in own:
        if name != b"cookie" or not cookies:
            headers.append((name, value))
        else:
            added = (pair.strip() for pair in value.split(b";"))
            cookies += [pair for pair in added if pair.partition(b"=")[0] not in taken]
    if cookies:
        headers.append((b"cookie", b"; ".join(cookies)))
    names = {name for name, _ in headers}
    return [*(pair for pair in callers if pair[0] not in names), *headers]
