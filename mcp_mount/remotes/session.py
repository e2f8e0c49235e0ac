"""An MCP session with another server, which is asked for no more than can be read.

* Entries of lists are handed over as they came, to be read one by one: a bad one costs no other.
* A result with too many blocks, or too much beside them, is refused before models are built of it.
* Of the server's own requests a bounded number wait for their answers: it may never read them.
* What it says by itself, and asks, is dropped where it is large.
"""

import math
from collections.abc import Iterator, Mapping
from contextvars import Context, copy_context
from itertools import count
from typing import Any, Final

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp import ClientSession
from mcp.shared.dispatcher import CallOptions, OnRequest, coerce_request_id
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CONNECTION_CLOSED,
    LOG_LEVEL_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
    CallToolResult,
    DiscoverResult,
    Implementation,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from pydantic import ValidationError

from mcp_mount.remotes.bounds import ASKS_TOO_MUCH, MAX_DATA, MAX_UNASKED, TOO_LARGE
from mcp_mount.remotes.large import take_large_result
from mcp_mount.remotes.outgoing import OutgoingRequest, belonging_to, current_request
from mcp_mount.remotes.text import count_values, fits
from mcp_mount.version import __version__

CLIENT_INFO: Final = Implementation(name="mcp-mount", version=__version__)
"""What other servers are told of their client."""

_MAX_WAITING: Final = 100
"""Requests of the other server that wait for their answers."""

_MAX_META: Final = 64 * 1024
"""Characters of a result's ``_meta``, each value counting four."""

_MAX_PARTS: Final = 10_000
_PARTS: Final = 10
"""JSON values in a result's blocks altogether, and so many more for each that it may have."""
_MAX_SAID: Final = 1_000
"""JSON values in a question, or in a result beside its list, blocks or structure: the SDK takes up
to 70 µs for each that is wrong."""

_PLAIN: Final = frozenset({"requestedSchema", "inputSchema"})
"""What the SDK takes as it is."""

_MAX_AUDIENCE: Final = 2
"""For whom a block can be: users and models."""

_MAX_UNANSWERED: Final = 10_000
"""Requests of ours that are remembered; a server need not answer those that are cancelled."""

_LISTS: Final = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
_BLOCKS: Final = {"tools/call": "content", "resources/read": "contents", "prompts/get": "messages"}

Received = SessionMessage | Exception


