"""A server that ends the stream of a request, and says that it can be resumed, again and again."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from fastapi import FastAPI, Request, Response

from mcp_mount import Remote
from mcp_mount.remotes import http
from mcp_mount.remotes.exchange import exchange
from mcp_mount.remotes.http import HTTPConnection
from tests.support import served


@contextmanager
def ending() -> Iterator[tuple[str, Counter[str]]]:
    """Serve a stream that ends with each message; yield its URL, and count what is asked."""
    asked: Counter[str] = Counter()
    app = FastAPI()

    def stream(data: str) -> Response:
        event = f"id: 1\nretry: 0\nevent: message\ndata: {data}\n\n"
        return Response(event, media_type="text/event-stream")

    @app.get("/mcp")
    def resume() -> Response:
        asked["resumed"] += 1
        return stream("")

    @app.post("/mcp")
    async def ask(request: Request) -> Response:
        message = await request.json()
        if message.get("method") != "initialize":
            return stream("") if "id" in message else Response(status_code=202)
        info = {"name": "ending", "version": "1"}
        result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": info}
        return stream(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}))

    with served(app) as url:
        yield f"{url}/mcp", asked


async def test_a_stream_is_not_resumed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Security: the SDK's calls were nested deeper each time, until Python went no deeper."""
    monkeypatch.setattr(http, "_MAX_RESUMED", 5)
    with ending() as (url, asked):
        connection = HTTPConnection(Remote("ending", url=url), 10_000, 10)
        with anyio.fail_after(10), pytest.raises(Exception, match="reconnection"):
            await exchange(
                connection, lambda each: each.list_tools(), known=None, is_handshake=True
            )
    assert asked["resumed"] == 5
