"""The application that every contender serves: ordinary routes, and one for each thing measured."""

from collections.abc import AsyncIterator, Sequence

import anyio
import anyio.lowlevel
from fastapi import FastAPI, Security
from fastapi.params import Depends
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel

FIRST_CHUNK = "the first chunk "
"""Begins each stream of `/first`, which pauses after it."""


class Item(BaseModel):
    """What the route that is called most answers."""

    item_id: int
    name: str
    in_stock: bool = True
    labels: list[str] = []


def build(routes: int = 1, *, scopes: Sequence[str] = ()) -> FastAPI:
    """Return an application with that many routes; the one that is called comes last.

    Starlette tries route after route, so this is the worst place, for REST and for everyone. The
    routes that are called have operation ids, so that every contender gives them the same name.

    Args:
        routes: How many.
        scopes: What routes ask for: the called one for the first of these, the others in turn.
    """
    app = FastAPI(title="Benchmark", version="1.0.0")
    for number in range(routes - 1):
        _add_filler(app, number, _needs(scopes, number))

    @app.get("/items/{item_id}", operation_id="get_item", dependencies=_needs(scopes, 0))
    async def get_item(item_id: int, kind: str = "item") -> Item:
        """Return one item."""
        return Item(item_id=item_id, name=f"{kind} {item_id}", labels=["a", "b"])

    return app


def _needs(scopes: Sequence[str], number: int) -> list[Depends]:
    return [Security(_BEARER, scopes=[scopes[number % len(scopes)]])] if scopes else []


_BEARER = HTTPBearer(auto_error=False)


def _add_filler(app: FastAPI, number: int, dependencies: list[Depends]) -> None:
    async def filler(part_id: int, item: Item, limit: int = 10) -> list[Item]:
        return [item] * min(limit, part_id)

    filler.__name__ = f"put_part_{number}"
    filler.__doc__ = f"Store a part of kind {number}."
    app.put(f"/kinds/{number}/parts/{{part_id}}", dependencies=dependencies)(filler)


def build_full() -> FastAPI:
    """Return the application with the routes for streams and for waiting, too."""
    app = build()

    @app.get("/wait", operation_id="wait", response_class=PlainTextResponse)
    async def wait(seconds: float) -> str:
        await anyio.sleep(seconds)
        return f"waited {seconds}"

    @app.get("/first", operation_id="first", response_class=PlainTextResponse)
    async def first(pause: float) -> StreamingResponse:
        return StreamingResponse(_first(pause), media_type="text/plain")

    @app.get("/stream", operation_id="stream", response_class=PlainTextResponse)
    async def stream(chunks: int, size: int) -> StreamingResponse:
        return StreamingResponse(_chunks(chunks, size), media_type="text/plain")

    return app


async def _first(pause: float) -> AsyncIterator[str]:
    yield FIRST_CHUNK
    await anyio.sleep(pause)
    yield "the end"


async def _chunks(count: int, size: int) -> AsyncIterator[bytes]:
    chunk = b"x" * (size - 1) + b" "
    for _ in range(count):
        yield chunk
        # As a route that waits for its data; without it nothing else would run meanwhile.
        await anyio.lowlevel.checkpoint()