class Dispatcher(JSONRPCDispatcher[TransportContext]):
    """Sends requests and bounds what comes back.

    Attributes:
        entries: Those of the list that came last, as the server wrote them; None if it is none.
        ended: Set when nothing comes any more.
        ends_by_closing: Whether a modern request is cancelled by the end of its connection.
    """

    ends_by_closing = False

    def __init__(self, read: Any, write: Any, *, ids: Iterator[int], max_blocks: int) -> None:
        waiting = _Waiting()
        self._unanswered = waiting.unanswered
        self._waiting = waiting
        super().__init__(_Inbound(read, waiting), _Outbound(write, waiting))
        self.entries: list[Any] | None = None
        self.ended = anyio.Event()
        self._ids = ids
        self._max_blocks = max_blocks

    async def run(self, on_request: OnRequest, *arguments: Any, **options: Any) -> None:
        """Take what comes, until the end."""

        async def answer(context: Any, *said: Any) -> dict[str, Any]:
            try:
                return await on_request(context, *said)
            finally:
                # The server has taken its question back, and gets no answer.
                self._waiting.count -= context.cancel_requested.is_set()

        try:
            await super().run(answer, *arguments, **options)
        finally:
            self.ended.set()

    def forget(self) -> None:
        """Forget the entries of the last list."""
        self.entries = None

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Send a request; return its result without the entries of a list.

        Raises:
            MCPError: as the SDK's; or `TOO_LARGE`, the result has too many blocks, or too much in
                them or its metadata; or `ASKS_TOO_MUCH`, it is a question that is far too long.
        """
        # A session may last as long as a call, and ids must not come again (MCP "input_required").
        options: CallOptions = {"request_id": next(self._ids), **(opts or {})}
        request = current_request()
        if request is not None and CLIENT_CAPABILITIES_META_KEY in (params or {}).get("_meta", {}):
            # The modern era: each request says for itself what its caller's client can do.
            options["headers"] = {**options.get("headers", {}), **request.param_headers}
            params = _declare(params or {}, request)
            # The SDK's way waits for all that is sent in this session; `abandon` does not.
            options["cancel_on_abandon"] = not self.ends_by_closing
        try:
            result = await super().send_raw_request(method, params, options, **more)
        except MCPError as error:
            if not fits(error.error.data, MAX_DATA):
                error.error.data = None
            raise
        finally:
            if (sent := options["request_id"]) in self._unanswered:
                self._unanswered[sent] = None
        if request is not None:
            result = take_large_result(request, options["request_id"]) or result
        if not fits(result.get("_meta"), _MAX_META):
            raise MCPError(code=TOO_LARGE, message="The answer has too much metadata.")
        rest = _rest_of(result, method)
        # Of a completion each value is cut or left out, which are texts.
        if not _is_modest(rest, math.inf if method == "completion/complete" else MAX_UNASKED):
            code = ASKS_TOO_MUCH if "inputRequests" in rest else TOO_LARGE
            raise MCPError(code=code, message="The answer says too much beside what is asked for.")
        entries = result.get(_LISTS.get(method, ""))
        if isinstance(entries, list):
            self.entries = entries
            return {**result, _LISTS[method]: []}
        blocks = result.get(_BLOCKS.get(method, ""))
        most = _MAX_PARTS + _PARTS * self._max_blocks
        if isinstance(blocks, list) and (
            len(blocks) > self._max_blocks
            or count_values(blocks, most) > most
            or not all(map(_has_audience, blocks))
        ):
            raise MCPError(code=TOO_LARGE, message="The answer has too many blocks.")
        return result


def _rest_of(result: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Return what stands in a result beside its list, blocks, structure and metadata."""
    large = {"_meta", "structuredContent", _LISTS.get(method), _BLOCKS.get(method)}
    rest = {key: each for key, each in result.items() if key not in large}
    if isinstance(asked := rest.get("inputRequests"), dict):
        # Its names are the server's to choose, and could be those of what is not counted.
        rest["inputRequests"] = [*asked, *asked.values()]
    return rest


def _is_modest(said: object, most: float = MAX_UNASKED) -> bool:
    """Whether models of what a server says or asks are made in some milliseconds."""
    return fits(said, most) and count_values(said, _MAX_SAID, _PLAIN) <= _MAX_SAID


def _has_audience(block: object) -> bool:
    """Whether a block, or that in a message, is for no more than there are; each is tried often."""
    for part in (block, block.get("content")) if isinstance(block, dict) else ():
        annotations = part.get("annotations") if isinstance(part, dict) else None
        audience = annotations.get("audience") if isinstance(annotations, dict) else None
        if isinstance(audience, list) and len(audience) > _MAX_AUDIENCE:
            return False
    return True


def _declare(params: Mapping[str, Any], request: OutgoingRequest) -> dict[str, Any]:
    """Return the parameters of a modern request with what its own caller's client can do."""
    meta = {**params["_meta"], CLIENT_CAPABILITIES_META_KEY: {**request.capabilities}}
    asked: Mapping[str, Any] = (request.caller.meta or {}) if request.caller is not None else {}
    if LOG_LEVEL_META_KEY in asked:
        meta[LOG_LEVEL_META_KEY] = asked[LOG_LEVEL_META_KEY]
    return {**params, "_meta": meta}


