"""Puts an API elsewhere: the same app, served beside the one that the test calls."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fastapi import FastAPI

from mcp_mount import Mounted, mount_mcp
from tests.support import served


@contextmanager
def elsewhere() -> Iterator[Callable[..., Mounted]]:
    """Yield a `mount_mcp` whose calls go over a socket to the app, served in a thread of its own.

    What is answered has come over HTTP, and is not of the test's own event loop.
    """
    with ExitStack() as stack:

        def mount(app: FastAPI, **options: Any) -> Mounted:
            url = stack.enter_context(served(app, lifespan="off"))
            return mount_mcp(app, openapi=app.openapi(), upstream=url, **options)

        yield mount
