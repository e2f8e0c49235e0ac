"""Reads an MCP request as the SDK does, where it is one of the hot ones: a call, or the list.

It recognizes what it is sure of, with the SDK's own checks, and refuses nothing: whatever is in any
way unusual is for FastMCP.
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
_META_KEYS = frozenset(
    {
        *("progressToken", "traceparent", "tracestate", "baggage"),
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/clientInfo",
    }
)
_HEADERS = frozenset((b"accept", b"content-type"))
# What clients send, word for word; anything else is looked at.
_ACCEPT = "application/json, text/event-stream"


@dataclass(frozen=True, slots=True)
class Recognized:
    """A request that the lane answers."""

    id: str | int
    method: str
    params: Mapping[str, Any]
    version: str

    @property
    def is_modern(self) -> bool:
        """Whether it speaks 2026-07-28 or later."""
        return self.version in MODERN_PROTOCOL_VERSIONS


def recognize(scope: Scope, body: bytes) -> Recognized | None:
    """Read a POST as the SDK does; None for what is not surely a valid call or list.

    Args:
        scope: The request, whose headers are checked against the body.
        body: The whole body.
    """
    headers = _own_headers(scope)
    if headers is None:
        return None
    version = headers.get("mcp-protocol-version", "")
    is_modern = version in MODERN_PROTOCOL_VERSIONS
    # An encoder writes `{` first; what else may stand there is for the SDK to see.
    if not (is_modern or version in _LEGACY_VERSIONS) or body[:1] != b"{":
        return None
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return None
    accept = headers.get("accept")
    if accept != _ACCEPT and check_accept_headers(HTTPRequest(scope)) != (True, True):
        return None
    try:
        decoded = json.loads(body) if is_modern else pydantic_core.from_json(body)
        request = JSONRPCRequest.model_validate(decoded, by_name=False)
        if not _is_plain(request):
            return None
        if is_modern:
            route = classify_inbound_request(decoded, headers=headers)
            if not isinstance(route, InboundModernRoute):
                return None
        validate_client_request(request.method, version, request.params)
    except (ValueError, KeyError, RecursionError, ValidationError):
        return None
    return Recognized(request.id, request.method, request.params or {}, version)


def _own_headers(scope: Scope) -> dict[str, str] | None:
    """Return the headers that MCP reads; None where one is doubled, or is of a parameter."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name in _HEADERS or name[:4] == b"mcp-":
            key = name.decode("latin-1")
            if key in headers or key.startswith("mcp-param-"):
                return None
            headers[key] = value.decode("latin-1")
    return headers


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
