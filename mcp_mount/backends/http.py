"""Calls an API elsewhere: what of a caller's goes along, and where a redirect may lead.

`Forwarder` is an ASGI application that answers with the API's response, so that `AppCall` makes
these calls too, with their deadline and their end.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from starlette.types import Scope

from mcp_mount.access.credentials import headers_to_withhold
from mcp_mount.backends.app_call import AppCall
from mcp_mount.backends.backend import ToolIndex
from mcp_mount.backends.forwarding import Forwarder
from mcp_mount.backends.request import (
    TOOL_KEY,
    OperationRequest,
    Sink,
    redirect_request,
    request_context,
)
from mcp_mount.backends.upstream import Upstream, forwarded_names, merge_headers
from mcp_mount.errors import InvalidArguments, MountError
from mcp_mount.openapi.operations import Operation, read_operations
from mcp_mount.openapi.paths import Paths
from mcp_mount.openapi.servers import Bases, origin_of, read_base

logger = logging.getLogger("mcp_mount")

_LONGEST: Final = 65_000
"""Characters of a URL; the HTTP library sends no more, and few servers take as many."""


class HTTPBackend:
    """Calls the operations of one document over HTTP."""

    def __init__(
        self, document: Mapping[str, Any], upstream: Upstream, index: Callable[[], ToolIndex]
    ) -> None:
        """Take the document, where its API is, and which of its operations are tools.

        Raises:
            MountError: the upstream cannot be used as it is described.
        """
        self._operations = operations = read_operations(document)
        self._bases = Bases(document, read_base(upstream.url), upstream.base_path)
        self.forwarder = Forwarder(upstream, self._bases.base)
        self._slashes = _find_named(operations, upstream.slashes, "slashes")
        self._encoded = _find_named(operations, upstream.encoded_slashes, "encoded_slashes")
        self._check_slashes()
        self._paths = Paths(())
        self._index = index
        self._forwarded = forwarded_names(upstream)

    def encode_slashes(self, operation: Operation) -> None:
        """Allow slashes in an operation's path values: see `Backend.encode_slashes`.

        Raises:
            MountError: they are allowed unencoded as well.
        """
        self._encoded |= {str(operation)}
        self._check_slashes()

    def _check_slashes(self) -> None:
        if both := self._slashes & self._encoded:
            message = f"slashes= and encoded_slashes= both name {min(both)!r}: take it from one."
            raise MountError(message)

    def check(self, operations: Iterable[Operation]) -> None:
        """Refuse operations that are on another host than the upstream; log where the others are.

        It is called when all that is said of operations is known.

        Raises:
            InvalidDocument: there is one.
        """
        self._bases.check([*operations])
        self._paths = Paths(self._operations, self._slashes | self._encoded)
        if self._bases.is_documented:
            logger.info(
                "The API is at %s: the path is that of the document's servers. base_path='' "
                "(--base-path '') leaves it out.",
                self._bases.base,
            )

    def prepare(self, request: OperationRequest, sink: Sink, *, tool: str) -> AppCall:
        """Return the call that sends `request` to the API.

        See `Backend.prepare`.
        """
        operation = self._paths.operation(request.method, request.template or "")
        path = self._path(operation, request) if operation is not None else request.path
        ctx = request_context.get()
        outer = ctx.scope["headers"] if ctx is not None else ()
        kept = headers_to_withhold(ctx.user) if ctx is not None else frozenset()
        sent = [pair for pair in outer if pair[0] in self._forwarded - kept]
        raw_path = f"{self._bases.prefix(operation)}{path}"
        if not _is_short(raw_path, self._bases.base.query, request.query):
            message = f"The call makes a URL of more than {_LONGEST:,} characters: send less."
            raise InvalidArguments(message)
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": self._bases.base.origin[0],
            "method": request.method,
            "path": unquote(path),
            "raw_path": raw_path.encode("ascii"),
            "query_string": request.query.encode("ascii"),
            "headers": merge_headers(sent, request.headers),
            TOOL_KEY: tool,
        }
        return AppCall(self.forwarder, scope, request.body, sink)

    def connected(self) -> AbstractAsyncContextManager[object]:
        """Keep connections to the API."""
        return self.forwarder.connected()

    def _path(self, operation: Operation, request: OperationRequest) -> str:
        """Return the path, when it leads nowhere else."""
        path, values = request.path, request.path_values
        given = ", ".join(f"{name}={value!r}" for name, value in values.items())
        if self._paths.may_hold_slashes(operation):
            if str(operation) not in self._encoded:
                path = path.replace("%2F", "/")
            elif not _is_inside(unquote(path)):
                # Where slashes are encoded, something on the way may decode twice.
                message = f"No such path: {given} leads to another operation, or to none."
                raise InvalidArguments(message)
        elif any(set(value) & {"/", "\\"} for value in values.values()):
            # Encoded or not, a server may take it for the end of a segment.
            message = f"No such path: {given} holds a slash, which no path of this API can."
            raise InvalidArguments(message)
        leads = _is_inside(path) and self._paths.leads_to(operation, path)
        if leads is None:
            message = "No such path: it is too long to be compared with the others of this API."
            raise InvalidArguments(message)
        if not leads:
            message = f"No such path: {given or path} leads to another operation, or to none."
            raise InvalidArguments(message)
        return path

    def follow(
        self, request: OperationRequest, status: int, location: str
    ) -> OperationRequest | None:
        """Return the request that a redirect on the API's own host asks for (RFC 9110 §15.4).

        It may lead to the same path, with or without a slash behind it, or to an operation that is
        a tool.
        """
        if not _is_short(location):
            return None
        own = self._paths.operation(request.method, request.template or "")
        prefix, base = self._bases.prefix(own), self._bases.base
        try:
            target = urlsplit(urljoin(f"{replace(base, prefix=prefix)}{request.path}", location))
        except ValueError:
            return None
        path = target.path.removeprefix(prefix)
        is_here = origin_of(target.geturl()) == base.origin and target.path.startswith(prefix)
        if not (is_here and path.startswith("/") and path.isascii()) or "\\" in location:
            return None
        if not (_is_inside(path) and _is_short(path, prefix, base.query, target.query)):
            return None
        following = redirect_request(request, status, path, target.query)
        if path.rstrip("/") == request.path.rstrip("/") and following.method == request.method:
            return replace(following, template=request.template)
        found = self._paths.found(following.method, path)
        if found is None or not self._index().may_lead_to(found.method, found.path):
            return None
        return replace(following, template=found.path)


def _find_named(
    operations: Iterable[Operation], patterns: Sequence[str], option: str
) -> frozenset[str]:
    """Return the operations that patterns such as ``"* /files/*"`` name."""
    known = [str(each) for each in operations]
    found: set[str] = set()
    for pattern in patterns:
        named = {each for each in known if each == pattern or fnmatchcase(each, pattern)}
        if not named:
            raise MountError(
                f"{option}= names {pattern!r}, which is no operation of the document: write "
                "method and path, such as 'GET /files/{path}'."
            )
        found |= named
    return frozenset(found)


def _is_inside(path: str) -> bool:
    """Whether a percent-encoded path goes down only, however its server reads it."""
    return not {".", ".."} & {*unquote(path).replace("\\", "/").split("/")}


def _is_short(*parts: str) -> bool:
    return sum(map(len, parts)) <= _LONGEST
