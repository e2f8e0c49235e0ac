"""One request to another server: what it has with it, and what it meets on its way.

Requests of several callers go through one session. The SDK runs whatever a request leads to in the
context of who sent it, and so what belongs to one request is found there.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from fastmcp.server.dependencies import FastMCPRequestContext

from mcp_mount.shutdown import shutdown

Caller = FastMCPRequestContext

MAX_STRETCH: Final = 10
"""So many times its timeout a request can take whose server reports progress, or asks its user."""


@dataclass(slots=True, eq=False)
class OutgoingRequest:
    """A request to another server.

    Attributes:
        caller: The request that leads to it; None if none does.
        capabilities: What the caller's client can do, as the server is told in the modern era.
        param_headers: Headers of ``tools/call`` besides, e.g. ``{"Mcp-Param-Region": "eu"}``.
        max_bytes: Of its answer; a page of a list may have fewer than others.
        ends: The two ends of the response, or the end of a stream.
        is_too_large: Whether the response was cut off.
        large_result: The request's id and its result, where that was kept of a large answer.
        status: The HTTP status with which it was refused; None if it was not.
        failure: Why there is no response.
        reading: What waits for the next part of the response.
        resumed: How often its stream was resumed.
        id: Under which it was sent last; None before.
        is_abandoned: Whether nobody waits for it any more.
        scope: What ends it when the server is silent for too long.
        seconds: How long it may be silent.
        latest: When it ends in any case, in the event loop's time.
        questions: How many wait for its user.
        asked: How many its server has asked.
        lines: How many lines of its server's log wait for its client.
        is_shut_down: Whether it was ended as our own server stops.
    """

    caller: Caller | None = None
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    param_headers: Mapping[str, str] = field(default_factory=dict)
    max_bytes: float = math.inf
    ends: bytes | bytearray = b""
    is_too_large: bool = False
    large_result: tuple[Any, dict[str, Any] | None] = (None, None)
    status: int | None = None
    failure: Exception | None = None
    reading: anyio.CancelScope | None = None
    resumed: int = 0
    id: Any = None
    is_abandoned: bool = False
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    seconds: float = math.inf
    latest: float = math.inf
    questions: int = 0
    asked: int = 0
    lines: int = 0
    is_shut_down: bool = False

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """End the request when the server is silent for so many seconds, or ours stops.

        Raises:
            TimeoutError: it has been ended.
        """
        now = anyio.current_time()
        self.seconds, self.latest = seconds, now + MAX_STRETCH * seconds
        self.scope = anyio.CancelScope(deadline=now + seconds)
        endings = shutdown.get().endings
        endings.add(self._shut_down)
        try:
            with self.scope:
                yield
        finally:
            endings.discard(self._shut_down)
        if self.scope.cancelled_caught:
            raise TimeoutError

    def _shut_down(self) -> None:
        self.is_shut_down = True
        self.scope.cancel()

    def extend(self) -> None:
        """Go on: the server has said that it works on it."""
        if self.questions:
            # It waits for the user, who has all the time that there is.
            return
        self.scope.deadline = min(anyio.current_time() + self.seconds, self.latest)

    @contextmanager
    def waiting_for_user(self) -> Iterator[None]:
        """Leave a user the time that there is; the server waits for us.

        Nobody is asked for longer, also where the request itself has ended before.

        Raises:
            TimeoutError: there is no more time.
        """
        self.scope.deadline = self.latest
        self.questions += 1
        try:
            with anyio.fail_after(self.latest - anyio.current_time()):
                yield
        finally:
            self.questions -= 1
            self.extend()

    def abandon(self) -> None:
        """End the connection, which a server that was told of a cancellation may keep open."""
        self.is_abandoned = True
        if self.reading is not None:
            self.reading.cancel()

    @property
    def is_named(self) -> bool:
        """Whether the response names it: its server has read it, and may have done what it says."""
        return re.search(rb'"id"\s*:\s*"?%d\b' % self.id, self.ends) is not None

    def begin(self) -> None:
        """Forget what it has met: it is sent once more."""
        self.ends, self.is_too_large, self.status, self.failure = b"", False, None, None
        self.large_result = None, None


_current: ContextVar[OutgoingRequest | None] = ContextVar("mcp_mount_outgoing", default=None)


@contextmanager
def sending(request: OutgoingRequest) -> Iterator[OutgoingRequest]:
    """Have what is sent meanwhile belong to a request, which is yielded."""
    token = _current.set(request)
    try:
        yield request
    finally:
        _current.reset(token)


def current_request() -> OutgoingRequest | None:
    """Return the request in whose context this runs; None where a server speaks by itself."""
    return _current.get()


def belonging_to(request: OutgoingRequest, context: Context) -> Context:
    """Return a context like this one in which a request is the current one, if none is yet."""
    if context.get(_current) is not None:
        return context
    own = context.copy()
    own.run(_current.set, request)
    return own
