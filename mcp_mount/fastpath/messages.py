"""Reads the hot requests, a call of a tool and the list, as strictly as the SDK does.

Nothing is refused here: a request that is in any way unusual is None, and FastMCP's to answer.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from mcp.server.streamable_http import check_accept_headers
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    LoggingLevel,
)
from mcp_types.methods import validate_client_request
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import Scope

_HANDSHAKE_VERSIONS: Final = frozenset({"2025-06-18", "2025-11-25"})
_MEDIA_HEADERS: Final = frozenset((b"accept", b"content-type"))
_MIRROR: Final = b"mcp-param-"
_EMPTY: Final = msgspec.Raw(b"")

_MOST_NESTED: Final = 150
"""Objects and lists in a handshake request; with fewer, none can be too deep for the SDK."""

_MOST_KNOWN: Final = 1_024
_LONGEST_KNOWN: Final = 1_024
"""Bytes of what is remembered of one client; whoever calls chooses how many they are."""


class _Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``_meta`` of a request, with the fields that clients send today."""

    version: str = msgspec.field(name="io.modelcontextprotocol/protocolVersion", default="")
    capabilities: msgspec.Raw = msgspec.field(
        name="io.modelcontextprotocol/clientCapabilities", default=_EMPTY
    )
    client: msgspec.Raw = msgspec.field(name="io.modelcontextprotocol/clientInfo", default=_EMPTY)
    progress_token: str | int | msgspec.UnsetType = msgspec.field(
        name="progressToken", default=msgspec.UNSET
    )
    traceparent: str | msgspec.UnsetType = msgspec.UNSET
    tracestate: str | msgspec.UnsetType = msgspec.UNSET
    baggage: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def token(self) -> str | int | None:
        """The progress token, or None."""
        return None if isinstance(self.progress_token, msgspec.UnsetType) else self.progress_token

    @property
    def trace(self) -> dict[str, str]:
        """The trace context (W3C), as far as there is one."""
        unset = msgspec.UNSET
        if self.traceparent is unset and self.tracestate is unset and self.baggage is unset:
            return {}
        pairs = (
            ("traceparent", self.traceparent),
            ("tracestate", self.tracestate),
            ("baggage", self.baggage),
        )
        return {name: value for name, value in pairs if isinstance(value, str)}


_NO_META: Final = _Meta()


class _CallParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any] = {}
    meta: _Meta = msgspec.field(name="_meta", default=_NO_META)


class _ListMeta(_Meta, frozen=True, forbid_unknown_fields=False):
    """The ``_meta`` of a request for the list, in which nobody looks at anything else.

    But the SDK checks the level of the log.
    """

    level: LoggingLevel | None = msgspec.field(
        name="io.modelcontextprotocol/logLevel", default=None
    )


class _ListParams(msgspec.Struct, frozen=True):
    """Where the list has one page, FastMCP gives that for any cursor."""

    meta: _ListMeta = msgspec.field(name="_meta", default=_ListMeta())
    cursor: str | None = None


class CallMessage(msgspec.Struct, tag_field="method", tag="tools/call", forbid_unknown_fields=True):
    """A ``tools/call``."""

    id: str | int
    jsonrpc: Literal["2.0"]
    params: _CallParams


class ListMessage(msgspec.Struct, tag_field="method", tag="tools/list", forbid_unknown_fields=True):
    """A ``tools/list`` of the only page."""

    id: str | int
    jsonrpc: Literal["2.0"]
    params: _ListParams = _ListParams()


Message = CallMessage | ListMessage

_decode = msgspec.json.Decoder(Message).decode
_decode_all = msgspec.json.Decoder(dict[str, Any]).decode


class HotRequest(msgspec.Struct, frozen=True):
    """A request that was read, and the version it speaks."""

    message: Message
    version: str

    @property
    def is_modern(self) -> bool:
        """Whether it speaks 2026-07-28 or later."""
        return self.version in MODERN_PROTOCOL_VERSIONS

    @property
    def called_tool(self) -> str | None:
        """The tool that it calls; None for the list."""
        return self.message.params.name if isinstance(self.message, CallMessage) else None


