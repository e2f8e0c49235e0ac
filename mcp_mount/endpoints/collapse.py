"""An event stream that holds one answer and nothing else, as the JSON that it might have been.

The SDK answers the handshake versions with event streams, and its own client refuses an event of
more than 1 MiB; it has no such limit for JSON, which a client accepts as well (MCP "Transports").
"""

import re
from typing import Final

from starlette.types import Message, Send

# Whoever calls chooses the id: one that is longer than any client's stays an event.
_FRAME: Final = re.compile(
    rb"(?:(?:id: [^\r\n]+\r\n)?event: message\r\n)?data: "
    rb'(\{"jsonrpc":"2\.0","id":(?:-?\d+|"(?:[^"\\]|\\.){0,1000}+"),'
    rb'"(?:result|error)":[^\r\n]*)\r\n\r\n'
)
_OF_A_STREAM: Final = frozenset(
    {b"content-type", b"cache-control", b"connection", b"x-accel-buffering"}
)


def collapse_single_event(send: Send) -> Send:
    """Return a `send` that passes on such a stream as JSON, and every other response as it is.

    Nothing is held back for longer than until the first part of the body: an answer is the last
    event of its stream.
    """
    held: list[Message] = []
    is_open = True

    async def let_go() -> None:
        nonlocal is_open
        is_open = False
        for message in held:
            await send(message)
        held.clear()

    async def pass_on(message: Message) -> None:
        if not is_open:
            await send(message)
            return
        held.append(message)
        if message["type"] == "http.response.start":
            if dict(message["headers"]).get(b"content-type", b"")[:17] != b"text/event-stream":
                await let_go()
            return
        body = b"".join(each.get("body", b"") for each in held)
        framed = _FRAME.fullmatch(body)
        if framed is None:
            await let_go()
        elif not message.get("more_body", False):
            start, body = held[0], framed[1]
            kept = [(name, value) for name, value in start["headers"] if name not in _OF_A_STREAM]
            own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            held[:] = (
                {**start, "headers": [*kept, *own]},
                {"type": "http.response.body", "body": body},
            )
            await let_go()

    return pass_on
