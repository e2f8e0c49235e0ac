"""Whether a server answers, since when, and when it is asked again.

After it has failed the pauses are random, and grow.
"""

import logging
import math
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from mcp_mount.remotes.failures import describe_failure
from mcp_mount.remotes.offer import Offer
from mcp_mount.remotes.remote import RemoteState, Status

logger = logging.getLogger("mcp_mount.remotes")

MIN_PAUSE: Final = 0.5
"""Seconds before a server that has failed is asked again."""

_MAX_FAILURES: Final = 6
"""After so many the pause grows no more: 32 seconds."""

_STEADY: Final = 60.0
"""Seconds for which a server answers before its failures are forgotten."""

_FAILURES_AFTER_SUCCESS: Final = 4
"""So many are remembered of one that has answered, and dies soon: it is back after eight seconds at
the most, and not started each time as if it were the first."""


class Standing:
    """How one server is.

    Attributes:
        status: Whether it answers.
        due: When it is to be asked, in the time of `time.monotonic`.
    """

    def __init__(self, name: str, offer: Offer, changed: Callable[[], None]) -> None:
        self._name = name
        self._offer = offer
        self._changed = changed
        self.status: Status = "starting"
        self.due = 0.0
        self._error: str | None = None
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._failures = 0
        self._steady_at = math.inf

    @property
    def state(self) -> RemoteState:
        """How it is now, for whoever asks."""
        count = len(self._offer.catalog.tools) if self.status == "up" else 0
        return RemoteState(self.status, count, self._error, self._since)

    def forget(self) -> None:
        """Begin anew: nobody stays in touch with it any more."""
        self.due = 0.0
        self._set("starting")

    def suspect(self) -> None:
        """Have it asked again soon."""
        self.due = min(self.due, time.monotonic())

    def succeed(self) -> None:
        """Take note that it has answered."""
        if self.status != "up":
            self._steady_at = time.monotonic() + _STEADY
            self._failures = min(self._failures, _FAILURES_AFTER_SUCCESS)
        elif time.monotonic() >= self._steady_at:
            self._failures = 0
        self._set("up")

    def fail(self, error: Exception, refused: int | None) -> None:
        """Hide what it offers, and wait longer each time before the next question.

        `refused` is as for `describe_failure`.
        """
        # At random, so that many gateways do not all come back at one moment.
        pause = MIN_PAUSE * 2**self._failures * random.uniform(0.5, 1)  # noqa: S311 - no secret
        self.due = time.monotonic() + pause
        self._failures = min(self._failures + 1, _MAX_FAILURES)
        logger.debug("The remote %r has failed", self._name, exc_info=error)
        self._set("down", describe_failure(error, refused))

    def _set(self, status: Status, error: str | None = None) -> None:
        if (status, error) == (self.status, self._error):
            return
        if status != self.status:
            self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self.status, self._error = status, error
        if status == "up":
            logger.info("The remote %r is up: %s", self._name, self._offer.catalog)
        elif status == "down":
            logger.warning("The remote %r is down: %s. It is tried again.", self._name, error)
        self._changed()
