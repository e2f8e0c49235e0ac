"""The messages of a session in both directions, and which requests wait for their answers.

* Of the server's own requests a bounded number wait for theirs: it may never read them.
* What it says by itself, and asks, is dropped where it is large.
"""

from contextvars import Context, copy_context
from typing import Any, Final

from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.message import SessionMessage
from mcp_types import (
    JSONRPCError,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from mcp_mount.remotes.bounds import MAX_UNASKED
from mcp_mount.remotes.outgoing import OutgoingRequest, belonging_to, current_request
from mcp_mount.remotes.results import is_modest
from mcp_mount.remotes.text import fits

_MAX_WAITING: Final = 100
"""Requests of the other server that wait for their answers."""

_MAX_UNANSWERED: Final = 10_000
"""Requests of ours that are remembered; a server need not answer those that are cancelled."""

Received = SessionMessage | Exception


class Waiting:
    """Which requests wait for their answers: how many of the other server, and which of ours.

    A server may still be working on one that nobody waits for any more, for which None stands. A
    program has one output for all of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self._unanswered: dict[RequestId, OutgoingRequest | None] = {}

    def sent(self, message: JSONRPCRequest) -> None:
        """Remember a request of ours."""
        request = current_request()
        if request is not None and len(self._unanswered) < _MAX_UNANSWERED:
            self._unanswered[message.id] = request

    def is_over(self, sent: RequestId) -> None:
        """Take note that nobody waits for the answer any more."""
        if sent in self._unanswered:
            self._unanswered[sent] = None

    def answered(self, message: JSONRPCResponse | JSONRPCError) -> None:
        """Forget a request of ours."""
        # So many are not forgotten: others would be that are not among them.
        if message.id is not None and len(self._unanswered) < _MAX_UNANSWERED:
            self._unanswered.pop(coerce_request_id(message.id), None)

    def only(self) -> OutgoingRequest | None:
        """Return the one request that can be worked on; None if nobody can tell."""
        return next(iter(self._unanswered.values())) if len(self._unanswered) == 1 else None


class Inbound(ObjectReceiveStream[Received]):
    """What comes of a server, without what it may not say."""

    def __init__(self, stream: Any, waiting: Waiting) -> None:
        self._stream = stream
        self._waiting = waiting
        self.last_context: Context | None = None
        """The context in which the SDK goes on with what came last: that of whoever sent it."""

    async def receive(self) -> Received:
        """Return what comes next that is not dropped."""
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
        """End the stream."""
        await self._stream.aclose()


class Outbound(ObjectSendStream[SessionMessage]):
    """What goes to a server."""

    def __init__(self, stream: Any, waiting: Waiting) -> None:
        self._stream = stream
        self._waiting = waiting

    async def send(self, item: SessionMessage) -> None:
        """Send a message."""
        if isinstance(item.message, JSONRPCRequest):
            self._waiting.sent(item.message)
        try:
            await self._stream.send(item)
        finally:
            if isinstance(item.message, JSONRPCResponse | JSONRPCError):
                self._waiting.count -= 1

    async def aclose(self) -> None:
        """End the stream."""
        await self._stream.aclose()
