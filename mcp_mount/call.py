"""Sends one request into the app in process and streams its response.

* The app runs in the caller's context: what middleware put into context variables is visible to
  the route. There is no socket, no HTTP client and no cookie jar.
* The response is pushed into a `Sink` while it is produced; the route waits while the sink does.
* A route that is to stop is told first (``http.disconnect``, and `OSError` from its ``send``, ASGI
  §"Disconnected Client"), and cancelled when it goes on for longer than `GRACE` seconds.
* As over REST, a response is complete before the route's background tasks are.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit

import anyio
from anyio.abc import TaskGroup
from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Scope

from mcp_mount.errors import InvalidArguments
from mcp_mount.routing import Routing

logger = logging.getLogger("mcp_mount")

Headers = list[tuple[bytes, bytes]]

Outcome = Literal["complete", "ended", "timeout", "broken"]
"""How a response came to its end: whole, at the sink's limit, at the deadline, or by a failure."""

GRACE: Final = 0.5
"""Seconds between telling a route that its client is gone and cancelling it."""

TOOL_KEY: Final = "mcp_mount.tool"
"""The scope's key that tells middleware: this request is an MCP call of the tool so named."""

BOUND_KEY: Final = "mcp_mount.bound"
"""The scope's key for where a call is bound; our endpoint, first of the routes, sees to it."""

# What the app's routing and middleware add to a scope is theirs to add again. These stay.
_CARRIED = ("http_version", "scheme", "root_path", "client", "server")

# A header of the MCP request reaches the route unless it speaks of that request's own message
# (RFC 9110 §6 and §8), of its connection (§7.6.1), of caching or ranges (§13, §14), or of the
# browser's page. The last four would let a request be routed to another operation.
_OWN_HEADERS = frozenset(
    b"accept accept-charset accept-encoding expect date digest repr-digest origin referer "
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade http2-settings "
    b"proxy-authenticate proxy-authorization range cookie cookie2 last-event-id "
    b"signature signature-input x-http-method-override x-http-method x-method-override "
    b"x-original-url x-rewrite-url".split()
)
# RFC 3986 §3.4, and `%` for what is encoded already.
_QUERY_CHARACTERS = "!$&'()*+,;=:@/?-._~%[]|"
_OWN_PREFIXES = (b"content-", b"if-", b"mcp-", b"sec-", b"access-control-")


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an operation, e.g. ``GET /items/3?full=true``.

    `path` is percent-encoded and relative to the application; `template` is the path of the
    operation that routing must find there (None: any), and `path_values` are the decoded values
    that routing must find in it. `headers` have lower-case names and replace those of the MCP
    request. `query_credentials` are the names of keys that are taken from its query.
    """

    method: str
    path: str
    template: str | None = None
    path_values: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes | None = None
    query_credentials: frozenset[str] = frozenset()


class Sink(Protocol):
    """Receives a response while it is produced."""

    @property
    def may_wait(self) -> bool:
        """Whether `write` may have to wait for the client."""

    async def start(self, status: int, headers: Headers) -> None:
        """Take the status and the headers, whose names are lower-case."""

    async def write(self, chunk: bytes) -> bool:
        """Take a part of the body; return False to end the response here."""


@dataclass(slots=True)
class Incoming:
    """The MCP request being served: what a call inherits, and what its tasks live in.

    `disconnect_ends_call` is false where the protocol says that a lost connection is no
    cancellation (handshake versions without sessions); the call then ends with its deadline.
    `named_no_tool` is set when the request calls a tool that is not there.
    """

    scope: Scope
    tasks: TaskGroup | None
    disconnect_ends_call: bool
    forward_cookies: bool = False
    named_no_tool: bool = False


incoming: ContextVar[Incoming | None] = ContextVar("mcp_mount_incoming", default=None)
"""The MCP request on whose behalf the current task runs; None under an in-memory client."""


class _Flag:
    """An event that most of the time nobody waits for: it costs next to nothing until then."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: anyio.Event | None = None

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        if self._event is None:
            self._event = anyio.Event()
            if self._is_set:
                self._event.set()
        await self._event.wait()


