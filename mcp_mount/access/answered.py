"""Which questions have been answered, so that no answer counts twice."""

import threading
import time
from collections import OrderedDict
from typing import Final, Protocol

from mcp_mount.access.store import Connections, Failing, open_storage
from mcp_mount.errors import Busy, MountError

ANSWER_SECONDS: Final = 300
"""How long an answer is accepted, and so remembered."""

_CLOCKS: Final = 60
"""Seconds that the clock of who asks may be ahead of that of who is answered: the SDK's bound."""

_MOST_ANSWERED: Final = 10_000
"""Questions whose answers are remembered; of more than that, the oldest are forgotten."""


class Answered(Protocol):
    """Remembers the questions that have been answered."""

    async def add(self, state: str) -> bool:
        """Remember a question; return False where it has been answered before.

        Raises:
            Busy: that cannot be found out now.
        """


class AnsweredHere:
    """Those that this process knows of, for as long as their answers would be accepted."""

    def __init__(self) -> None:
        # A dict would look for its first key behind all those that were taken out.
        self._until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    async def add(self, state: str) -> bool:
        """Remember a question: see `Answered`."""
        now = time.monotonic()
        with self._lock:
            # In the order in which they came, which is that in which they expire.
            while self._until and (
                len(self._until) >= _MOST_ANSWERED or self._until[next(iter(self._until))] <= now
            ):
                del self._until[next(iter(self._until))]
            if state in self._until:
                return False
            self._until[state] = now + ANSWER_SECONDS
            return True


class AnsweredInStore:
    """Those that all processes with one store know of."""

    def __init__(self, url: str) -> None:
        """Open the store; it is not connected to yet.

        Raises:
            MountError: it cannot be used, or the extra is not installed.
        """
        try:
            self._storage = open_storage(url, "The store of state_store=")
        except ImportError:
            raise MountError(
                "state_store= needs the library `limits`: pip install 'mcp-mount[rate-limit]'."
            ) from None
        self._connections = Connections()
        self._failing = Failing("What has been answered")

    async def add(self, state: str) -> bool:
        """Remember a question: see `Answered`."""
        try:
            count = await self._connections.ask(
                lambda: self._storage.incr(state, ANSWER_SECONDS + _CLOCKS)
            )
        except Busy:
            raise
        except Exception as error:  # noqa: BLE001 - logged
            # Whatever the store raises: an answer that cannot be checked does not count.
            self._failing.begin(error)
            message = "The answer cannot be checked now. Nothing was done. Try again in a minute."
            raise Busy(message) from None
        self._failing.end()
        return count == 1


ANSWERED_HERE: Final = AnsweredHere()
"""For all mounts of this process."""
