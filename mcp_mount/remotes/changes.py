"""Tells clients that there is something else to list, where they have a stream.

* The handshake versions: on the stream of a session (MCP "List Changed Notification").
* 2026-07-28: on the streams that clients ask for with ``subscriptions/listen``.

Elsewhere a list says for how long it can be kept, which is short.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import anyio
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ServerEvent,
    ToolsListChanged,
    event_to_notification,
)
from mcp_types import INVALID_REQUEST, SubscriptionsListenRequestParams, SubscriptionsListenResult
from starlette.requests import Request

from mcp_mount.backends.request import request_context
from mcp_mount.errors import Busy
from mcp_mount.shutdown import shutdown

TTL: Final = 5_000
"""Milliseconds for which a client can keep a list."""

_LISTS: Final[tuple[CacheableMethod, ...]] = (
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
)
_MOST_OF_A_CALLER: Final = 20
"""Streams that one caller can ask for at once."""

_PAUSE: Final = 0.002
"""Seconds without news for each line that was told: ten times as long as it takes to write one."""

_AT_ONCE: Final = 20
"""Listeners that are told before others run; each then writes to its client."""


class _Feed:
    """Who is told in one event loop: the SDK's bus, which has one thread.

    The more listen, the less often they are told: what changes meanwhile is told once.
    """

    def __init__(self) -> None:
        self.listen = ListenHandler(self)
        self.sessions: set[str] = set()
        self.callers: Counter[str] = Counter()
        self._listeners: dict[object, Callable[[ServerEvent], None]] = {}
        self._waiting: dict[ServerEvent, None] = {}
        self._is_telling = False

    async def publish(self, event: ServerEvent) -> None:
        """Tell of an event: see `SubscriptionBus`."""
        self.tell([event])

    def tell(self, events: Iterable[ServerEvent]) -> None:
        self._waiting.update(dict.fromkeys(events))
        if self._waiting and not self._is_telling:
            self._is_telling = True
            events, self._waiting = [*self._waiting], {}
            self._tell_next(events, iter([*self._listeners]))
            pause = _PAUSE * len(events) * len(self._listeners)
            asyncio.get_running_loop().call_later(pause, self._go_on)

    def _tell_next(self, events: list[ServerEvent], listeners: Iterator[object]) -> None:
        """Tell some of the listeners, and the rest in the next turn of the event loop."""
        some = [*islice(listeners, _AT_ONCE)]
        for token in some:
            for event in events:
                # One that has gone meanwhile would not bear it.
                if (listener := self._listeners.get(token)) is not None:
                    listener(event)
        if some:
            asyncio.get_running_loop().call_soon(self._tell_next, events, listeners)

    def _go_on(self) -> None:
        self._is_telling = False
        self.tell(())

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Tell `listener` of events, until what is returned is called: see `SubscriptionBus`."""
        token = object()
        self._listeners[token] = listener

        def unsubscribe() -> None:
            self._listeners.pop(token, None)

        return unsubscribe


class ListChanges:
    """Tells the clients of one server."""

    def __init__(self, callers: Callable[[Request], Iterable[str]]) -> None:
        """Take what returns whom a request counts against; see `CallPolicy`."""
        self._feeds: dict[asyncio.AbstractEventLoop, _Feed] = {}
        self._callers_of = callers

    def offer(self, low_level: Server[Any]) -> None:
        """Have a server's clients told."""
        low_level.add_request_handler(
            "subscriptions/listen", SubscriptionsListenRequestParams, self._listen
        )
        # Around FastMCP's own, for which a notification is over when it has been heard.
        low_level.middleware.insert(0, self._follow)
        low_level.cache_hints |= dict.fromkeys(_LISTS, CacheHint(ttl_ms=TTL, scope="private"))

    def tell(self, *, tools: bool, resources: bool, prompts: bool) -> None:
        """Tell whoever has a stream, in whichever event loop, what there is to list anew."""
        kinds = ((ToolsListChanged, tools), (ResourcesListChanged, resources))
        events = [kind() for kind, is_new in (*kinds, (PromptsListChanged, prompts)) if is_new]
        for loop, feed in [*self._feeds.items()] if events else ():
            loop.call_soon_threadsafe(feed.tell, events)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the clients of this event loop while this lasts."""
        loop, feed = asyncio.get_running_loop(), _Feed()
        self._feeds[loop] = feed
        streams = shutdown.get().streams
        streams.add(feed.listen.close)
        try:
            yield
        finally:
            streams.discard(feed.listen.close)
            feed.listen.close()
            del self._feeds[loop]

    async def _listen(
        self, context: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Answer ``subscriptions/listen`` with a stream.

        Raises:
            MCPError: the app's lifespan is not run, or the caller has too many of them.
        """
        feed = self._feeds.get(asyncio.get_running_loop())
        if feed is None:
            raise MCPError(INVALID_REQUEST, "Subscriptions need the app's lifespan: run it.")
        callers = self._callers()
        if any(feed.callers[each] >= _MOST_OF_A_CALLER for each in callers):
            raise MCPError(INVALID_REQUEST, "There are too many subscriptions: end one of them.")
        feed.callers.update(callers)
        # Nobody tells us when what a resource holds is another.
        lists = params.notifications.model_copy(update={"resource_subscriptions": None})
        try:
            return await feed.listen(context, params.model_copy(update={"notifications": lists}))
        finally:
            feed.callers -= Counter(callers)

    async def _follow(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Tell a client that has opened a session of changes, until that ends."""
        result = await call_next(ctx)
        if ctx.method != "notifications/initialized":
            return result
        feed, session = self._feeds.get(asyncio.get_running_loop()), _session_of(ctx)
        if feed is None or session is None or session in feed.sessions:
            return result
        feed.sessions.add(session)
        send, received = anyio.create_memory_object_stream[None](1)
        waiting: dict[ServerEvent, None] = {}

        def remember(event: ServerEvent) -> None:
            waiting[event] = None
            if not received.statistics().current_buffer_used:
                send.send_nowait(None)

        leave = feed.subscribe(remember)
        try:
            async for _ in received:
                while waiting:
                    event = next(iter(waiting))
                    del waiting[event]
                    await ctx.session.send_notification(event_to_notification(event, {}))
        finally:
            leave()
            feed.sessions.discard(session)
            send.close()
            received.close()
        return result

    def _callers(self) -> list[str]:
        """Return whom a stream counts against; one name where a client is within this process.

        Raises:
            MCPError: too many credentials are shown, or the rate limit cannot tell who calls.
        """
        ctx = request_context.get()
        try:
            return [*self._callers_of(ctx.request)] if ctx is not None else [""]
        except Busy as busy:
            raise MCPError(INVALID_REQUEST, str(busy)) from None


def _session_of(context: ServerRequestContext[Any, Any]) -> str | None:
    """Return which session a message belongs to: of HTTP, or of HTTP with SSE."""
    request = context.request
    if request is None:
        return None
    found = request.headers.get("mcp-session-id") or request.query_params.get("session_id")
    return str(found) if found else None
