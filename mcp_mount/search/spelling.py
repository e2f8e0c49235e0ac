"""Finds the word that was meant: a longer one of the same beginning, or one letter away. Pure."""

from bisect import bisect_left
from collections.abc import Collection, Iterator
from heapq import merge
from string import ascii_lowercase
from typing import Final

_SHORTEST: Final = 4
_LONGEST: Final = 16
_MOST: Final = 8
_SORTED_AT_ONCE: Final = 10_000
"""Words, in some milliseconds in which nothing else runs."""


class Spelling:
    """The words that are known."""

    def __init__(self, words: Collection[str]) -> None:
        """Take the words; they may be more than should be sorted at once."""
        self._known = words
        every = [*words]
        starts = range(0, len(every), _SORTED_AT_ONCE)
        self._sorted = [*merge(*(sorted(every[at : at + _SORTED_AT_ONCE]) for at in starts))]

    def suggest(self, word: str) -> list[str]:
        """Return known words that an unknown one may stand for, e.g. ``kubernet`` for ``kube``."""
        if not _SHORTEST <= len(word) <= _LONGEST:
            return []
        place = bisect_left(self._sorted, word)
        longer = [each for each in self._sorted[place : place + _MOST] if each.startswith(word)]
        near = {each for each in _one_away(word) if each in self._known and len(each) >= _SHORTEST}
        return [*dict.fromkeys([*longer, *sorted(near)])][:_MOST]


def _one_away(word: str) -> Iterator[str]:
    """Yield what a word is with a letter more, less, in another's place, or before the last one."""
    for place in range(len(word) + 1):
        before, after = word[:place], word[place:]
        yield before + after[1:]
        yield before + after[1:2] + after[:1] + after[2:]
        for letter in ascii_lowercase:
            yield before + letter + after
            yield before + letter + after[1:]
