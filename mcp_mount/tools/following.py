"""The document that tools follow: when it is read, and where.

FastAPI keeps its document until a route is added. An `openapi` of the app's own may write one anew
each time, for seconds, so that one is written in a thread, and only where it matters.
"""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import anyio

from mcp_mount.errors import MountError
from mcp_mount.loops import PerLoop, make_in_thread

_MOST_READINGS: Final = 3
"""Readings of a document one after the other, where routes are added while it is read."""

_SLOW: Final = 0.01
"""Seconds of the processor after which a document is written in a thread."""


class Following:
    """Reads a document when there is another one.

    Attributes:
        document: The one that was read last; None before.
        routes: What stood for the routes then; None where nothing does.
    """

    def __init__(
        self,
        write: Callable[[], Mapping[str, Any]],
        changes: Callable[[], object],
        watch: Callable[[], object],
        take: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Take what writes the document, what tells of another one, and what takes that.

        `changes` returns another object when the routes have changed, and None where the document
        itself is another one then; `watch` never asks for the document. `take` is called before the
        document stands in `document`.
        """
        self._write = write
        self._changes = changes
        self._watch = watch
        self._take = take
        self._watched: object = None
        self._refreshing = PerLoop(anyio.Lock)
        self.document: Mapping[str, Any] | None = None
        self.routes: object = None
        self._is_slow = False
        self._begun = -math.inf
        # What was wrong with the document, and with which routes: it is as slow to find as tools.
        self._failure: tuple[object, MountError] | None = None

    async def refresh(self, *, anew: bool = False) -> None:
        """Read the document in a thread where routes have been added: a large one takes seconds.

        With `anew`, so is one that the app itself takes long to write, whatever has changed.
        Whoever comes meanwhile waits for that. What is wrong with the document is for who needs it.
        """
        if not (self._is_stale() or (anew and self._is_slow)):
            return
        asked = time.monotonic()
        async with self._refreshing.get():
            # What was begun after one has asked for it is new enough, however many have.
            is_old = anew and self._is_slow and self._begun < asked
            for _ in range(_MOST_READINGS):
                if not (is_old or self._is_stale()):
                    return
                is_old, watched = False, self._watch()
                is_read = await self._read_in_thread()
                # As it was before, because there may be other routes since.
                self._watched = watched
                if not is_read:
                    return

    async def _read_in_thread(self) -> bool:
        self._failure = None
        try:
            await make_in_thread(partial(self.read, None))
        except MountError:
            return False
        return True

    def _is_stale(self) -> bool:
        # A function of the app's own may write the document where it could not before.
        may_recover = self._failure is not None and self._changes() is not None
        return may_recover or self._watch() is not self._watched

    def read(self, routes: object) -> None:
        """Read the document; one that is written slowly only for other routes, and in `refresh`.

        Raises:
            MountError: it cannot be written, or something in it does not fit.
        """
        if self._is_slow and routes is not None and routes is self.routes:
            return
        if self._failure is not None and self._failure[0] is self._watch():
            raise self._failure[1].with_traceback(None)
        try:
            self._read_anew()
        except MountError as error:
            self._failure = self._watch(), error
            raise

    def _read_anew(self) -> None:
        self._begun, begun = time.monotonic(), time.thread_time()
        try:
            document = self._write()
        except Exception as error:
            raise MountError(
                f"The app's OpenAPI document cannot be made: {error}. Its /openapi.json fails too; "
                "mend the route, or leave it out with include_in_schema=False."
            ) from error
        routes = self._changes()
        # FastAPI's own is slow once, and then kept.
        self._is_slow = routes is not None and time.thread_time() - begun > _SLOW
        # The same object until a route is added, or the same document written anew.
        if document is not self.document:
            if document != self.document:
                self._take(document)
            self.document = document
        # Asked for afterwards, because an app may keep its document from when it was asked for it.
        self.routes = routes
        self._failure = None
