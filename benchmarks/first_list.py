"""Mounts an application and lists its tools once, and prints the processor's seconds.

Run as ``python -m benchmarks.first_list mcp_mount``, in a fresh process.
"""

import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI
from fastmcp import FastMCP
from starlette.types import ASGIApp

from benchmarks.application import build
from benchmarks.in_process import Loop, sender, started
from benchmarks.messages import rpc
from mcp_mount import mount_mcp

ROUTES: Final = 1_000


async def _document(app: FastAPI) -> None:
    """Do what everyone has to do first."""
    app.openapi()


async def _mounted(app: FastAPI) -> None:
    mount_mcp(app)
    await _list(app)


async def _from_fastapi(app: FastAPI) -> None:
    await _list(FastMCP.from_fastapi(app).http_app(path="/mcp", stateless_http=True))


async def _list(app: ASGIApp) -> None:
    async with started(app):
        await sender(app, rpc("modern", "tools/list"))()


WAYS: Final[dict[str, Callable[[FastAPI], Awaitable[None]]]] = {
    "FastAPI's document alone": _document,
    "mcp_mount": _mounted,
    "from_fastapi": _from_fastapi,
}


if __name__ == "__main__":
    application = build(ROUTES)
    begin = time.process_time()
    Loop().run(lambda: WAYS[sys.argv[1]](application))
    sys.stdout.write(f"{time.process_time() - begin}\n")
