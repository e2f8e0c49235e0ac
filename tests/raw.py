"""Sends one request as a server does, message by message, to see what is received of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Scope

from tests.support import read_messages


@dataclass(frozen=True)
class RawReply:
    """The answer, and how many messages of the request were received for it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received: int

    @property
    def answer(self) -> dict[str, Any]:
        """The last JSON-RPC message."""
        return read_messages(self.headers.get("content-type", ""), self.body.decode())[-1]


async def send_raw(
    app: ASGIApp,
    chunks: Iterable[bytes],
    headers: Mapping[str, str],
    *,
    method: str = "POST",
    path: str = "/mcp",
    breaks_off: bool = False,
    leaves: bool = False,
    **more: Any,
) -> RawReply:
    """Send the chunks of a body one by one, as they are asked for.

    A client that `breaks_off` is gone after its last chunk, and one that `leaves` after the whole
    body; other ones wait for the answer.
    """
    waiting = iter(chunks)
    following = next(waiting, b"")
    sent: list[Message] = []
    received = 0
    whole = False

    async def receive() -> Message:
        nonlocal following, received, whole
        if whole:
            if not (breaks_off or leaves):
                await anyio.sleep_forever()
            return {"type": "http.disconnect"}
        chunk, rest = following, next(waiting, None)
        whole = rest is None
        following = rest or b""
        received += 1
        return {"type": "http.request", "body": chunk, "more_body": not whole or breaks_off}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 40_000),
        "server": ("localhost", 8000),
        **more,
    }
    with anyio.fail_after(30):
        await app(scope, receive, send)
    if not sent:
        return RawReply(0, {}, b"", received)
    start, *rest_sent = sent
    body = b"".join(message.get("body", b"") for message in rest_sent)
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return RawReply(start["status"], found, body, received)