class _Discreet:
    """Keeps from a sink what an app in debug mode answers to an exception: the traceback.

    It looks like any other answer with status 500, so those of the app's own are kept back too.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._keeps = False

    @property
    def may_wait(self) -> bool:
        return self._sink.may_wait

    async def start(self, status: int, headers: Headers) -> None:
        self._keeps = status == 500
        if not self._keeps:
            await self._sink.start(status, headers)
            return
        await self._sink.start(status, [(b"content-type", b"text/plain; charset=utf-8")])
        await self._sink.write(_KEPT)

    async def write(self, chunk: bytes) -> bool:
        if not self._keeps:
            return await self._sink.write(chunk)
        logger.warning("Not shown to the client: %s", chunk.decode("utf-8", "replace"))
        return True


_KEPT = b"The app runs in debug mode, so this answer is not shown here. The server's log has it."


class AppCall:
    """One request on its way through the app. `run` is the task that the app runs in.

    It is `answered` when nothing more will reach the sink, and `done` when the route has sent its
    last message or ended. What runs after that are background tasks.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        body: bytes | None,
        sink: Sink,
        on_answer: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Prepare the call; nothing happens before `run`.

        With `on_answer`, the call runs in its caller's own task: that is awaited as soon as nothing
        more will reach the sink, and what cancels the task reaches the route at once.
        """
        self.answered = _Flag()
        self.done = _Flag()
        self.outcome: Outcome = "timeout"
        self._app = app
        self._scope = scope
        self._request: list[Message] = [
            {"type": "http.request", "body": body or b"", "more_body": False}
        ]
        self._sink = sink
        self._is_started = False
        self._gone = _Flag()
        self._delivery: anyio.CancelScope | None = None
        # Whoever ends the whole request ends the route by `leave`, so that it is told first.
        self._cancellation = anyio.CancelScope(shield=on_answer is None)
        self._on_answer = on_answer

    async def run(self) -> None:
        """Run the app. What it raises is logged here and reaches no client."""
        served = incoming.get()
        if served is not None and not served.disconnect_ends_call:
            # Whoever cancels a call that the route makes in its turn means it.
            incoming.set(replace(served, disconnect_ends_call=True))
        try:
            with self._cancellation:
                await self._app(self._scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - logged
            # What is raised after we left follows from that, as after a client's disconnect.
            left = self._gone.is_set() and not self.done.is_set()
            self._log(logging.DEBUG if left else logging.ERROR)
        except anyio.get_cancelled_exc_class():
            # Either the request is over, or the app let out the end of a task it had waited for.
            await anyio.lowlevel.checkpoint_if_cancelled()
            self._log(logging.ERROR)
        finally:
            if not self._gone.is_set():
                # Only the last message of the body tells that a response is whole.
                self.outcome = "broken"
            self.answered.set()
            self.done.set()
            # It may lead back here; nothing is left for the garbage collector to find.
            self._on_answer = None

    def hang_up(self) -> None:
        """Tell the route that its client is gone; nothing more reaches the sink."""
        self._gone.set()
        if self._delivery is not None:
            self._delivery.cancel()

    async def leave(self) -> None:
        """Hang up, wait briefly, then cancel the route.

        A route that has sent its whole response is left to its background tasks.
        """
        self.hang_up()
        with anyio.move_on_after(GRACE, shield=True):
            await self.done.wait()
            return
        self._cancellation.cancel()
        with anyio.move_on_after(GRACE, shield=True):
            # A route in a worker thread cannot be interrupted; its task ends with the thread.
            await self.done.wait()

    async def leave_at(self, deadline: float) -> None:
        """Leave the route when `deadline` (of the event loop's clock) comes before its response."""
        try:
            with anyio.CancelScope(deadline=deadline):
                await self.answered.wait()
        finally:
            await self.leave()

    async def _receive(self) -> Message:
        if self._request:
            return self._request.pop()
        # `is_disconnected()` asks without waiting, in a cancelled scope.
        if not self._gone.is_set():
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        """Take a message. Early hints and trailers have no place in a result.

        Raises:
            OSError: the client is gone, and more of the body is to come. (A response of one part is
                over with that part, so there is nothing to stop.)
        """
        if message["type"] == "http.response.start":
            await self._start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            await self._write(message.get("body", b""), more=message.get("more_body", False))

    async def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        if self._is_started:
            raise RuntimeError("The response was started twice.")
        self._is_started = True
        if not self._gone.is_set():
            await self._sink.start(status, [*headers])

    async def _write(self, chunk: bytes, *, more: bool) -> None:
        if not self._is_started:
            raise RuntimeError("The response's body came before its start.")
        wanted = not self._gone.is_set()
        if wanted and chunk:
            wanted = await self._deliver(bytes(chunk))
        if wanted and more:
            # A route that never waits must not keep its deadline, or anybody else, from their turn.
            await anyio.lowlevel.checkpoint()
            return
        if not self._gone.is_set():
            self.outcome = "complete" if wanted else "ended"
            self._gone.set()
            self.answered.set()
            if self._on_answer is not None:
                await self._on_answer()
        if more:
            raise OSError("The client is gone.")
        self.done.set()
        # Whoever ends the whole request ends its background tasks too, as over REST.
        self._cancellation.shield = False

    async def _deliver(self, chunk: bytes) -> bool:
        """Push a chunk into the sink; False when it had enough, or the client went meanwhile."""
        if not self._sink.may_wait:
            return await self._sink.write(chunk)
        # The client may go while the sink waits for it: the route is then told, not kept waiting.
        with anyio.CancelScope() as self._delivery:
            return await self._sink.write(chunk)
        return False

    def _log(self, level: int) -> None:
        logger.log(level, "Exception in ASGI application", exc_info=True)


class Caller(Protocol):
    """Sends a request to where the operations are."""

    async def __call__(self, request: Request, sink: Sink, *, tool: str, timeout: float) -> Outcome:
        """Send `request`, push the response into `sink`; return how that ended.

        Raises:
            InvalidArguments: the request would reach another operation than the one it is for.
        """

    def follow(self, request: Request, status: int, location: str) -> Request | None:
        """Return the request that a redirect asks for; None where it leads elsewhere."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a call was bound when it left for the app's middleware.

    `route` is the one entry of the app's routes that takes its path, where that is certain.
    `may_reach` tells whether a request that middleware has sent elsewhere may go there.
    """

    app: object
    path: str
    route: BaseRoute | None
    may_reach: Callable[[Scope], bool]


class Catalogue(Protocol):
    """What is offered of an application."""

    @property
    def document(self) -> object:
        """Its OpenAPI document when tools were last looked for; another object: other routes."""

    def offers(self, method: str, template: str) -> bool:
        """Whether an operation is a tool, e.g. that of ``GET`` and ``"/items/{item_id}"``."""


class InProcess:
    """Calls an application in this process, on behalf of the current MCP request.

    A class because it remembers what it learned of the application's routing.
    """

    def __init__(self, app: FastAPI, catalogue: Callable[[], Catalogue]) -> None:
        """Take the application, to which routes may still be added, and what is offered of it."""
        self.app = app
        self._catalogue = catalogue
        self._routing = Routing(app)

    async def __call__(self, request: Request, sink: Sink, *, tool: str, timeout: float) -> Outcome:
        """Send `request` through the app's whole middleware stack.

        Args:
            request: What to send.
            sink: Receives the response while it is produced.
            tool: The tool's name, for middleware (`TOOL_KEY`).
            timeout: Seconds until the response must be complete.

        Returns:
            How the response came to its end.

        Raises:
            InvalidArguments: a path value would lead to another operation.
        """
        call = self.prepare(request, sink, tool=tool)
        deadline = anyio.current_time() + timeout
        served = incoming.get()
        if served is not None and served.tasks is not None and _is_begun(call, served.tasks):
            is_cancellable = served.disconnect_ends_call
            return await _answer(call, served.tasks, deadline, is_cancellable=is_cancellable)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run)
            await _answer(call, tasks, deadline)
        return call.outcome

    def prepare(
        self,
        request: Request,
        sink: Sink,
        *,
        tool: str,
        on_answer: Callable[[], Awaitable[None]] | None = None,
    ) -> AppCall:
        """Return the call that sends `request` on behalf of the current MCP request.

        Raises:
            InvalidArguments: a path value would lead to another operation.
        """
        if self.app.debug:
            sink = _Discreet(sink)
        served = incoming.get()
        outer = served.scope if served is not None else _NOWHERE
        cookies = served is not None and served.forward_cookies
        scope = _inner_scope(outer, request, tool, cookies=cookies)
        template, values = request.template, request.path_values
        if template is not None and not self._routing.is_as_meant(
            scope, template, values, self._catalogue().document
        ):
            given = ", ".join(f"{name}={value!r}" for name, value in values.items())
            message = f"No such path: {given or template} leads to another operation, or to none."
            raise InvalidArguments(message)
        known = self._routing.known_route(request.method, template) if template else None
        scope[BOUND_KEY] = Bound(self.app, scope["path"], known, self._may_reach)
        return AppCall(self.app, scope, request.body, sink, on_answer)

    def _may_reach(self, scope: Scope) -> bool:
        """Whether a request, as middleware left it, reaches a tool's operation, or nothing."""
        found, template = self._routing.destination({**scope, BOUND_KEY: None})
        if template is None:
            return not found
        return self._catalogue().offers(scope["method"], template)

    def follow(self, request: Request, status: int, location: str) -> Request | None:
        """Return the request that a redirect inside the app asks for (RFC 9110 §15.4).

        It may lead to the same path, with or without a slash behind it, or to an operation that is
        a tool: what is left out of the tools is not reached by a detour either.
        """
        served = incoming.get()
        outer = served.scope if served is not None else _NOWHERE
        host = next((value for name, value in outer["headers"] if name == b"host"), b"")
        try:
            target = urlsplit(urljoin(request.path, location))
        except ValueError:
            # For example an address whose bracket never closes.
            return None
        if target.netloc:
            is_elsewhere = target.netloc.encode("latin-1", "replace") != host
        else:
            # Browsers take "///host", "http:/host" and "/\\host" for the name of a host.
            is_elsewhere = bool(target.scheme) or location.startswith("//") or "\\" in location
        if is_elsewhere or target.scheme not in {"", "http", "https"}:
            return None
        path = target.path or "/"
        if not (path.startswith("/") and path.isascii()):
            return None
        keeps_method = status in {307, 308} or request.method == "GET"
        following = Request(
            method=request.method if keeps_method else "GET",
            path=route_path({**outer, "path": path}),
            query=quote(target.query, safe=_QUERY_CHARACTERS),
            headers=request.headers if keeps_method else _without_body(request.headers),
            body=request.body if keeps_method else None,
        )
        template = request.template if keeps_method else None
        return following if self._is_offered(outer, following, template) else None

    def _is_offered(self, outer: Scope, request: Request, own: str | None) -> bool:
        """Whether a request leads to a tool's operation, or to the operation `own` once more.

        Where no route has the path, it is the app's to add or take a slash.
        """
        path = request.path
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        for each in (path, other or "/"):
            scope = _inner_scope(outer, replace(request, path=each), "")
            found, template = self._routing.destination(scope)
            if found:
                offered = template and self._catalogue().offers(request.method, template)
                return template is not None and (template == own or bool(offered))
        return False


