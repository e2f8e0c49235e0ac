"""An app that says which process answers, and streams what the test tells it to."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse

from mcp_mount import mount_mcp

_GATE = int(os.environ["GATE"])
"""The port at which the test waits: see `tests.servers.gate`."""


@asynccontextmanager
async def _said_to_have_started(_: FastAPI) -> AsyncIterator[None]:
    async with await anyio.connect_tcp("127.0.0.1", _GATE) as gate:
        await gate.send(b"started %d\n" % os.getpid())
    yield


app = FastAPI(lifespan=_said_to_have_started)


@app.get("/process", response_class=PlainTextResponse)
async def process() -> str:
    return str(os.getpid())


@app.get("/relay")
async def relay() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        async with await anyio.connect_tcp("127.0.0.1", _GATE) as gate:
            await gate.send(b"relay %d\n" % os.getpid())
            async for chunk in gate:
                yield chunk

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/silent", response_class=PlainTextResponse)
async def silent() -> str:
    async with await anyio.connect_tcp("127.0.0.1", _GATE) as gate:
        await gate.send(b"silent %d\n" % os.getpid())
        return (await gate.receive()).decode()


mount_mcp(app)