class Session(ClientSession):
    """A session whose results are not validated against their schemas: the client does that."""

    def __init__(
        self,
        read: Any,
        write: Any,
        *,
        ids: Iterator[int] | None = None,
        max_blocks: int,
        **callbacks: Any,
    ) -> None:
        self.dispatcher = Dispatcher(read, write, ids=ids or count(1), max_blocks=max_blocks)
        super().__init__(dispatcher=self.dispatcher, client_info=CLIENT_INFO, **callbacks)

    async def validate_tool_result(self, name: str, result: CallToolResult) -> None:
        """Leave it to the client that gets the result."""

    async def connect(self, known: DiscoverResult | None, *, is_handshake: bool = False) -> None:
        """Agree on a protocol version.

        `known` is what the server has said of itself before, in the modern era.

        Raises:
            MCPError: the server speaks no version that we know.
        """
        if self.protocol_version is not None:
            return
        if known is not None:
            self.adopt(known)
        elif is_handshake:
            await self.initialize()
        else:
            await self._negotiate()

    async def _negotiate(self) -> None:
        try:
            await self.discover()
        except (MCPError, ValidationError, RuntimeError):
            try:
                await self.initialize()
            except MCPError as error:
                if error.code != UNSUPPORTED_PROTOCOL_VERSION:
                    raise
                # A program that was slow to start has taken the first question, and is modern.
                await self.discover()

    def was_said(self, error: MCPError) -> bool:
        """Whether the server wrote an error, and not our client in its place."""
        return not (error.code == CONNECTION_CLOSED and error.message == "Connection closed")


class _Waiting:
    """Which requests wait for their answers: how many of the other server, and which of ours.

    A server may still be working on one that nobody waits for any more, for which None stands. A
    program has one output for all of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.unanswered: dict[RequestId, OutgoingRequest | None] = {}

    def sent(self, message: JSONRPCRequest) -> None:
        request = current_request()
        if request is not None and len(self.unanswered) < _MAX_UNANSWERED:
            self.unanswered[message.id] = request

    def answered(self, message: JSONRPCResponse | JSONRPCError) -> None:
        # So many are not forgotten: others would be that are not among them.
        if message.id is not None and len(self.unanswered) < _MAX_UNANSWERED:
            self.unanswered.pop(coerce_request_id(message.id), None)

    def only(self) -> OutgoingRequest | None:
        """Return the one request that can be worked on; None if nobody can tell."""
        return next(iter(self.unanswered.values())) if len(self.unanswered) == 1 else None


class _Inbound(ObjectReceiveStream[Received]):
    def __init__(self, stream: Any, waiting: _Waiting) -> None:
        self._stream = stream
        self._waiting = waiting
        self.last_context: Context | None = None
        """The context in which the SDK goes on with what came last: that of whoever sent it."""

    async def receive(self) -> Received:
        while True:
            item: Received = await self._stream.receive()
            self.last_context = getattr(self._stream, "last_context", None)
            message = item.message if isinstance(item, SessionMessage) else None
            if isinstance(message, JSONRPCResponse | JSONRPCError):
                self._waiting.answered(message)
            if not isinstance(message, JSONRPCRequest | JSONRPCNotification):
                return item
            is_question = isinstance(message, JSONRPCRequest)
            if not fits(message.params, MAX_UNASKED) or (
                is_question and not _is_modest(message.params)
            ):
                continue
            if (request := self._waiting.only()) is not None:
                # What a program says belongs to its one request now, and perhaps not a line later.
                self.last_context = belonging_to(request, self.last_context or copy_context())
            if isinstance(message, JSONRPCNotification):
                return item
            if self._waiting.count < _MAX_WAITING:
                self._waiting.count += 1
                return item

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Outbound(ObjectSendStream[SessionMessage]):
    def __init__(self, stream: Any, waiting: _Waiting) -> None:
        self._stream = stream
        self._waiting = waiting

    async def send(self, item: SessionMessage) -> None:
        if isinstance(item.message, JSONRPCRequest):
            self._waiting.sent(item.message)
        try:
            await self._stream.send(item)
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                self._waiting.count -= 1

    async def send_eof(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._stream.aclose()
