"""Which operation of a document a path leads to, where somebody else routes it. Pure.

A literal segment comes before one with a parameter (OpenAPI 3.1 §4.8.8.2, "Path Templating
Matching"), and a parameter before one that holds slashes. Upper and lower case are taken as one, as
some servers do.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from mcp_mount.operations import Operation
from mcp_mount.parameters import route_of

_PARAMETER = re.compile(r"\{[^{}]+\}")
_VALUE = "\0"
"""Stands for a parameter in a path whose literals are decoded."""


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """An operation, the paths it takes, and how literal each of its segments is."""

    operation: Operation
    pattern: re.Pattern[str]
    ranks: tuple[int, ...]

    def takes(self, path: str) -> bool:
        return self.pattern.fullmatch(path) is not None


class Paths:
    """Compares paths with the operations of one document.

    A class because it remembers which operations can be taken for which.
    """

    def __init__(self, operations: Iterable[Operation], slashes: Iterable[str] = ()) -> None:
        """Take all operations, those that are not offered too.

        Args:
            operations: Of the document.
            slashes: Operations whose values may hold slashes, e.g. ``"GET /files/{path}"``.
        """
        self._slashes = frozenset(slashes)
        self._candidates: dict[str, dict[str, _Candidate]] = {}
        self._rivals: dict[_Candidate, tuple[_Candidate, ...]] = {}
        for each in operations:
            of_method = self._candidates.setdefault(each.method, {})
            of_method[each.path] = self._candidate(each)

    def operation(self, method: str, template: str) -> Operation | None:
        """Return the operation of that method and template."""
        candidate = self._candidates.get(method, {}).get(template)
        return candidate.operation if candidate is not None else None

    def may_hold_slashes(self, operation: Operation) -> bool:
        """Whether the values in an operation's path may hold slashes."""
        return str(operation) in self._slashes

    def leads_to(self, operation: Operation, path: str) -> bool:
        """Whether a percent-encoded path leads to this operation and to no other."""
        own = self._candidates[operation.method][operation.path]
        inside = unquote(path)
        return own.takes(inside) and not any(rival.takes(inside) for rival in self._rivals_of(own))

    def found(self, method: str, path: str) -> Operation | None:
        """Return the operation that a percent-encoded path leads to; None: none, or several."""
        inside = unquote(path)
        matching = [
            each.operation
            for each in self._candidates.get(method, {}).values()
            if each.takes(inside)
        ]
        certain = [each for each in matching if self.leads_to(each, path)]
        return certain[0] if len(certain) == 1 else None

    def _candidate(self, operation: Operation) -> _Candidate:
        takes_many = self.may_hold_slashes(operation)
        literals = [unquote(each) for each in _PARAMETER.split(route_of(operation.path))]
        segments = _VALUE.join(literals).split("/")
        ranks = tuple(_rank(segment, takes_many=takes_many) for segment in segments)
        # Whether there is a slash at the end is the server's to say, which redirects.
        literals[-1] = literals[-1].removesuffix("/")
        first, *others = map(re.escape, literals)
        value = "." if takes_many else "[^/]"
        # The first place where a literal stands is as good as any later one. Without trying those,
        # a long value takes no longer than a short one does, for each of its characters.
        inner = "".join(f"(?>{value}+?{each})" for each in others[:-1])
        last = "".join(f"{value}+{each}" for each in others[-1:])
        pattern = re.compile(f"{first}{inner}{last}/?", re.IGNORECASE | re.DOTALL)
        return _Candidate(operation, pattern, ranks)

    def _rivals_of(self, own: _Candidate) -> tuple[_Candidate, ...]:
        """Return the operations that could be chosen in its place; mostly there is none."""
        rivals = self._rivals.get(own)
        if rivals is None:
            takes_many = self.may_hold_slashes(own.operation)
            rivals = self._rivals[own] = tuple(
                each
                for each in self._candidates[own.operation.method].values()
                if each.pattern.pattern != own.pattern.pattern
                and not _comes_first(own.ranks, each.ranks)
                and (
                    takes_many
                    or self.may_hold_slashes(each.operation)
                    or len(each.ranks) == len(own.ranks)
                )
            )
        return rivals


def _comes_first(own: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether every server takes this one for a path that both take.

    It does where no segment is less literal, and one is more so, or there are more of them.
    """
    pairs = [*zip(own, other, strict=False)]
    is_below = any(mine < theirs for mine, theirs in pairs) or len(own) > len(other)
    return is_below and all(mine <= theirs for mine, theirs in pairs)


def _rank(segment: str, *, takes_many: bool) -> int:
    """Return 0 for a literal segment, 1 for one that holds a parameter too, 2 for a parameter.

    3 is for one that holds slashes.
    """
    if _VALUE not in segment:
        return 0
    if takes_many:
        return 3
    return 2 if segment == _VALUE else 1
