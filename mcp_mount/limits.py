"""What one call may take, and how many may run at once."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

import anyio
from starlette.requests import Request

from mcp_mount.errors import Busy, MountError
from mcp_mount.loops import PerLoop
from mcp_mount.validation import Rule, check_fields, is_positive, is_positive_integer, optional

_WAIT: Final = 1.0
"""Seconds that a call waits for its turn before it is told to come back."""

_RESERVED: Final = 10
"""The part of the slots that is kept beside them, and of that the part for one caller."""

_LARGEST_REQUEST: Final = 4 * 1024 * 1024
"""Bytes; the MCP SDK refuses more than this, and FastMCP has no option to say otherwise."""

_SMALLEST_EVENT: Final = 8 * 1024
"""Bytes; in fewer there is little room beside what every message says of itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What calls may take before they are ended, or refused.

    Attributes:
        timeout: Seconds until the response must be complete.
        max_bytes: Bytes of the response's body. A text that is streamed is kept in a temporary file
            from its first MiB on (``TMPDIR`` says where), so that it takes disk, not memory.
        max_items: Events of a Server-Sent Events stream, or lines of JSON Lines.
        max_event_bytes: Bytes of each message in a stream of progress; 8 KiB at the least. A piece
            that is longer comes in several. In the message that ends the stream, a longer text or
            list is shortened to fit, and says so: clients have had all of it, and many refuse a
            larger one, the MCP Python SDK from 1 MiB on. Where nothing came as progress, there is
            no such limit.
        max_concurrency: Calls that may run at once in this process (in one event loop, where there
            are several); one more waits for a second, then gets an error that says to try again.
            For all tools together, or for one tool alone where its mark sets it. From 100 on, a
            tenth more is kept for callers who find all slots taken, a hundredth for each of them.
        max_request_bytes: Bytes of an MCP request; a larger one is answered with HTTP 413.
        max_result_chars: Characters of the text of a result, of which its structure is a copy. A
            list is cut at whole items and a text at a line; the result says how much there was, and
            which arguments ask for less. None: there is no such limit.
    """

    timeout: float = 60.0
    max_bytes: int = 10 * 1024 * 1024
    max_items: int = 1_000
    max_event_bytes: int = 1024 * 1024
    max_concurrency: int = 1_000
    max_request_bytes: int = _LARGEST_REQUEST
    max_result_chars: int | None = None

    def __post_init__(self) -> None:
        """Refuse limits under which no call could succeed.

        Raises:
            MountError: a limit is not a positive, finite number (whole, but for `timeout`), or
                `max_request_bytes` is more than 4 MiB, or `max_event_bytes` less than 8 KiB.
        """
        count = Rule(is_positive_integer, "a positive integer")
        rules = {each.name: count for each in fields(self)}
        rules["timeout"] = Rule(is_positive, "a positive number")
        rules["max_result_chars"] = Rule(
            optional(is_positive_integer), "a positive integer or None"
        )
        check_fields(self, rules)
        if self.max_request_bytes > _LARGEST_REQUEST:
            raise MountError(f"Limits.max_request_bytes can be {_LARGEST_REQUEST} at the most.")
        if self.max_event_bytes < _SMALLEST_EVENT:
            raise MountError(f"Limits.max_event_bytes must be {_SMALLEST_EVENT} at the least.")

    def overridden(self, marked: Mapping[str, Any]) -> "Limits":
        """Return these limits with those that an operation's mark sets, e.g. ``{"timeout": 5}``.

        ``False`` switches off the limit that can be: FastAPI leaves null out of its document.

        Raises:
            MountError: as for `Limits` itself.
        """
        if marked.get("max_result_chars") is False:
            marked = {**marked, "max_result_chars": None}
        return replace(self, **marked)


Release = Callable[[], None]
"""Gives a slot back, once."""


class Slots:
    """Slots for calls that run at once.

    A call that nobody waits for any more may keep its slot (see `lend`) until another needs one.
    Each event loop has slots of its own: a server process has one loop, and what waits in another
    thread's loop, or in one that has ended, cannot be told of a free slot.
    """

    def __init__(
        self,
        count: int,
        max_wait: float | None = None,
        callers_of: Callable[[Request], Sequence[str]] | None = None,
    ) -> None:
        """Make slots.

        A call waits for `max_wait` seconds for its turn. Where `callers_of` tells who makes
        a request, one caller who has taken all slots does not lock the others out (see `Reserve`).
        """
        self._max_wait = _WAIT if max_wait is None else max_wait
        self._callers_of = callers_of
        self._reserve = PerLoop(lambda: Reserve(count))
        self._free = PerLoop(lambda: anyio.Semaphore(count))
        self._lent: PerLoop[set[Callable[[], None]]] = PerLoop(set)

    def apart(self, count: int) -> "Slots":
        """Return other slots, for the same callers."""
        return Slots(count, self._max_wait, self._callers_of)

    def lend(self, end: Callable[[], None]) -> None:
        """Offer a slot that is taken to whoever waits: `end` is to end the call that holds it."""
        if self._free.get().statistics().tasks_waiting:
            end()
        else:
            self._lent.get().add(end)

    def withdraw(self, end: Callable[[], None]) -> None:
        """Take the offer back, because the slot is released; nothing where there is none."""
        self._lent.get().discard(end)

    @asynccontextmanager
    async def held(self, request: Request | None = None) -> AsyncIterator[None]:
        """Hold a slot, as `take` does.

        Raises:
            Busy: no slot came free.
        """
        release = await self.take(request)
        try:
            yield
        finally:
            release()

    def take_nowait(self) -> Release | None:
        """Take a slot, and return what gives it back; None where none is free."""
        free = self._free.get()
        try:
            free.acquire_nowait()
        except anyio.WouldBlock:
            return None
        return free.release

    async def take(self, request: Request | None = None, max_wait: float | None = None) -> Release:
        """Take a slot, and return what gives it back; whoever has waited longest gets it then.

        Args:
            request: Tells who calls; without one, nothing of the reserve is given.
            max_wait: The seconds that this one waits for its turn; None: as long as others.

        Raises:
            Busy: no slot came free.
        """
        if (release := self.take_nowait()) is not None:
            return release
        free = self._free.get()
        lent = self._lent.get()
        # All, because one whose route is in a thread cannot give its slot back.
        for end in [*lent]:
            end()
        lent.clear()
        if request is not None and self._callers_of is not None:
            reserved = self._reserve.get().take(self._callers_of(request))
            if reserved is not None:
                return reserved
        with anyio.move_on_after(self._max_wait if max_wait is None else max_wait):
            await free.acquire()
            return free.release
        raise Busy("Too many calls are running. Try again in a few seconds.")


class CallerSlots:
    """A few slots for each caller: whoever wants more waits for those, and no other caller does."""

    def __init__(self, count: int, max_wait: float) -> None:
        """Give each caller so many; a call waits for `max_wait` seconds for its turn."""
        self._count = count
        self._max_wait = max_wait
        # Those that somebody holds or waits for.
        self._slots: WeakValueDictionary[str, Slots] = WeakValueDictionary()

    @asynccontextmanager
    async def held(self, callers: Sequence[str]) -> AsyncIterator[None]:
        """Hold a slot of each of the callers that a request counts against.

        Raises:
            Busy: no slot came free.
        """
        async with AsyncExitStack() as stack:
            # In one order, so that no two wait for each other.
            for caller in sorted({*callers}):
                slots = self._slots.setdefault(caller, Slots(self._count, self._max_wait))
                await stack.enter_async_context(slots.held())
            yield


class Reserve:
    """A tenth more slots, for callers who find all others taken, and a few for each of them.

    Who holds the others need not be known for that: whoever does gets no more than a few here.
    """

    def __init__(self, count: int) -> None:
        """Keep slots beside `count` others; none beside fewer than a hundred."""
        self._free = count // _RESERVED if count >= _RESERVED**2 else 0
        self._most = self._free // _RESERVED
        self._held: Counter[str] = Counter()

    def take(self, callers: Sequence[str]) -> Release | None:
        """Take a slot; None where none is free, or one of the callers has as many as one may."""
        if not self._free or any(self._held[each] >= self._most for each in callers):
            return None
        self._free -= 1
        self._held.update(callers)
        return partial(self._give_back, callers)

    def _give_back(self, callers: Sequence[str]) -> None:
        self._free += 1
        self._held -= Counter(callers)
