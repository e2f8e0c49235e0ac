"""An app that nobody holds is forgotten, with all that it was made of."""

import gc
import weakref
from collections.abc import Callable

import anyio.to_thread
import pytest
from fastapi import FastAPI

from mcp_mount import Remote, gateway_app, mount_mcp, proxy_app
from tests.starting import started

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Parts", "version": "1"},
    "paths": {"/parts": {"get": {"operationId": "list_parts", "responses": {}}}},
}


def mounted() -> FastAPI:
    app = FastAPI()
    app.state.mcp = mount_mcp(app)
    return app


@pytest.mark.parametrize(
    "build",
    [
        mounted,
        lambda: proxy_app(DOCUMENT, "http://127.0.0.1:9"),
        lambda: gateway_app([Remote("wiki", url="http://127.0.0.1:9/mcp")]),
    ],
    ids=["mounted", "proxy", "gateway"],
)
async def test_an_app_is_forgotten(build: Callable[[], FastAPI]) -> None:
    """F2: whoever makes apps again and again, as tests do, keeps none of them."""
    app = build()
    async with started(app):
        kept = weakref.ref(app.state.mcp.server)
    del app
    # In a thread: one in which a document was read lets go of it when it has something else to do.
    await anyio.to_thread.run_sync(gc.collect)
    assert kept() is None
