"""Which operation of a document a path leads to, where somebody else routes it. Pure.

A literal segment comes before one with a parameter (OpenAPI 3.1 §4.8.8.2, "Path Templating
Matching"), and a parameter before one that holds slashes. Upper and lower case are taken as one, as
some servers do.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.parameters import route_of

_PARAMETER = re.compile(r"\{[^{}]+\}")
_MIXED = 1
_VALUE = "\0"
"""Stands for a parameter in a path whose literals are decoded."""


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """An operation, the paths it takes, and their segments, each with how literal it is."""

    operation: Operation
    pattern: re.Pattern[str]
    segments: tuple[tuple[int, str], ...]

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
        segments = tuple(
            (_rank(segment, takes_many=takes_many), segment)
            for segment in _VALUE.join(literals).split("/")
        )
        # Whether there is a slash at the end is the server's to say, which redirects.
        literals[-1] = literals[-1].removesuffix("/")
        pattern = _pattern(literals, "." if takes_many else "[^/]", "/?")
        return _Candidate(operation, pattern, segments)

    def _rivals_of(self, own: _Candidate) -> tuple[_Candidate, ...]:
        """Return the operations that could be chosen in its place; mostly there is none."""
        rivals = self._rivals.get(own)
        if rivals is None:
            takes_many = self.may_hold_slashes(own.operation)
            rivals = self._rivals[own] = tuple(
                each
                for each in self._candidates[own.operation.method].values()
                if (
                    len(each.segments) == len(own.segments)
                    or takes_many
                    or self.may_hold_slashes(each.operation)
                )
                and each.pattern.pattern != own.pattern.pattern
                and not _comes_first(own.segments, each.segments)
            )
        return rivals


def _pattern(literals: Sequence[str], value: str, end: str = "") -> re.Pattern[str]:
    """Return what takes these literals, with a value of such characters between each two."""
    first, *others = map(re.escape, literals)
    # The first place where a literal stands is as good as any later one. Without trying those, a
    # long value takes no longer than a short one does, for each of its characters.
    inner = "".join(f"(?>{value}+?{each})" for each in others[:-1])
    last = "".join(f"{value}+{each}" for each in others[-1:])
    return re.compile(f"{first}{inner}{last}{end}", re.IGNORECASE | re.DOTALL)


def _comes_first(own: Sequence[tuple[int, str]], other: Sequence[tuple[int, str]]) -> bool:
    """Whether every server takes this one for a path that both take.

    It does where no segment is less literal, and one is more so, or there are more of them.
    """
    more = [_is_more_literal(mine, theirs) for mine, theirs in zip(own, other, strict=False)]
    less = [_is_more_literal(theirs, mine) for mine, theirs in zip(own, other, strict=False)]
    return (any(more) or len(own) > len(other)) and not any(less)


def _is_more_literal(one: tuple[int, str], other: tuple[int, str]) -> bool:
    """Whether a segment is more literal, e.g. ``{x}.tar.gz`` than ``{x}.gz``, which takes more."""
    (rank, segment), (other_rank, other_segment) = one, other
    if rank != other_rank or rank != _MIXED or segment == other_segment:
        return rank < other_rank
    return _pattern(other_segment.split(_VALUE), ".").fullmatch(segment) is not None


def _rank(segment: str, *, takes_many: bool) -> int:
    """Return 0 for a literal segment, 1 for one that holds a parameter too, 2 for a parameter.

    3 is for one that holds slashes.
    """
    if _VALUE not in segment:
        return 0
    if takes_many:
        return 3
    return 2 if segment == _VALUE else _MIXED
