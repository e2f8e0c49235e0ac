"""Puts an API elsewhere: the same app, served beside the one that the test calls."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_mount import Mounted
from mcp_mount.mount import mount_source
from mcp_mount.source import read_upstream
from tests.support import served

MOUNTED: dict[str, Any] = {"path": "/mcp", "sse_path": None, "remotes": ()}
"""What `mount_mcp` does unless it is told otherwise."""


class Place:
    """A server for one app after another, because starting one takes longer than most tests."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@contextmanager
def a_place() -> Iterator[Place]:
    """Serve at a place, in a thread and an event loop of its own."""
    place = Place()
    with served(place, lifespan="off") as place.url:
        yield place


@contextmanager
def elsewhere(place: Place) -> Iterator[Callable[..., Mounted]]:
    """Yield a `mount_mcp` whose calls go over a socket to the app, at that place."""
    place.app = None
    with ExitStack() as stack:

        def mount(app: FastAPI, **options: Any) -> Mounted:
            if place.app is None:
                place.app, url = app, place.url
            else:
                url = stack.enter_context(served(app, lifespan="off"))
            source = read_upstream(app.openapi(), url)
            return mount_source(app, source, **{**MOUNTED, **options})

        yield mount
