"""Reads an MCP request as the SDK does, where it is one of the hot ones: a call, or the list.

* It recognizes what it is sure of, with the SDK's own checks, and refuses nothing: whatever is in
  any way unusual is for FastMCP.
* Clients say the same around each call. What was checked once in these very words is not checked
  again; only what differs from call to call is: the id, the arguments, the token and the trace.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pydantic_core
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.inbound import InboundModernRoute, classify_inbound_request
from mcp_types import JSONRPCRequest
from mcp_types.methods import validate_client_request
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError
from starlette.requests import Request as HTTPRequest
from starlette.types import Scope

_LEGACY_VERSIONS: Final = frozenset({"2025-06-18", "2025-11-25"})
_VARYING = frozenset({"progressToken", "traceparent", "tracestate", "baggage"})
_META_KEYS = frozenset(
    {
        *_VARYING,
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/clientInfo",
    }
)
_HEADERS = frozenset((b"accept", b"content-type"))

_MOST_WORDINGS: Final = 4_096
"""Wordings that are remembered: of each client, one for each tool."""

_LONGEST_WORDING: Final = 1_024
"""Characters of one; whoever calls chooses how many they are."""

_Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Recognized:
    """A request that the lane answers."""

    id: str | int
    method: str
    params: Mapping[str, Any]
    version: str
    is_modern: bool
    """Whether it speaks 2026-07-28 or later."""


class Recognizer:
    """Recognizes requests. A class because it remembers the wordings that it found in order."""

    def __init__(self) -> None:
        """Begin with none."""
        self._in_order: set[tuple[_Pairs, str]] = set()

    def recognize(self, scope: Scope, body: bytes) -> Recognized | None:
        """Read a POST as the SDK does; None for what is not surely a valid call or list.

        Args:
            scope: The request, whose headers are checked against the body.
            body: The whole body.
        """
        pairs = _own_headers(scope)
        version = _version(pairs)
        is_modern = version in MODERN_PROTOCOL_VERSIONS
        # An encoder writes `{` first, in UTF-8; what else may stand there is for the SDK to see.
        is_usual = body[:1] == b"{" and body[1:2] != b"\0"
        if not is_usual or not (is_modern or version in _LEGACY_VERSIONS):
            return None
        try:
            message = _parsed(body) if is_modern else pydantic_core.from_json(body)
            wording = _wording(message)
            if wording is None or (pairs, wording) not in self._in_order:
                if not _is_in_order(message, pairs, version):
                    return None
                self._remember(pairs, wording)
        except (ValueError, KeyError, RecursionError, ValidationError):
            return None
        params = message.get("params") or {}
        return Recognized(message["id"], message["method"], params, version, is_modern)

    def _remember(self, pairs: _Pairs, wording: str | None) -> None:
        length = sum(len(name) + len(value) for name, value in pairs)
        if wording is None or length + len(wording) > _LONGEST_WORDING:
            return
        if len(self._in_order) >= _MOST_WORDINGS:
            self._in_order.clear()
        self._in_order.add((pairs, wording))


def _parsed(body: bytes) -> Any:
    """Return what `json.loads` does, once it has seen that it is UTF-8."""
    return _DECODER.decode(body.decode("utf-8", "surrogatepass"))


_DECODER: Final = json.JSONDecoder()


def _own_headers(scope: Scope) -> _Pairs:
    """Return the headers that MCP reads, in their order."""
    return tuple(
        [
            (name, value)
            for name, value in scope["headers"]
            if name in _HEADERS or name[:4] == b"mcp-"
        ]
    )


def _version(pairs: _Pairs) -> str:
    for name, value in pairs:
        if name == b"mcp-protocol-version":
            return value.decode("latin-1")
    return ""


def _wording(message: Any) -> str | None:
    """Return all of a message but its id, arguments, token and trace; None where one is unusual.

    These are in order, whatever else the message says: each is an integer or plain text, and the
    arguments have plain names. `repr` tells all values of JSON apart, and none of them is written
    like the dots that stand for what is left out.
    """
    params = message.get("params") if isinstance(message, dict) else None
    if not isinstance(params, dict) or not _is_plain_id(message.get("id")):
        return None
    if "arguments" in params:
        arguments = params["arguments"]
        if not isinstance(arguments, dict) or not all(map(str.isascii, arguments)):
            return None
        params = {**params, "arguments": ...}
    meta = params.get("_meta")
    if isinstance(meta, dict) and (varying := meta.keys() & _VARYING):
        if not all(_is_plain_id(meta[key]) for key in varying):
            return None
        params = {**params, "_meta": {**meta, **dict.fromkeys(varying, ...)}}
    return repr({**message, "id": ..., "params": params})


def _is_plain_id(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii()
    return isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < 64


def _is_in_order(message: Any, pairs: _Pairs, version: str) -> bool:
    """Whether the SDK takes the message, and there is nothing unusual in it.

    Raises:
        ValueError: the SDK does not take it (a `pydantic.ValidationError` is one).
        KeyError: the version does not have the method.
    """
    headers = _by_name(pairs)
    if headers is None or not _takes_and_sends_json(headers):
        return False
    request = JSONRPCRequest.model_validate(message, by_name=False)
    if not _is_plain(request):
        return False
    if version in MODERN_PROTOCOL_VERSIONS:
        route = classify_inbound_request(message, headers=headers)
        if not isinstance(route, InboundModernRoute):
            return False
    validate_client_request(request.method, version, request.params)
    return True


def _by_name(pairs: _Pairs) -> dict[str, str] | None:
    """Return the headers by name; None where one is doubled, or is of a parameter."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
    is_usual = len(headers) == len(pairs) and not any(
        name.startswith("mcp-param-") for name in headers
    )
    return headers if is_usual else None


def _takes_and_sends_json(headers: Mapping[str, str]) -> bool:
    """Whether the body is JSON, and the answer may be that or an event stream."""
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return False
    accept = [(b"accept", headers.get("accept", "").encode("latin-1"))]
    return check_accept_headers(HTTPRequest({"type": "http", "headers": accept})) == (True, True)


def _is_plain(request: JSONRPCRequest) -> bool:
    """Whether there is nothing in the request but what every call or list has."""
    params = request.params or {}
    if request.method == "tools/call":
        known = {"name", "arguments", "_meta"}
        plain = isinstance(params.get("name"), str) and isinstance(
            params.get("arguments", {}), dict
        )
    else:
        known = {"_meta"}
        plain = request.method == "tools/list"
    meta = params.get("_meta", {})
    if not isinstance(meta, dict) or None in meta.values():
        # A key that is there says something; the SDK's server refuses a token that is null.
        return False
    return plain and params.keys() <= known and meta.keys() <= _META_KEYS
