"""What a rule is, and what it finds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mcp_mount.check.subject import Subject

Level = Literal["error", "warning"]
"""An error makes calls fail or does harm; a warning makes a model choose or fill in badly."""

Look = Callable[[Sequence[Subject]], Iterator[tuple[str, str]]]
"""Yields the name of a tool, or nothing for the list as a whole, and what was found there."""

SHOWN: Final = 5
"""Names that a finding says."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong.

    `cost` is what it takes from the hundred points of a tool, or of the list; `advice` says what to
    do about it.
    """

    id: str
    level: Level
    cost: int
    advice: str
    look: Look


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has found: of a tool, or without one of the whole list."""

    rule: Rule
    tool: str
    message: str


def each(look: Callable[[Subject], Iterator[str]]) -> Look:
    """Return how a rule about one tool looks at all of them."""

    def look_at_all(subjects: Sequence[Subject]) -> Iterator[tuple[str, str]]:
        return ((subject.name, message) for subject in subjects for message in look(subject))

    return look_at_all


def name_some(names: Sequence[str], of: int | None = None) -> str:
    """Return the first names, of so many, as a sentence has them, ``"'a', 'b' and 3 more"``."""
    more = (len(names) if of is None else of) - SHOWN
    return ", ".join(map(repr, names[:SHOWN])) + (f" and {more} more" if more > 0 else "")