def _without_body(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name, value) for name, value in headers if not name.startswith(b"content-"))


def _is_begun(call: AppCall, tasks: TaskGroup) -> bool:
    """Begin the call among the request's tasks; False where the request has ended already.

    So it has for a client that did not wait for its session's answer, and for work that a tool left
    behind.
    """
    try:
        tasks.start_soon(call.run)
    except RuntimeError:
        return False
    return True


async def _answer(
    call: AppCall, tasks: TaskGroup, deadline: float, *, is_cancellable: bool = True
) -> Outcome:
    """Wait for the answer to a call that runs among `tasks`, which also see to its end.

    When this is cancelled the call ends too, or at its deadline where `is_cancellable` is false.
    """
    try:
        with anyio.CancelScope(deadline=deadline):
            await call.answered.wait()
    except anyio.get_cancelled_exc_class():
        if not call.done.is_set():
            tasks.start_soon(call.leave_at, -math.inf if is_cancellable else deadline)
        raise
    if not call.done.is_set():
        # Without waiting: a route that does not listen must not hold the result back.
        call.hang_up()
        tasks.start_soon(call.leave)
    return call.outcome


# A request that came over no transport: FastMCP's in-memory client, or a call of `Tool.run`.
_NOWHERE: Scope = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "scheme": "http",
    "root_path": "",
    "path": "/",
    "client": None,
    "server": None,
    "headers": [(b"host", b"localhost")],
}


