"""An API that sends more than its answer: what is too much is nobody's answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from fastapi import FastAPI

from mcp_mount import proxy_app
from tests.foreign import HELD, Heartbeat
from tests.starting import started
from tests.support import ERAS, Era, call

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Odd", "version": "1"},
    "paths": {
        f"/{name}": {"get": {"operationId": name, "responses": {"200": {"description": "It."}}}}
        for name in ("first", "second")
    },
}


def answer(text: str, *more: str) -> bytes:
    """Write an answer with a body."""
    lines = ["HTTP/1.1 200 OK", "content-type: text/plain", f"content-length: {len(text)}", *more]
    return "\r\n".join([*lines, "", text]).encode()


CHUNKED = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5\r\nfirst\r\n0\r\n\r\n"
)
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
STOLEN = answer("of somebody else")


class Api:
    """An API over raw connections, whose answer to ``/first`` is given."""

    def __init__(self, first: list[bytes]) -> None:
        self.first = first
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                for part in self.first if b"/first" in head else [answer("second")]:
                    writer.write(part)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def proxied(first: list[bytes]) -> AsyncIterator[tuple[FastAPI, Api]]:
    api = Api(first)
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        app = proxy_app(DOCUMENT, f"http://127.0.0.1:{port}")
        async with started(app):
            with anyio.fail_after(30):
                yield app, api


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "first",
    [
        [answer("first") + STOLEN],
        [answer("first"), STOLEN],
        [CHUNKED + STOLEN],
        [NOTHING + STOLEN],
        [NOTHING + b"a body that there cannot be"],
        [answer("first") + STOLEN[:20]],
        [answer("first") + b"\r\n"],
    ],
    ids=["twice", "twice, apart", "chunked", "204", "204 with a body", "a part", "an empty line"],
)
async def test_what_is_too_much_is_no_answer_to_the_next(first: list[bytes], era: Era) -> None:
    """F2, Proxy: the next caller gets an answer of its own, over another connection."""
    async with proxied(first) as (app, api):
        assert not (await call(app, "first", era=era)).is_error
        for _ in range(2):
            assert (await call(app, "second", era=era)).text_content == "second"
        assert api.connections == 2


@pytest.mark.parametrize(
    "first", [answer("first"), CHUNKED, NOTHING], ids=["whole", "chunked", "204"]
)
async def test_a_connection_with_one_answer_is_used_again(first: bytes) -> None:
    """Proxy: as it was."""
    async with proxied([first]) as (app, api):
        for tool in ("first", "second", "first"):
            assert not (await call(app, tool)).is_error
        assert api.connections == 1


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
INFORMATIONAL = b"HTTP/1.1 100 \r\n\r\n"


def with_fields(count: int) -> bytes:
    return HEAD + b"a:\r\n" * count + b"content-length: 5\r\n\r\nfirst"


def with_trailers(count: int) -> bytes:
    return CHUNKED[:-2] + b"a:\r\n" * count + b"\r\n"


@pytest.mark.parametrize(
    "first",
    [with_fields(24_000), with_trailers(24_000), INFORMATIONAL * 20_000 + answer("first")],
    ids=["fields", "trailers", "informational"],
)
async def test_an_answer_with_too_many_fields_is_refused_while_others_run(first: bytes) -> None:
    """S3: the HTTP library would parse them all in one step."""
    heart = Heartbeat()
    async with proxied([first]) as (app, _):

        async def act() -> None:
            assert (await call(app, "first")).is_error

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(heart.beat)
            held = await heart.during(act)
            tasks.cancel_scope.cancel()
        assert held < HELD
        assert (await call(app, "second")).text_content == "second"


@pytest.mark.parametrize(
    "first",
    [with_fields(300), with_trailers(300), INFORMATIONAL * 30 + answer("first")],
    ids=["fields", "trailers", "informational"],
)
async def test_what_an_answer_can_need_of_fields_is_read(first: bytes) -> None:
    """Proxy: and each answer on a connection has as many."""
    async with proxied([first]) as (app, api):
        for _ in range(5):
            assert (await call(app, "first")).text_content == "first"
        assert api.connections == 1
