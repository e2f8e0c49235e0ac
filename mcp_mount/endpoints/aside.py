"""Writes the large parts of what FastMCP answers, beside what the SDK writes.

The SDK copies and writes an answer in one step of the event loop. So it gets a mark for each large
part, and the part, which is written in turns, is put where the mark is in the response. The
structure of a tool's result is kept from it before, since it copies that value by value.
"""

import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import count
from typing import Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import CallToolResult
from pydantic_core import to_jsonable_python
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_mount.backends.request import Headers
from mcp_mount.conversion.structure import SLICE
from mcp_mount.conversion.texts import WrittenJSON
from mcp_mount.fastpath.writer import joined, to_one_line, write_members
from mcp_mount.loops import in_thread
from mcp_mount.turns import Turns

_STRUCTURE: Final = "structuredContent"

_LARGE: Final = 16 * 1024
"""Bytes from which on a part is put aside; smaller ones an idle session may keep."""


class Aside:
    """The large parts of what is answered to one request, or on one stream of HTTP with SSE."""

    def __init__(self) -> None:
        # Nobody else knows it, so that nothing in an answer can be taken for a mark.
        self._name = secrets.token_hex()
        self._mark = re.compile(rb'"%s-(\d+)"' % self._name.encode())
        self._numbers = count()
        self._parts: dict[int, list[bytes]] = {}
        self._is_over = False

    def close(self) -> None:
        """Keep nothing: contexts that the SDK keeps hold this."""
        self._is_over = True
        self._parts.clear()

    def size_of(self, text: bytes) -> int:
        """Return how long the parts are whose marks are in a text."""
        marks = self._mark.findall(text) if self._parts else ()
        parts = (self._parts.get(int(each), []) for each in marks)
        return sum(len(piece) for part in parts for piece in part)

    async def put(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return a result with marks; nothing of it where its client has gone meanwhile."""
        marked = dict(result)
        for name, value in result.items():
            part = None
            try:
                if isinstance(value, dict | list | WrittenJSON):
                    part = await _written(value)
            except TypeError:
                # Of a tool of one's own, it may hold what only Pydantic writes, as the SDK does.
                marked[name] = to_jsonable_python(value, by_alias=True, exclude_none=True)
            if part is not None:
                number = next(self._numbers)
                self._parts[number] = part
                marked[name] = f"{self._name}-{number}"
        if self._is_over:
            self._parts.clear()
            return {}
        return marked

    @contextmanager
    def used(self) -> Iterator[None]:
        """Put here what is large of what is handled in the current context."""
        _current.set(self)
        try:
            yield
        finally:
            # The context may be that of the next request, on the same connection.
            _current.set(None)

    def around(self, send: Send) -> Send:
        """Return a `send` that puts the parts where their marks are."""
        start: Message | None = None

        async def send_whole(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                # How long the body is, is known with it.
                start = message
                return
            body = message.get("body", b"")
            texts = self._mark.split(body) if self._parts else [body]
            if len(texts) > 1:
                message = {**message, "body": await joined(self._pieces(texts))}
            if start is not None:
                begin, start = start, None
                headers = _resized(begin["headers"], len(message.get("body", b"")))
                await send({**begin, "headers": headers})
            await send(message)

        return send_whole

    def _pieces(self, texts: list[bytes]) -> Iterator[bytes]:
        for is_mark, text in enumerate(texts):
            if is_mark % 2:
                # None is left where the stream has ended.
                yield from self._parts.pop(int(text), ())
            else:
                yield text


_current: ContextVar[Aside | None] = ContextVar("mcp_mount_written_aside", default=None)
"""Where the parts of what is handled go."""

_structures: ContextVar[list[object] | None] = ContextVar("mcp_mount_structures", default=None)
"""Where the structure of a tool's result is while the SDK copies the rest."""


class WritesAside:
    """Puts what was put aside into the response. Pure ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            # The stream that a GET opens has no answer, and begins at once.
            await self._app(scope, receive, send)
            return
        aside = Aside()
        try:
            with aside.used():
                await self._app(scope, receive, aside.around(send))
        finally:
            aside.close()


def size_aside(text: bytes) -> int:
    """Return how much longer what the SDK has written will be."""
    aside = _current.get()
    return aside.size_of(text) if aside is not None else 0


def answer_aside(low_level: Server[Any]) -> None:
    """Put the large parts of all results aside."""
    entry = low_level.get_request_handler("tools/call")
    if entry is not None:
        call = partial(_keep_structure, entry.handler)
        low_level.add_request_handler("tools/call", entry.params_type, call)
    # Around all others, which may add to the answer.
    low_level.middleware.insert(0, _put_aside)


async def _keep_structure(
    call: Callable[..., Awaitable[Any]], ctx: ServerRequestContext[Any, Any], params: Any
) -> Any:
    result, structures = await call(ctx, params), _structures.get()
    if structures is None or not isinstance(result, CallToolResult):
        return result
    if not isinstance(result.structured_content, dict):
        return result
    structures.append(result.structured_content)
    return result.model_copy(update={"structured_content": {}})


async def _put_aside(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Put the large parts of a result aside. Middleware of the SDK's server."""
    aside = _current.get() if ctx.request_id is not None else None
    structures: list[object] | None = None if aside is None else []
    token = _structures.set(structures)
    try:
        result = await call_next(ctx)
    finally:
        _structures.reset(token)
    if not isinstance(result, dict):
        return result
    if aside is None:
        return {name: await _read(value) for name, value in result.items()}
    if structures and _STRUCTURE in result:
        # Old versions of the protocol have none.
        result = {**result, _STRUCTURE: structures[0]}
    return await aside.put(result)


async def _read(value: object) -> Any:
    """Return a value as the SDK writes it."""
    if not isinstance(value, WrittenJSON):
        return value
    return await in_thread(partial(json.loads, value.text))


async def _written(value: dict[str, Any] | list[Any] | WrittenJSON) -> list[bytes] | None:
    """Write a value as JSON in pieces; None where it is small, or the SDK has to say what it is."""
    if isinstance(value, WrittenJSON) and value.text.isascii() and b"\n" not in value.text:
        return [value.text]
    pieces, turns = list[bytes](), Turns()
    try:
        for piece in _parts(value):
            # An event is of lines.
            pieces.append(to_one_line(piece).encode())
            await turns.take()
    except (ValueError, RecursionError):
        # It holds half of a character, or too many levels.
        return None
    is_needed = isinstance(value, WrittenJSON) or sum(map(len, pieces)) > _LARGE
    return pieces if is_needed else None


def _parts(value: dict[str, Any] | list[Any] | WrittenJSON) -> Iterator[str]:
    """Yield a value as JSON in parts of which none takes long."""
    if not isinstance(value, WrittenJSON):
        yield from write_members(value)
        return
    text = value.text.decode()
    for begin in range(0, len(text), SLICE):
        yield text[begin : begin + SLICE]


def _resized(headers: Headers, size: int) -> Iterable[tuple[bytes, bytes]]:
    length = b"content-length"
    return [(name, b"%d" % size if name == length else value) for name, value in headers]
