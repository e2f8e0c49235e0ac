"""What one call may take, how many may run at once, and how often a caller may call."""

import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import principal_components
from starlette.authentication import BaseUser
from starlette.requests import Request

from mcp_mount.errors import Busy, MountError

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.strategies import RateLimiter

logger = logging.getLogger("mcp_mount")

_WAIT: Final = 1.0
"""Seconds that a call waits for its turn before it is told to come back."""

_LARGEST_REQUEST: Final = 4 * 1024 * 1024
"""Bytes; the MCP SDK refuses more than this, and FastMCP has no option to say otherwise."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What calls may take before they are ended, or refused.

    Attributes:
        timeout: Seconds until the response must be complete.
        max_bytes: Bytes of the response's body.
        max_items: Events of a Server-Sent Events stream, or lines of JSON Lines.
        max_concurrency: Calls that may run at once in this process; one more waits for a second,
            then gets an error that says to try again. For all tools together, or for one tool
            alone where its mark sets it.
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
            ValueError: a limit is not a positive, finite number, or `max_request_bytes` is more
                than 4 MiB.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value > 0):
                message = f"Limits.{each.name} must be a positive number, not {value!r}."
                raise ValueError(message)
        if self.max_request_bytes > _LARGEST_REQUEST:
            message = f"Limits.max_request_bytes can be {_LARGEST_REQUEST} at the most."
            raise ValueError(message)

    def overridden(self, marked: Mapping[str, Any]) -> "Limits":
        """Return these limits with those that an operation's mark sets, e.g. ``{"timeout": 5}``."""
        return replace(self, **marked)


class Slots:
    """Places for calls that run at once. A class because it counts them."""

    def __init__(self, places: int) -> None:
        """Take how many calls may run at once."""
        self._free = anyio.Semaphore(places, fast_acquire=True)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Hold a place, after a short wait where none is free.

        Raises:
            Busy: no place came free.
        """
        with anyio.move_on_after(_WAIT) as waiting:
            await self._free.acquire()
        if waiting.cancelled_caught:
            raise Busy("Too many calls are running. Try again in a few seconds.")
        try:
            yield
        finally:
            self._free.release()


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often one caller may call tools, e.g. ``RateLimit("60/minute")``.

    Needs the extra ``mcp-mount[rate-limit]``.

    Attributes:
        rate: In the notation of the library ``limits``: ``"10/second"``, ``"1000/day"``.
        storage: Where calls are counted: ``"memory://"`` in this process, or
            ``"redis://host:6379"`` for several.
        caller_of: Returns who calls, from the MCP request; by default the authenticated subject,
            else the credential, else the client's address.
    """

    rate: str
    storage: str = "memory://"
    caller_of: Callable[[Request], str] | None = None


class CallRate:
    """Counts the calls of each caller. A class because it keeps the store."""

    def __init__(self, limit: RateLimit) -> None:
        """Open the store.

        Raises:
            MountError: the extra is not installed, or rate or storage cannot be read.
        """
        self._caller_of = limit.caller_of or caller_of
        self._rate, self._window = _opened(limit)

    async def count(self, request: Request) -> None:
        """Count one call.

        Raises:
            Busy: the caller has called too often, or the store does not answer.
        """
        caller = self._caller_of(request)
        try:
            if await self._window.hit(self._rate, caller):
                return
            stats = await self._window.get_window_stats(self._rate, caller)
        except Exception:
            # Whatever the store raises: a limit that cannot be checked is not passed.
            logger.exception("The store of the rate limit does not answer")
            raise Busy("The rate limit cannot be checked now. Try again in a minute.") from None
        seconds = max(1, math.ceil(stats.reset_time - time.time()))
        raise Busy(f"Too many calls: {self._rate} are allowed. Try again in {seconds} seconds.")


def _opened(limit: RateLimit) -> tuple["RateLimitItem", "RateLimiter"]:
    try:
        from limits import parse  # noqa: PLC0415 - an extra
        from limits.aio.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415
        from limits.storage import storage_from_string  # noqa: PLC0415
    except ImportError:
        message = "rate_limit= needs the library `limits`: pip install 'mcp-mount[rate-limit]'."
        raise MountError(message) from None
    try:
        # Of the library's clients for Redis, the one of the Redis project itself.
        client = {"implementation": "redispy"} if "redis" in limit.storage else {}
        store = storage_from_string(f"async+{limit.storage}", **client)
        return parse(limit.rate), SlidingWindowCounterRateLimiter(store)
    except Exception as error:
        # The library raises its own errors, those of the store's client, and ValueError.
        message = f"{limit!r} cannot be used: {error}. Write a rate like '60/minute'."
        raise MountError(message) from error


def subject_of(request: Request) -> str | None:
    """Return the authenticated caller, e.g. ``"alice"``; None where none is known."""
    user = request.scope.get("user")
    if isinstance(user, AuthenticatedUser):
        # Several people may use one client: its id alone would make them one caller.
        return "/".join(part for part in principal_components(user.access_token) if part)
    if user is not None and user.is_authenticated:
        return str(user.identity if _has_identity(user) else user.display_name)
    return None


def _has_identity(user: BaseUser) -> bool:
    try:
        return bool(user.identity)
    except NotImplementedError:
        # Starlette's own SimpleUser has a display name only.
        return False


def caller_of(request: Request) -> str:
    """Return who calls: the authenticated subject, else the credential, else the address."""
    if (subject := subject_of(request)) is not None:
        return f"subject:{subject}"
    for header in ("authorization", "x-api-key"):
        if credential := request.headers.get(header):
            # The store, and whoever reads it, has no need to know the credential itself.
            return f"key:{hashlib.sha256(credential.encode()).hexdigest()}"
    return f"address:{request.client.host if request.client else 'unknown'}"
