"""Requests of the client on standard input that are ended when it takes them back.

Over HTTP without sessions, nothing tells whose request a cancellation is about; here there is one
client, whose ids are its own.
"""

import json
from typing import Final

import anyio
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp_types import RequestId
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount.endpoints.guard import replay_body

CANCELLED: Final = "notifications/cancelled"


class EndCancelled:
    """ASGI middleware that ends a request when its client takes it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: dict[RequestId, anyio.CancelScope] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and remember it while it runs."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        # The bridge writes each as a whole.
        body: bytes = (await receive())["body"]
        message = json.loads(body)
        request = message.get("id") if "method" in message else None
        if message.get("method") == CANCELLED:
            cancelled = cancelled_request_id_from_params(message.get("params"))
            if cancelled is not None and cancelled in self._running:
                self._running[cancelled].cancel()
        with anyio.CancelScope() as running:
            if request is not None:
                self._running[request] = running
            try:
                await self._app(scope, replay_body(body, receive), send)
            finally:
                if request is not None and self._running.get(request) is running:
                    del self._running[request]
