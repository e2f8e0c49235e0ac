"""What one call may take, how many may run at once, and how often a caller may call."""

import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import principal_components
from starlette.requests import Request

from mcp_mount.errors import Busy, MountError
from mcp_mount.loops import PerLoop

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.storage import Storage
    from limits.strategies import RateLimiter

logger = logging.getLogger("mcp_mount")

_WAIT: Final = 1.0
"""Seconds that a call waits for its turn before it is told to come back."""

_MOST_CONNECTIONS: Final = 32
"""To the store of a rate limit, from one process; calls wait for one, as for a place."""

_NAMESPACE: Final = "mcp_mount"
"""What the keys in the store begin with, which other applications may use too."""

_PLACES: Final = (("header", "authorization"), ("header", "x-api-key"))
"""Where credentials are looked for, whatever the app's document says."""

_MOST_CREDENTIALS: Final = 16
"""Each is a question to the store, and whoever calls chooses how many headers there are."""

_LARGEST_REQUEST: Final = 4 * 1024 * 1024
"""Bytes; the MCP SDK refuses more than this, and FastMCP has no option to say otherwise."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What calls may take before they are ended, or refused.

    Attributes:
        timeout: Seconds until the response must be complete.
        max_bytes: Bytes of the response's body.
        max_items: Events of a Server-Sent Events stream, or lines of JSON Lines.
        max_concurrency: Calls that may run at once in this process (in one event loop, where there
            are several); one more waits for a second, then gets an error that says to try again.
            For all tools together, or for one tool alone where its mark sets it.
        max_request_bytes: Bytes of an MCP request; a larger one is answered with HTTP 413.
    """

    timeout: float = 60.0
    max_bytes: int = 10 * 1024 * 1024
    max_items: int = 1_000
    max_concurrency: int = 1_000
    max_request_bytes: int = _LARGEST_REQUEST

    def __post_init__(self) -> None:
        """Refuse limits under which no call could succeed.

        Raises:
            ValueError: a limit is not a positive, finite number (whole, but for `timeout`), or
                `max_request_bytes` is more than 4 MiB.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            kind, what = (int | float, "number") if each.name == "timeout" else (int, "integer")
            number = isinstance(value, kind) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value > 0):
                message = f"Limits.{each.name} must be a positive {what}, not {value!r}."
                raise ValueError(message)
        if self.max_request_bytes > _LARGEST_REQUEST:
            message = f"Limits.max_request_bytes can be {_LARGEST_REQUEST} at the most."
            raise ValueError(message)

    def overridden(self, marked: Mapping[str, Any]) -> "Limits":
        """Return these limits with those that an operation's mark sets, e.g. ``{"timeout": 5}``.

        Raises:
            ValueError: as for `Limits` itself.
        """
        return replace(self, **marked)


class Place(Protocol):
    """A place of a call that runs."""

    def release(self) -> None:
        """Give the place back, once."""


class Slots:
    """Places for calls that run at once. A class because it counts them.

    Each event loop has places of its own: a server process has one loop, and what waits in another
    thread's loop, or in one that has ended, cannot be told of a free place.
    """

    def __init__(self, places: int, patience: float | None = None) -> None:
        """Take how many calls may run at once, and the seconds that one more waits for its turn."""
        self._patience = _WAIT if patience is None else patience
        self._free = PerLoop(lambda: anyio.Semaphore(places))

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Hold a place, after a short wait where none is free.

        Raises:
            Busy: no place came free.
        """
        place = await self.take()
        try:
            yield
        finally:
            place.release()

    async def take(self) -> Place:
        """Take a place, and return what releases it; whoever has waited longest gets it then.

        Raises:
            Busy: no place came free.
        """
        free = self._free.get()
        try:
            free.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(self._patience):
                await free.acquire()
                return free
            raise Busy("Too many calls are running. Try again in a few seconds.") from None
        return free


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often one caller may call tools, e.g. ``RateLimit("60/minute")``.

    Needs the extra ``mcp-mount[rate-limit]``. Calls that are refused before they run, for their
    arguments or their scopes, do not count.

    Attributes:
        rate: In the notation of the library ``limits``: ``"10/second"``, ``"1000/day"``.
        storage: Where calls are counted: ``"memory://"`` in this process, or
            ``"redis://host:6379"`` for several.
        caller_of: Returns who calls, from the MCP request; by default the authenticated subject,
            else each credential that is shown, else the client's address. None of the credentials
            may be over the limit, for only the app knows which one it looks at. They count as they
            are given: where nothing checks them, every made-up key would be a new caller.
    """

    rate: str
    # A URL may hold a password, which no log and no error has to show.
    storage: str = field(default="memory://", repr=False)
    caller_of: Callable[[Request], str] | None = None


class CallRate:
    """Counts the calls of each caller. A class because it keeps the store."""

    def __init__(
        self, limit: RateLimit, credentials: Callable[[], Iterable[tuple[str, str]]] = tuple
    ) -> None:
        """Open the store; one over the network is not connected to yet.

        Args:
            limit: How often, and where that is counted.
            credentials: Returns where the app looks for keys (see `Operation`).

        Raises:
            MountError: the extra is not installed, or rate, storage or caller cannot be read.
        """
        if iscoroutinefunction(limit.caller_of):
            raise MountError(f"{limit.caller_of!r} is asynchronous. Make it a plain function.")
        self._caller_of = limit.caller_of
        self._credentials = credentials
        self._rate, self._window, self._is_remote = _opened(limit)
        self._connections = Slots(_MOST_CONNECTIONS, patience=5 * _WAIT)

    async def count(self, request: Request) -> None:
        """Count one call.

        Raises:
            Busy: the caller has called too often, or the store does not answer.
        """
        try:
            callers = self._callers(request)
            seconds = await self._asked(callers) if self._is_remote else self._hit(callers)
        except Busy:
            raise
        except Exception:
            # Whatever the store raises: a limit that cannot be checked is not passed.
            logger.exception("The rate limit cannot be checked")
            raise Busy("The rate limit cannot be checked now. Try again in a minute.") from None
        if seconds:
            plural = "s" * (seconds > 1)
            message = f"Too many calls: {self._rate} are allowed. "
            raise Busy(f"{message}Try again in {seconds} second{plural}.")

    def _callers(self, request: Request) -> list[str]:
        if self._caller_of is not None:
            return [_checked(self._caller_of(request))]
        callers = callers_of(request, self._credentials())
        if len(callers) > _MOST_CREDENTIALS:
            raise Busy(f"Too many credentials are shown: {len(callers)}. Show one.")
        return callers

    async def _asked(self, callers: list[str]) -> int:
        """Ask a store over the network, in a thread: its connections then belong to no loop."""
        async with self._connections.taken():
            # Threads of our own: those of the app's routes are not to wait for the store.
            limiter = anyio.CapacityLimiter(1)
            return await anyio.to_thread.run_sync(self._hit, callers, limiter=limiter)

    def _hit(self, callers: list[str]) -> int:
        """Count a call; return 0, or after how many seconds the next one will be let in."""
        window, rate = self._window, self._rate
        full: list[str] = []
        if len(callers) > 1:
            # What is refused for one credential does not use up another, which others may share.
            full = [each for each in callers if not window.test(rate, _NAMESPACE, each)]
        if not full:
            full = [each for each in callers if not window.hit(rate, _NAMESPACE, each)]
        return max(map(self._wait, full), default=0)

    def _wait(self, caller: str) -> int:
        stats = self._window.get_window_stats(self._rate, _NAMESPACE, caller)
        # At the very second, it would still be over.
        return 1 + max(0, math.floor(stats.reset_time - time.time()))


def _opened(limit: RateLimit) -> tuple["RateLimitItem", "RateLimiter", bool]:
    """Return the rate, what counts, and whether that is asked over the network."""
    try:
        from limits import parse_many  # noqa: PLC0415 - an extra
        from limits.storage import MemoryStorage  # noqa: PLC0415
        from limits.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415
    except ImportError:
        message = "rate_limit= needs the library `limits`: pip install 'mcp-mount[rate-limit]'."
        raise MountError(message) from None
    try:
        (rate,) = parse_many(limit.rate)
    except ValueError:
        message = f"The rate {limit.rate!r} cannot be read: write one like '60/minute'."
        raise MountError(message) from None
    if rate.amount < 1:
        raise MountError(f"The rate {limit.rate!r} lets nobody in: write one like '60/minute'.")
    storage = _storage(limit.storage)
    window = SlidingWindowCounterRateLimiter(storage)
    return rate, window, not isinstance(storage, MemoryStorage)


def _storage(url: str) -> "Storage":
    from limits.storage import Storage, storage_from_string  # noqa: PLC0415 - an extra

    scheme = str(url).partition(":")[0]
    options = _patience(scheme)
    try:
        storage = storage_from_string(url, **options)
        if not isinstance(storage, Storage):
            raise TypeError("The library's asynchronous stores belong to one event loop.")
    except Exception as error:  # noqa: BLE001 - the library's, its client's, or ValueError
        # Only the kind of error: its text, and the URL, may hold the store's password.
        message = (
            f"The storage of the rate limit, {scheme!r}, cannot be used "
            f"({type(error).__name__}): write 'memory://' or 'redis://host:6379'."
        )
        raise MountError(message) from None
    return storage


def _patience(scheme: str) -> dict[str, Any]:
    """Return the options with which Redis' client gives up soon: ten times in ten seconds is late.

    What the URL itself says goes first, e.g. ``redis://host?socket_timeout=3``.
    """
    if "redis" not in scheme:
        return {}
    try:
        from redis.backoff import NoBackoff  # noqa: PLC0415 - an extra
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError:
        message = "A storage in Redis needs its client: pip install 'mcp-mount[rate-limit]'."
        raise MountError(message) from None
    return {
        "socket_timeout": _WAIT,
        "socket_connect_timeout": _WAIT,
        # Once more, for a connection that was closed while it was idle.
        "retry": Retry(NoBackoff(), 1),
    }


def _checked(caller: object) -> str:
    if not isinstance(caller, str):
        raise TypeError(f"caller_of= must return a string, not {caller!r}.")
    return caller


def subject_of(request: Request) -> str | None:
    """Return the authenticated caller, e.g. ``"alice"``; None where none is known."""
    user = request.scope.get("user")
    if isinstance(user, AuthenticatedUser):
        # Several people may use one client: its id alone would make them one caller.
        return "/".join(part for part in principal_components(user.access_token) if part)
    # Whatever the app's middleware put there; only Starlette's form says who it is.
    if not getattr(user, "is_authenticated", False):
        return None
    for attribute in ("identity", "display_name"):
        try:
            name = getattr(user, attribute, None)
        except NotImplementedError:
            # Starlette's `BaseUser` leaves both to its subclasses.
            continue
        if name:
            return str(name)
    return None


def credentials_of(request: Request, places: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Return what tells a caller from others: the authenticated subject, or else what is shown.

    E.g. ``["subject:alice"]``, or ``["key:…"]`` with a hash for each credential; nothing where none
    is shown. `places` are where the app's document looks for keys (see `Operation`).
    """
    if (subject := subject_of(request)) is not None:
        return [f"subject:{subject}"]
    # A store, and whoever reads it, has no need to know the credentials themselves.
    return [
        f"key:{hashlib.sha256(shown.encode()).hexdigest()}" for shown in _shown(request, places)
    ]


def callers_of(request: Request, places: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Return what `credentials_of` does; the client's address where that is nothing."""
    if found := credentials_of(request, places):
        return found
    return [f"address:{request.client.host if request.client else 'unknown'}"]


def _shown(request: Request, places: Iterable[tuple[str, str]]) -> Iterator[str]:
    for where, name in sorted({*_PLACES, *places}):
        if where == "header":
            values = request.headers.getlist(name)
        else:
            query = where == "query"
            pairs = request.query_params.multi_items() if query else request.cookies.items()
            # The names of places are in lower case, those of a request as its sender wrote them.
            values = [value for key, value in pairs if key.lower() == name]
        if name == "authorization":
            values = [_plain(value) for value in values]
        yield from (f"{where} {name}={value}" for value in dict.fromkeys(values) if value)


def _plain(authorization: str) -> str:
    """Write one token one way: apps take ``bearer  t`` for ``Bearer t`` (RFC 9110 §11.1)."""
    scheme, _, token = authorization.partition(" ")
    return f"{scheme.lower()} {token.strip()}"
