"""All rules, and what silences them."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from mcp_mount.check import answers, arguments, behaviour, whole, words
from mcp_mount.check.rule import Rule
from mcp_mount.errors import MountError

RULES: Final[tuple[Rule, ...]] = (
    *words.RULES,
    *arguments.RULES,
    *behaviour.RULES,
    *answers.RULES,
    *whole.RULES,
)
_IDS: Final = {rule.id for rule in RULES}


def check_silenced(entries: Iterable[str], where: str) -> frozenset[str]:
    """Return what is silenced: ids, and ids for one tool, ``"get_token:secret-answer"``.

    `where` says so, for the error.

    Raises:
        MountError: one names no rule.
    """
    for entry in entries:
        name = entry.rpartition(":")[2]
        if name not in _IDS:
            near = get_close_matches(name, _IDS, n=1)
            hint = (
                f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(_IDS))}."
            )
            raise MountError(f"{where} names {entry!r}, which is no rule. {hint}")
    return frozenset(entries)
