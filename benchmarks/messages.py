"""The HTTP requests that are measured, as bytes: REST, and the two eras of MCP."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlencode

Era = Literal["modern", "legacy"]

MODERN = "2026-07-28"
LEGACY = "2025-06-18"

ID = 1_000_000_000
"""The id of every JSON-RPC request; a load generator counts on from it, with as many digits."""


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP request, e.g. ``GET /items/3?kind=bolt``; the names of headers are lower-case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    def encode(self, *, keep_alive: bool = True) -> bytes:
        """Return the request as it goes over the wire."""
        own = {
            "host": "127.0.0.1",
            "connection": "keep-alive" if keep_alive else "close",
            **self.headers,
        }
        if self.body:
            own["content-length"] = str(len(self.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body

    def with_headers(self, **headers: str) -> "Message":
        """Return the request with further headers; ``_`` in a name stands for ``-``."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})


def rest(path: str, **query: object) -> Message:
    """Return the REST request."""
    return Message("GET", f"{path}?{urlencode(query)}" if query else path, {})


def call(
    era: Era, tool: str, arguments: Mapping[str, Any], *, path: str = "/mcp", progress: bool = False
) -> Message:
    """Return the request that calls a tool, with a progress token if `progress` is wanted."""
    meta = {"progressToken": "p"} if progress else {}
    params = {"name": tool, "arguments": dict(arguments)}
    return rpc(era, "tools/call", params, path=path, meta=meta)


def rpc(
    era: Era,
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    path: str = "/mcp",
    meta: Mapping[str, Any] | None = None,
) -> Message:
    """Return a JSON-RPC request of an era."""
    content = dict(params or {})
    own_meta = dict(meta or {})
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN if era == "modern" else LEGACY,
    }
    if era == "modern":
        headers["mcp-method"] = method
        if "name" in content:
            headers["mcp-name"] = content["name"]
        own_meta["io.modelcontextprotocol/protocolVersion"] = MODERN
        own_meta["io.modelcontextprotocol/clientCapabilities"] = {}
    if own_meta:
        content["_meta"] = own_meta
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": ID, "method": method, "params": content}
    if method.startswith("notifications/"):
        del body["id"]
    return Message("POST", path, headers, json.dumps(body).encode())


def initialize(path: str) -> Message:
    """Return the request that opens a session (legacy)."""
    params = {
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    }
    return rpc("legacy", "initialize", params, path=path)


def exchange(port: int, message: Message) -> tuple[Mapping[str, str], bytes]:
    """Send a request to a local server; return the headers and the body of its answer.

    Raises:
        RuntimeError: the answer is no success.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(message.method, message.path, message.body, dict(message.headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if not 200 <= response.status < 300:
        raise RuntimeError(
            f"{message.method} {message.path} was answered {response.status}: {body!r}"
        )
    return {name.lower(): value for name, value in response.getheaders()}, body


def result(content_type: str, body: bytes) -> dict[str, Any]:
    """Return the result that an answer holds, be it JSON or an event stream.

    Raises:
        RuntimeError: the answer holds none.
    """
    text = body.decode()
    if content_type.startswith("text/event-stream"):
        data = [line[5:] for line in text.splitlines() if line.startswith("data:")]
        text = [item for item in data if item.strip()][-1]
    answer = json.loads(text)
    if "result" not in answer or answer["result"].get("isError"):
        raise RuntimeError(f"The call failed: {text[:500]}")
    found: dict[str, Any] = answer["result"]
    return found
