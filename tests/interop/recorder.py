"""Passes requests on to an API, and keeps what it answered."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.support import served

_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-encoding"}


class Recorder:
    """An ASGI app that stands before an API.

    `responses` are those since it was last emptied.
    """

    def __init__(self, upstream: str) -> None:
        self.responses: list[httpx2.Response] = []
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        target = scope["raw_path"].decode()
        if scope["query_string"]:
            target += f"?{scope['query_string'].decode()}"
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        async with httpx2.AsyncClient(timeout=120) as client:
            response = await client.request(
                request.method,
                f"{self._upstream}{target}",
                headers=headers,
                content=await request.body(),
            )
        self.responses.append(response)
        kept = {
            name: value
            for name, value in response.headers.items()
            if name not in {*_OF_A_CONNECTION, "content-length"}
        }
        await Response(response.content, response.status_code, kept)(scope, receive, send)


@contextmanager
def recording(upstream: str) -> Iterator[tuple[Recorder, str]]:
    """Serve a recorder on a free loopback port; yield it with its URL."""
    recorder = Recorder(upstream)
    with served(recorder, lifespan="off") as url:
        yield recorder, url
