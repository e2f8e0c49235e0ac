"""A gateway in front of the app of the suite, whose names fit when the gateway's stand before them.

The suite calls `test_simple_text`. So the app's tools and prompts lose their `test_` on the way to
the gateway, to which they belong to a server named `test`.
"""

import json
import re
from contextlib import ExitStack

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount import Remote, gateway_app
from tests.conformance.everything import everything_app
from tests.others import handshake_only
from tests.support import served

_NAME = re.compile(rb'"name":\s*"test_')
_PREFIX = b"test_"


class Renamed:
    """An app without `test_` before the names of its tools and prompts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept = {"json_schema_2020_12_tool"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more and scope["method"] == "POST":
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        body = self._rename(body)
        names = [(k, self._header(v) if k == b"mcp-name" else v) for k, v in scope["headers"]]
        headers = [(k, v) for k, v in names if k != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        is_read = False

        async def read() -> Message:
            nonlocal is_read
            if is_read or scope["method"] != "POST":
                return await receive()
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def write(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(k, v) for k, v in message["headers"] if k.lower() != b"content-length"]
                message = {**message, "headers": kept}
            if message["type"] == "http.response.body":
                message = {**message, "body": _NAME.sub(b'"name":"', message.get("body", b""))}
            await send(message)

        await self._app({**scope, "headers": headers}, read, write)

    def _rename(self, body: bytes) -> bytes:
        if not body:
            return body
        message = json.loads(body)
        params = message.get("params") or {}
        if message.get("method") in {"tools/call", "prompts/get"}:
            params["name"] = self._ours(params["name"])
        if "name" in params.get("ref", {}):
            params["ref"]["name"] = self._ours(params["ref"]["name"])
        return json.dumps(message).encode()

    def _header(self, value: bytes) -> bytes:
        return value if b"://" in value else self._ours(value.decode()).encode()

    def _ours(self, name: str) -> str:
        return name if name in self._kept else f"test_{name}"


def everything_gateway(revision: str, stack: ExitStack) -> FastAPI:
    """Return the gateway, in front of a server of the era of a revision."""
    if revision >= "2026":
        url = stack.enter_context(served(Renamed(everything_app())))
        return gateway_app([Remote("test", url=f"{url}/mcp")])
    app = Renamed(everything_app(sessions=True))
    url = stack.enter_context(served(handshake_only(app), timeout_graceful_shutdown=1))
    return gateway_app([Remote("test", url=f"{url}/mcp")], sessions=True)