def _inner_scope(outer: Scope, request: Request, tool: str, *, cookies: bool = False) -> Scope:
    raw_path = request.path.encode("ascii")
    prefix = _mount_prefix(outer)
    own: Scope = {
        "type": "http",
        # Whatever the server is: here `send` raises `OSError` when the client is gone.
        "asgi": {**outer.get("asgi", {"version": "3.0"}), "spec_version": "2.4"},
        "method": request.method,
        "path": prefix + unquote(request.path),
        "raw_path": prefix.encode() + raw_path,
        "query_string": _with_credentials(outer, request).encode("ascii"),
        "headers": [*_forwarded(outer["headers"], request.headers, cookies=cookies)],
        TOOL_KEY: tool,
    }
    state = {"state": dict(outer["state"])} if "state" in outer else {}
    return {**{key: outer[key] for key in _CARRIED if key in outer}, **own, **state}


def _with_credentials(outer: Scope, request: Request) -> str:
    """Return the query, with the keys that the caller sent in the MCP request's own."""
    if not request.query_credentials:
        return request.query
    sent = parse_qsl(outer.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    keys = urlencode([pair for pair in sent if pair[0].lower() in request.query_credentials])
    return "&".join(part for part in (request.query, keys) if part)


def _mount_prefix(outer: Scope) -> str:
    """Return what stands before the application's own paths, as the server writes them."""
    path: str = outer["path"]
    return path[: len(path) - len(route_path(outer))]


def route_path(scope: Scope) -> str:
    """Return the path that the application's routes are matched with, as Starlette does.

    Some servers write ``root_path`` before ``path``, some leave it out, and both are right.
    """
    path: str = scope["path"]
    inside = path.removeprefix(scope.get("root_path", ""))
    return inside if not inside or inside.startswith("/") else path


def _forwarded(
    outer: Iterable[tuple[bytes, bytes]], own: Iterable[tuple[bytes, bytes]], *, cookies: bool
) -> Iterable[tuple[bytes, bytes]]:
    """Yield the headers that the caller could have sent to the route itself, then `own`."""
    own = list(own)
    # What `Connection` names stays, unlike in a proxy: the connection ends here, at the app, and a
    # caller could take away what a proxy has added, such as its address, by naming it.
    replaced = {name for name, _ in own}
    for name, value in outer:
        if name in replaced or name.startswith(_OWN_PREFIXES):
            continue
        if name not in _OWN_HEADERS or (cookies and name == b"cookie"):
            yield name, value
    yield from own
