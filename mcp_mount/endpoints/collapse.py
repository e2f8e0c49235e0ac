"""An event stream that holds one answer and nothing else, as the JSON that it might have been.

The SDK answers the handshake versions with event streams, and its own client refuses an event of
more than 1 MiB; it has no such limit for JSON, which a client accepts as well (MCP "Transports").
"""

import re
from typing import Final

from starlette.types import Message, Send

# Whoever calls chooses the id: one that is longer than any client's stays an event.
_BEGINNING: Final = re.compile(
    rb"(?:(?:id: [^\r\n]+\r\n)?event: message\r\n)?data: "
    rb'(\{"jsonrpc":"2\.0","id":(?:-?\d+|"(?:[^"\\]|\\.){0,1000}+"),'
    rb'"(?:result|error)":)'
)
_END: Final = b"\r\n\r\n"
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
        answer = _only_answer(b"".join(each.get("body", b"") for each in held))
        if answer is None:
            await let_go()
        elif not message.get("more_body", False):
            start, body = held[0], answer
            kept = [(name, value) for name, value in start["headers"] if name not in _OF_A_STREAM]
            own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            held[:] = (
                {**start, "headers": [*kept, *own]},
                {"type": "http.response.body", "body": body},
            )
            await let_go()

    return pass_on


def _only_answer(body: bytes) -> bytes | None:
    """Return the answer in a stream of one event; None where it is something else.

    A pattern for all of it would look at each byte, for as long as the event loop may be held.
    """
    found, end = _BEGINNING.match(body), len(body) - len(_END)
    if found is None or not body.endswith(_END):
        return None
    has_lines = any(body.find(each, found.end(), end) >= 0 for each in (b"\r", b"\n"))
    return None if has_lines else body[found.start(1) : end]
