"""Which tools of the other servers are offered, by the names that callers see."""

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

from mcp_mount.errors import InvalidSelector
from mcp_mount.near import near_names

logger = logging.getLogger("mcp_mount.remotes")

_MAX_KNOWN: Final = 1_000
"""Names that are remembered, to tell which are near a pattern."""

_MOST_HINTS: Final = 3
"""Patterns for which near names are looked for in one step, each for some milliseconds."""


@dataclass(frozen=True, slots=True)
class ToolNames:
    """Patterns of names such as ``"wiki_get_*"``: `include` none means all, then `exclude`."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    _known: set[str] = field(default_factory=set, init=False, compare=False)
    _settled: set[str] = field(default_factory=set, init=False, compare=False)
    """Patterns that match a tool, or of which it has been said that they match none."""

    def allows(self, name: str) -> bool:
        """Whether a tool is offered."""
        if not (self.include or self.exclude):
            return True
        if len(self._known) < _MAX_KNOWN:
            self._known.add(name)
        included, excluded = (
            [pattern for pattern in patterns if fnmatchcase(name, pattern)]
            for patterns in (self.include, self.exclude)
        )
        self._settled.update(included, excluded)
        return bool(included or not self.include) and not excluded

    def warn_of_unmatched(self, unknown: Collection[str] = ()) -> None:
        """Tell the log, once, of patterns that match no tool.

        `unknown` are the servers that have not told their tools.
        """
        unmatched = [
            pattern
            for pattern in (*self.include, *self.exclude)
            if pattern not in self._settled
            and not any(_may_match(pattern, f"{name}_") for name in unknown)
        ]
        self._settled.update(unmatched)
        for pattern in unmatched[_MOST_HINTS:]:
            logger.warning("The selector %r matches no tool.", pattern)
        for pattern in unmatched[:_MOST_HINTS]:
            near = near_names(pattern, sorted(self._known), cutoff=0.5)
            hint = f"Near are: {', '.join(map(repr, near))}." if near else "None is near."
            logger.warning("The selector %r matches no tool. %s", pattern, hint)

    def check(self, servers: Sequence[str]) -> None:
        """Refuse patterns that no tool of these servers can match, whatever they offer.

        Raises:
            InvalidSelector: there is one.
        """
        for pattern in (*self.include, *self.exclude):
            if not any(_may_match(pattern, f"{name}_") for name in servers):
                names = ", ".join(repr(f"{name}_*") for name in servers)
                raise InvalidSelector(
                    f"The selector {pattern!r} matches no tool: they are called {names}. Write "
                    "their names, or patterns of them."
                )


def read_patterns(selectors: Sequence[object]) -> tuple[str, ...]:
    """Return selectors as patterns of names.

    Raises:
        InvalidSelector: one is no text.
    """
    for selector in selectors:
        if not isinstance(selector, str):
            raise InvalidSelector(f"The selector {selector!r} is no text: write a tool's name.")
    return tuple(map(str, selectors))


def _may_match(pattern: str, beginning: str) -> bool:
    """Whether a pattern could match a longer text that begins so."""
    plain = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return plain.startswith(beginning) or (plain != pattern and beginning.startswith(plain))
