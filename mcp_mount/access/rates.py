"""How often a caller may call."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request

from mcp_mount.access.principals import callers_of
from mcp_mount.access.store import Connections, Failing, open_storage
from mcp_mount.errors import Busy, MountError
from mcp_mount.validation import Rule, check_fields, optional

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import RateLimiter


_FAILED: Final = "The rate limit cannot be checked now. Try again in a minute."

_NAMESPACE: Final = "mcp_mount"
"""What the keys in the store begin with, which other applications may use too."""

_LONGEST_CALLER: Final = 200
"""Characters; of a longer one, which may be a token of many kilobytes, a hash is kept."""


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

    def __post_init__(self) -> None:
        """Refuse what could not tell callers apart; the mount reads the rest.

        Raises:
            MountError: `caller_of` is no function.
        """
        function = Rule(optional(callable), "a function that takes the request")
        check_fields(self, {"caller_of": function})


class CallRate:
    """Counts the calls of each caller."""

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
        self._connections = Connections()
        self._failing = Failing("The rate limit")

    async def count(self, request: Request) -> None:
        """Count one call.

        Raises:
            Busy: the caller has called too often, or the store does not answer.
        """
        try:
            hit = partial(self._hit, self.callers(request))
            seconds = await self._connections.ask(hit) if self._is_remote else hit()
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001 - logged
            # Whatever the store raises: a limit that cannot be checked is not passed.
            self._failing.begin(error)
            raise Busy(_FAILED) from None
        self._failing.end()
        if seconds:
            plural = "s" * (seconds > 1)
            message = f"Too many calls: {self._rate} are allowed. "
            raise Busy(f"{message}Try again in {seconds} second{plural}.")

    def callers(self, request: Request) -> list[str]:
        """Return whom a request counts against.

        Raises:
            Busy: too many credentials are shown, or `caller_of` raises.
        """
        if self._caller_of is None:
            return callers_of(request, self._credentials())
        try:
            return [_checked(self._caller_of(request))]
        except Exception as error:  # noqa: BLE001 - logged
            # Whatever it raises: whose limit it is cannot be told, so none is passed.
            self._failing.begin(error)
            raise Busy(_FAILED) from None

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
        from limits.storage import MemoryStorage, RedisStorage  # noqa: PLC0415
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
    storage = open_storage(limit.storage, "The storage of the rate limit")
    if isinstance(storage, RedisStorage):
        storage.lua_acquire_sliding_window = _strict(storage.lua_acquire_sliding_window)
    window = SlidingWindowCounterRateLimiter(storage)
    return rate, window, not isinstance(storage, MemoryStorage)


def _strict(script: Callable[..., object]) -> Any:
    """Return a script that raises where its answer is none that it gives.

    The library takes each that is not empty for one that lets a call in.
    """

    def run(*given: Any) -> object:
        answer = script(*given)
        if answer is not None and not (type(answer) is int and answer == 1):
            raise TypeError("The store's answer is none of the script that counts calls.")
        return answer

    return run


def _checked(caller: object) -> str:
    if not isinstance(caller, str):
        raise TypeError(f"caller_of= must return a string, not {caller!r}.")
    if len(caller) <= _LONGEST_CALLER:
        return caller
    return f"sha256:{hashlib.sha256(caller.encode(errors='surrogatepass')).hexdigest()}"
