"""Which tools of the other servers are offered, by the names that callers see."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mcp_mount.errors import InvalidSelector


@dataclass(frozen=True, slots=True)
class ToolNames:
    """Patterns of names such as ``"wiki_get_*"``: `include` none means all, then `exclude`."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    def allows(self, name: str) -> bool:
        """Whether a tool is offered."""
        is_included = not self.include or _is_like(name, self.include)
        return is_included and not _is_like(name, self.exclude)

    def check(self, servers: Sequence[str]) -> None:
        """Refuse patterns that no tool of these servers can match, whatever they offer.

        Raises:
            InvalidSelector: there is one.
        """
        for pattern in (*self.include, *self.exclude):
            if not isinstance(pattern, str):
                raise InvalidSelector(
                    f"The selector {pattern!r} is no name: a gateway takes texts."
                )
            if not any(_may_match(pattern, f"{name}_") for name in servers):
                names = ", ".join(repr(f"{name}_*") for name in servers)
                message = (
                    f"The selector {pattern!r} matches no tool: they are called {names}. Write "
                    "their names, or patterns of them."
                )
                raise InvalidSelector(message)


def read_patterns(selectors: Sequence[object]) -> tuple[str, ...]:
    """Return selectors as patterns of names.

    Raises:
        InvalidSelector: one is no text.
    """
    for selector in selectors:
        if not isinstance(selector, str):
            raise InvalidSelector(f"The selector {selector!r} is no text: write a tool's name.")
    return tuple(map(str, selectors))


def _is_like(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _may_match(pattern: str, beginning: str) -> bool:
    """Whether a pattern could match a longer text that begins so."""
    plain = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return plain.startswith(beginning) or (plain != pattern and beginning.startswith(plain))