class MessageReader:
    """Reads requests, and remembers the clients it has checked: they say the same each time."""

    def __init__(self) -> None:
        self._known_media: set[tuple[bytes, bytes]] = set()
        self._known_clients: set[tuple[str, bytes, bytes]] = set()

    def read(self, scope: Scope, body: bytes) -> HotRequest | None:
        """Return the request; None where it is not surely a valid call or list."""
        headers = _headers(scope)
        if headers is None:
            return None
        version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
        is_modern = version in MODERN_PROTOCOL_VERSIONS
        if not (is_modern or version in _HANDSHAKE_VERSIONS) or not self._takes_json(headers):
            return None
        if not is_modern and body.count(b"{") + body.count(b"[") > _MOST_NESTED:
            # The SDK reads these with a parser that takes less depth.
            return None
        try:
            message = _decode(body)
            if isinstance(message, CallMessage):
                if _MIRROR in headers:
                    return None
            else:
                # What is in no field was skipped, whatever it is.
                _decode_all(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        id_ = message.id
        if not (id_.isascii() if isinstance(id_, str) else id_.bit_length() < 64):
            return None
        agrees = self._agrees(message, version, headers) if is_modern else _is_plain(message)
        return HotRequest(message, version) if agrees else None

    def _takes_json(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the body is JSON, and the answer may be that or an event stream."""
        media = (headers.get(b"content-type", b""), headers.get(b"accept", b""))
        if media in self._known_media:
            return True
        if media[0].partition(b";")[0].strip() != b"application/json":
            return False
        request = Request({"type": "http", "headers": [(b"accept", media[1])]})
        if check_accept_headers(request) != (True, True):
            return False
        _remember(self._known_media, media)
        return True

    def _agrees(self, message: Message, version: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether header and body of a modern request agree, and the SDK takes its client."""
        meta = message.params.meta
        method, name = b"tools/list", None
        if isinstance(message, CallMessage):
            method, name = b"tools/call", message.params.name
        if meta.version != version or headers.get(b"mcp-method") != method:
            return False
        if name is not None and headers.get(b"mcp-name") != name.encode("utf-8"):
            # What is not ASCII is written another way, which the SDK knows.
            return False
        client = (version, bytes(meta.capabilities), bytes(meta.client))
        if client in self._known_clients:
            return True
        if not client[1] or not _is_valid_client(version, meta):
            return False
        _remember(self._known_clients, client)
        return True


def _headers(scope: Scope) -> dict[bytes, bytes] | None:
    """Return the headers that MCP reads; None where one is doubled."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name.startswith(_MIRROR):
            # Whichever argument it mirrors, and how often.
            found[_MIRROR] = value
        elif name[:4] == b"mcp-" or name in _MEDIA_HEADERS:
            if name in found:
                return None
            found[name] = value
    return found


def _is_plain(message: Message) -> bool:
    """Whether a handshake request has nothing of the modern era in it."""
    meta = message.params.meta
    return not (meta.version or bytes(meta.capabilities) or bytes(meta.client))


def _is_valid_client(version: str, meta: _Meta) -> bool:
    """Whether the SDK takes what a client says of itself."""
    client: Any = {}
    try:
        values = {
            PROTOCOL_VERSION_META_KEY: version,
            CLIENT_CAPABILITIES_META_KEY: msgspec.json.decode(meta.capabilities),
        }
        if bytes(meta.client):
            client = values[CLIENT_INFO_META_KEY] = msgspec.json.decode(meta.client)
        validate_client_request("tools/list", version, {"_meta": values})
    except (msgspec.MsgspecError, ValidationError, ValueError, KeyError, RecursionError):
        return False
    return isinstance(client, dict)


def _remember(known: set[Any], item: tuple[str | bytes, ...]) -> None:
    if sum(map(len, item)) <= _LONGEST_KNOWN:
        if len(known) >= _MOST_KNOWN:
            known.clear()
        known.add(item)
