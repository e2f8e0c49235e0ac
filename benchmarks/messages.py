"""The HTTP requests that are measured, as bytes: REST, and the two eras of MCP."""

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from tests.support import LEGACY, Era, envelope, read_messages

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

    def with_headers(self, headers: Mapping[str, str]) -> "Message":
        """Return the request with further headers."""
        return replace(self, headers={**self.headers, **headers})


def rest(path: str, **query: object) -> Message:
    """Return the REST request."""
    return Message("GET", f"{path}?{urlencode(query)}" if query else path, {})


def call(
    era: Era, tool: str, arguments: Mapping[str, Any], *, path: str = "/mcp", progress: bool = False
) -> Message:
    """Return the request that calls a tool, with a progress token if `progress` is wanted."""
    params = {"name": tool, "arguments": dict(arguments)}
    return rpc(era, "tools/call", params, path=path, token="p" if progress else None)


def rpc(
    era: Era,
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    path: str = "/mcp",
    token: str | None = None,
) -> Message:
    """Return a JSON-RPC request of an era."""
    headers, body = envelope(era, method, params, token=token)
    if method.startswith("notifications/"):
        del body["id"]
    else:
        body["id"] = ID
    return Message("POST", path, headers, json.dumps(body).encode())


def open_session(
    send: Callable[[Message], Mapping[str, str]], headers: Mapping[str, str], *, path: str
) -> Mapping[str, str]:
    """Open a session (legacy); return the headers of its requests.

    Args:
        send: Sends a request and returns the headers of its answer.
        headers: The caller's.
        path: The endpoint.
    """
    client = {"name": "benchmark", "version": "1"}
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client}
    opened = send(rpc("legacy", "initialize", params, path=path).with_headers(headers))
    own = {**headers, "mcp-session-id": opened["mcp-session-id"]}
    send(rpc("legacy", "notifications/initialized", path=path).with_headers(own))
    return own


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
    answer = read_messages(content_type, body.decode())[-1]
    if "result" not in answer or answer["result"].get("isError"):
        raise RuntimeError(f"The call failed: {answer!r}")
    found: dict[str, Any] = answer["result"]
    return found
