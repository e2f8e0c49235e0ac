"""What one server offers: its lists, read in a thread, and what the log is told of them."""

import logging
from collections.abc import Callable
from typing import Any, Final

import anyio
from anyio import to_thread

from mcp_mount.loops import PerLoop
from mcp_mount.remotes.bounds import Allowance
from mcp_mount.remotes.catalog import Catalog, read_catalog
from mcp_mount.remotes.listing import Lists
from mcp_mount.remotes.remote import Remote

logger = logging.getLogger("mcp_mount.remotes")

_reading: Final = PerLoop(lambda: anyio.CapacityLimiter(1))
"""One server's lists are read at a time, so that others have the interpreter meanwhile."""

_MAX_LEFT_OUT: Final = 20
"""Lines in the log on what is left out of a server's lists."""

_MAX_LINES: Final = 100
"""The same on all that it changes, at once and each hour: it may change every second."""


class Offer:
    """What one server offers.

    Attributes:
        catalog: That, or what it offered when it was up.
        make: What makes components of a catalog, in a thread: thousands take a while.
        made: What it has made of this one; None before.
    """

    def __init__(self, remote: Remote, gateway: str) -> None:
        self._remote = remote
        self._gateway = gateway
        self._lines = Allowance(_MAX_LINES)
        self.make: Callable[[Catalog], Any] = lambda _: None
        self.forget()

    def forget(self) -> None:
        """Offer nothing, until lists are read again."""
        self.catalog, self.made = Catalog(), None

    async def read(self, lists: Lists) -> bool:
        """Offer what is in a server's lists; return whether that is something else."""
        was = self.catalog
        if lists == was.lists:
            return False
        # A thousand schemas take a while; others are served meanwhile, and the end waits for none
        # of them.
        self.catalog, self.made = await to_thread.run_sync(
            self._read, lists, abandon_on_cancel=True, limiter=_reading.get()
        )
        for line in self.catalog.left_out[:_MAX_LEFT_OUT]:
            if line not in was.left_out:
                self._tell(logging.WARNING, "The remote %r: %s.", line)
        return True

    def _read(self, lists: Lists) -> tuple[Catalog, Any]:
        catalog = read_catalog(lists, self._remote, self._gateway)
        return catalog, self.make(catalog)

    def tell_of_change(self) -> None:
        """Write to the log that a server that is up offers something else."""
        self._tell(logging.INFO, "The remote %r offers something else: %s", self.catalog)

    def _tell(self, level: int, line: str, said: object) -> None:
        """Write a line on the server to the log, if it has not had too many."""
        if not self._lines.is_spent():
            self._lines.take()
            logger.log(level, line, self._remote.name, said)
        elif self._lines.is_news():
            name = self._remote.name
            logger.warning("The remote %r: (it changes a lot; the rest is not told)", name)
