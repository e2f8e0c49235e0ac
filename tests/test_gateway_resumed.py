"""A server that ends the stream of a request, and says that it can be resumed, again and again."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request, Response

from mcp_mount import Limits, Remote
from mcp_mount.remotes import http
from mcp_mount.remotes.exchange import exchange
from mcp_mount.remotes.http import HTTPConnection
from tests.others import gateway, raw, text, tool
from tests.support import call, served


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


async def test_a_time_that_no_clock_has_ends_nobodys_session() -> None:
    """Security: the SDK ended with it, and with all that others had asked in that session."""

    def answer(params: dict[str, Any]) -> dict[str, Any] | Response:
        if params["name"] == "there":
            return text("here")
        event = f"id: 1\nretry: 1{'0' * 400}\ndata:\n\n"
        return Response(event, media_type="text/event-stream")

    with raw([tool("late"), tool("there")], modern=False, call=answer) as (server, url):
        remote = Remote("far", url=url, session="shared")
        async with gateway(remote, limits=Limits(timeout=0.5)) as app:
            assert (await call(app, "far_late")).is_error
            assert (await call(app, "far_there")).text_content == "here"
    # The list has been asked for in one, and the calls were in another.
    assert server.methods.count("initialize") == 2
