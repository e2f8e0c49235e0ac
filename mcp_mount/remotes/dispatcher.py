"""Sends the requests of a session, and bounds what comes back.

* Entries of lists are handed over as they came, to be read one by one: a bad one costs no other.
* Of the server's own requests a bounded number wait for their answers: it may never read them.
* What it says by itself, and asks, is dropped where it is large.
"""

import math
from collections.abc import Iterator, Mapping
from contextvars import Context, copy_context
from typing import Any, Final

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.dispatcher import CallOptions, OnRequest, coerce_request_id
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    LOG_LEVEL_META_KEY,
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from mcp_mount.openapi.sizes import fits
from mcp_mount.remotes.bounds import MAX_DATA, MAX_PAGE, MAX_UNASKED
from mcp_mount.remotes.large import take_large_result
from mcp_mount.remotes.outgoing import OutgoingRequest, belonging_to, current_request
from mcp_mount.remotes.results import LISTS, check_result, is_modest

_MAX_WAITING: Final = 100
"""Requests of the other server that wait for their answers."""

_MAX_UNANSWERED: Final = 10_000
"""Requests of ours that are remembered; a server need not answer those that are cancelled."""

Received = SessionMessage | Exception


class Dispatcher(JSONRPCDispatcher[TransportContext]):
    """Sends requests and bounds what comes back.

    Attributes:
        ended: Set when nothing comes any more.
    """

    def __init__(
        self,
        read: Any,
        write: Any,
        *,
        ids: Iterator[int],
        max_blocks: int,
        ends_by_closing: bool,
    ) -> None:
        """Take the streams, ids for requests, and what bounds the results.

        `ends_by_closing` is whether a modern request is cancelled by the end of its connection.
        """
        self._waiting = _Waiting()
        super().__init__(_Inbound(read, self._waiting), _Outbound(write, self._waiting))
        self.ended = anyio.Event()
        self._entries: list[Any] | None = None
        self._ids = ids
        self._max_blocks = max_blocks
        self._ends_by_closing = ends_by_closing

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

    def take_entries(self) -> list[Any] | None:
        """Return those of the list that came last, as the server wrote them, once.

        None if it is no list.
        """
        entries, self._entries = self._entries, None
        return entries

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Send a request; return its result without the entries of a list.

        Raises:
            MCPError: as the SDK's, or of `check_result`.
        """
        # A session may last as long as a call, and ids must not come again (MCP "input_required").
        options: CallOptions = {"request_id": next(self._ids), **(opts or {})}
        request = current_request()
        if request is not None:
            request.id = options["request_id"]
            request.max_bytes = MAX_PAGE if method in LISTS else math.inf
        if request is not None and CLIENT_CAPABILITIES_META_KEY in (params or {}).get("_meta", {}):
            # The modern era: each request says for itself what its caller's client can do.
            options["headers"] = {**options.get("headers", {}), **request.param_headers}
            params = _declare(params or {}, request)
            # The SDK's way waits for all that is sent in this session; `abandon` does not.
            options["cancel_on_abandon"] = not self._ends_by_closing
        try:
            result = await super().send_raw_request(method, params, options, **more)
        except MCPError as error:
            if not fits(error.error.data, MAX_DATA):
                error.error.data = None
            raise
        finally:
            self._waiting.give_up(options["request_id"])
        if request is not None:
            result = take_large_result(request, options["request_id"]) or result
        check_result(result, method, self._max_blocks)
        if method not in LISTS:
            return result
        entries = result.get(LISTS[method])
        self._entries = entries if isinstance(entries, list) else None
        return result if self._entries is None else {**result, LISTS[method]: []}


def _declare(params: Mapping[str, Any], request: OutgoingRequest) -> dict[str, Any]:
    """Return the parameters of a modern request with what its own caller's client can do."""
    meta = {**params["_meta"], CLIENT_CAPABILITIES_META_KEY: {**request.capabilities}}
    asked: Mapping[str, Any] = (request.caller.meta or {}) if request.caller is not None else {}
    if LOG_LEVEL_META_KEY in asked:
        meta[LOG_LEVEL_META_KEY] = asked[LOG_LEVEL_META_KEY]
    return {**params, "_meta": meta}


class _Waiting:
    """Which requests wait for their answers: how many of the other server, and which of ours.

    A server may still be working on one that nobody waits for any more, for which None stands. A
    program has one output for all of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self._unanswered: dict[RequestId, OutgoingRequest | None] = {}

    def sent(self, message: JSONRPCRequest) -> None:
        request = current_request()
        if request is not None and len(self._unanswered) < _MAX_UNANSWERED:
            self._unanswered[message.id] = request

    def give_up(self, sent: RequestId) -> None:
        """Take note that nobody waits for the answer any more."""
        if sent in self._unanswered:
            self._unanswered[sent] = None

    def answered(self, message: JSONRPCResponse | JSONRPCError) -> None:
        # So many are not forgotten: others would be that are not among them.
        if message.id is not None and len(self._unanswered) < _MAX_UNANSWERED:
            self._unanswered.pop(coerce_request_id(message.id), None)

    def only(self) -> OutgoingRequest | None:
        """Return the one request that can be worked on; None if nobody can tell."""
        return next(iter(self._unanswered.values())) if len(self._unanswered) == 1 else None


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
                is_question and not is_modest(message.params)
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

    async def aclose(self) -> None:
        await self._stream.aclose()
