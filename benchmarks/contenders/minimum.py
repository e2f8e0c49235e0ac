"""The least that a tool call can be: parse, call the route in process, answer. No checks at all.

Nobody should serve this; it shows how much of REST's speed is left once two messages of JSON have
been read and written.
"""

import json
from urllib.parse import urlencode

from starlette.types import Message, Receive, Scope, Send

from benchmarks.application import build_full

_routes = build_full()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve `get_item` at ``/mcp``."""
    if scope["type"] != "http":
        await _routes(scope, receive, send)
        return
    call = json.loads(await _read(receive))
    arguments = call["params"]["arguments"]
    text = await _called(scope, f"/items/{arguments.pop('item_id')}", urlencode(arguments))
    result = {
        "content": [{"type": "text", "text": text}],
        "structuredContent": json.loads(text),
        "isError": False,
        "resultType": "complete",
    }
    answer = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _called(scope: Scope, path: str, query: str) -> str:
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        parts.append(message.get("body", b""))

    own = {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode()}
    await _routes({**scope, **own}, receive, send)
    return b"".join(parts).decode()


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
