"""Calls of endless streams, which their caller leaves."""

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import anyio
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from starlette.types import ASGIApp

from tests.mock_api.streaming import Response, streamed
from tests.support import Era, envelope


@asynccontextmanager
async def calling(
    app: ASGIApp,
    era: Era,
    tool: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    version: str = "2.3",
    **headers: str,
) -> AsyncIterator[Response]:
    """Call a tool, wait for the first notification, and leave at the end of the block.

    It takes until the request has ended on the server's side too.
    """
    own, body = envelope(era, "tools/call", {"name": tool, "arguments": arguments or {}}, token="p")
    named = {**own, **headers}
    async with streamed(app, "POST", "/mcp", body, headers=named, spec_version=version) as it:
        assert b"notifications/progress" in (await it.chunk() or b"")
        yield it


def build_streams(log: list[str]) -> FastAPI:
    """Return an app with one endless stream of every kind, each of which ends with a log entry."""
    app = FastAPI()

    async def resource() -> AsyncIterator[None]:
        try:
            yield
        finally:
            log.append("dependency closed")

    @app.get("/text", dependencies=[Depends(resource)])
    async def text() -> StreamingResponse:
        return StreamingResponse(chunks(log), media_type="text/plain")

    @app.get("/lines", dependencies=[Depends(resource)])
    async def lines() -> AsyncIterator[str]:
        async for chunk in chunks(log):
            yield chunk

    @app.get("/events", dependencies=[Depends(resource)], response_class=EventSourceResponse)
    async def events() -> AsyncIterator[str]:
        async with aclosing(chunks(log)) as stream:
            async for chunk in stream:
                yield chunk

    @app.get("/silent", dependencies=[Depends(resource)], response_class=EventSourceResponse)
    async def silent() -> AsyncIterator[str]:
        with closing(log):
            yield "x"
            await anyio.sleep_forever()

    @app.get("/thread", dependencies=[Depends(resource)])
    def thread() -> Iterator[str]:
        with closing(log):
            yield from itertools.repeat("x")

    return app


async def chunks(log: list[str]) -> AsyncGenerator[str, None]:
    with closing(log):
        while True:
            yield "x"
            await anyio.sleep(0.01)


@contextmanager
def closing(log: list[str]) -> Iterator[None]:
    try:
        yield
    finally:
        log.append("generator closed")
