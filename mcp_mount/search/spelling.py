"""Finds the word that was meant: a longer one of the same beginning, or one letter away. Pure."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

_SHORTEST: Final = 4
_LONGEST: Final = 16
_MOST: Final = 8


class Spelling:
    """The words that are known."""

    def __init__(self, words: Iterable[str]) -> None:
        """Remember each word, and what is left of it when one letter is left out."""
        self._sorted = sorted(words)
        self._near: dict[str, list[str]] = defaultdict(list)
        for word in self._sorted:
            if _SHORTEST <= len(word) <= _LONGEST and word.isalpha():
                for form in (word, *_shortened(word)):
                    self._near[form].append(word)

    def suggest(self, word: str) -> list[str]:
        """Return known words that an unknown one may stand for, e.g. ``kubernet`` for ``kube``."""
        if not _SHORTEST <= len(word) <= _LONGEST:
            return []
        place = bisect_left(self._sorted, word)
        longer = [each for each in self._sorted[place : place + _MOST] if each.startswith(word)]
        near = {each for form in (word, *_shortened(word)) for each in self._near.get(form, ())}
        return [*dict.fromkeys([*longer, *sorted(near)])][:_MOST]


def _shortened(word: str) -> set[str]:
    return {word[:index] + word[index + 1 :] for index in range(len(word))}
