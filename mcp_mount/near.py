"""Names that are near one that is none. Pure.

Who chose the names may have chosen them so that a comparison takes long: it is one of bounded work.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nlargest, nsmallest
from itertools import pairwise
from typing import Final

_LONGEST: Final = 64
_MOST: Final = 500
"""Names of about the same length that are looked at."""

_COMPARED: Final = 6
"""Of them, that are compared; a comparison of two takes up to three milliseconds."""


def near_names(name: str, known: Iterable[str], *, n: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return up to `n` names that are near, the nearest first, as `difflib` does."""
    name = name[:_LONGEST]
    alike = nsmallest(_MOST, known, key=lambda each: abs(len(each) - len(name)))
    parts = _parts(name)
    best = nlargest(_COMPARED, alike, key=lambda each: _likeness(parts, _parts(each[:_LONGEST])))
    # Those that are the same as far as they are looked at stand for one another.
    by_beginning = {each[:_LONGEST]: each for each in reversed(best)}
    near = get_close_matches(name, by_beginning, n=n, cutoff=cutoff)
    return [by_beginning[each] for each in near]


def _parts(name: str) -> frozenset[str]:
    """Return its characters, and each two that stand together."""
    return frozenset(name).union(map("".join, pairwise(name)))


def _likeness(some: frozenset[str], others: frozenset[str]) -> float:
    return len(some & others) / (len(some) + len(others) or 1)
