"""Stores of rates that do nothing but what a test is about."""

from typing import Any

from limits.storage import Storage
from limits.storage.base import SlidingWindowCounterSupport


class CountsNothing(Storage, SlidingWindowCounterSupport):
    """A store that counts nothing; whether a call is let in is for who inherits it to say."""

    base_exceptions = OSError

    def get_sliding_window(self, *_: Any, **__: Any) -> tuple[int, float, int, float]:
        return 0, 0.0, 0, 0.0

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget nothing: nothing is counted."""

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:  # noqa: ARG002
        return amount

    def get(self, key: str) -> int:  # noqa: ARG002
        return 0

    def get_expiry(self, key: str) -> float:  # noqa: ARG002
        return 0

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        return None

    def clear(self, key: str) -> None:
        """Forget nothing: nothing is counted."""
