"""Which operation of a document a path leads to, where another server does the routing.

Servers agree only that a more specific template wins (OpenAPI 3.1 §4.8.8.2, "Path Templating
Matching"): ``/users/me`` before ``/users/{id}``. Any other overlap counts as leading elsewhere.
Upper and lower case are the same, as some servers have it.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from mcp_mount.openapi.operations import Operation

_PARAMETER = re.compile(r"\{[^{}]+\}")
_ANY_VALUE = "\0"
_MOST_WORK: Final = 3_000_000
"""Characters of a path that are compared with templates, in all of them together."""
_OF_EACH: Final = 100
"""Characters that are as much work as one template."""
_LITERAL: Final = 10
"""Characters of a literal that may be looked for in the time that the path takes once more."""
_MOST_KEPT: Final = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Route:
    """An operation and the decoded paths that it takes, all of them in one case.

    `literals` is what stands before, between and behind the values. `sample` is one of the paths,
    whose values match nothing but a parameter. `slashes` is how many the literals have, and `cost`
    how many times a path may be gone through to find them.
    """

    operation: Operation
    literals: tuple[str, ...]
    sample: str
    slashes: int
    cost: int
    may_hold_slashes: bool

    def is_near(self, path: str, slashes: int) -> bool:
        """Whether a path with so many slashes is worth being compared with the whole template."""
        more = slashes - self.slashes
        last = self.literals[-1]
        return (
            (self.may_hold_slashes or more in {0, 1})
            and path.startswith(self.literals[0])
            and path.endswith((last, f"{last}/"))
        )

    def takes(self, path: str) -> bool:
        """Whether a path is the template's; it takes time in proportion to the path."""
        first, *others = self.literals
        if not path.startswith(first):
            return False
        if not others:
            return path[len(first) :] in {"", "/"}
        *inner, last = others
        # Servers redirect to the path with or without a slash at its end, as they like.
        ends = [len(path) - len(end) for end in (last, f"{last}/") if path.endswith(end)]
        start, slash = len(first), -1
        for literal in inner if ends else ():
            if slash < start:
                slash = self._slash(path, start)
            # The first place where a literal stands is as good as any later one.
            place = path.find(literal, start + 1, slash + len(literal))
            if place < 0:
                return False
            start = place + len(literal)
        return any(start < end <= self._slash(path, start) for end in ends)

    def _slash(self, path: str, start: int) -> int:
        """Return where a value that begins there ends at the latest."""
        place = -1 if self.may_hold_slashes else path.find("/", start)
        return len(path) if place < 0 else place

    def may_overlap(self, other: "_Route") -> bool:
        """Whether a path could be taken by both, and servers differ in which they prefer."""
        first, second, sample = self.literals[0], other.literals[0], self.sample
        is_same = (self.literals, self.may_hold_slashes) == (other.literals, other.may_hold_slashes)
        return (
            (first.startswith(second) or second.startswith(first))
            and not is_same
            and not (other.is_near(sample, sample.count("/")) and other.takes(sample))
        )


class Paths:
    """The operations of one document, by path."""

    def __init__(self, operations: Iterable[Operation], slashes: Iterable[str] = ()) -> None:
        """Index all operations, including those that are not offered.

        `slashes` are those whose values may hold slashes, e.g. ``"GET /files/{path}"``.
        """
        self._slashes = frozenset(slashes)
        self._routes: dict[str, dict[str, _Route]] = {}
        self._rivals: dict[_Route, tuple[_Route, ...] | None] = {}
        self._kept = 0
        for each in operations:
            route = _build_route(each, may_hold_slashes=self.may_hold_slashes(each))
            self._routes.setdefault(each.method, {})[each.path] = route

    def operation(self, method: str, template: str) -> Operation | None:
        """Return the operation of that method and template."""
        route = self._routes.get(method, {}).get(template)
        return route.operation if route is not None else None

    def may_hold_slashes(self, operation: Operation) -> bool:
        """Whether the values in an operation's path may hold slashes."""
        return str(operation) in self._slashes

    def leads_to(self, operation: Operation, path: str) -> bool | None:
        """Whether a percent-encoded path leads to this operation, and to no other on any server.

        None: it would take too long to find out.
        """
        own = self._routes[operation.method][operation.path]
        decoded = _fold(unquote(path))
        rivals = self._rivals_of(own)
        near = None if rivals is None else _near((own, *rivals), decoded)
        return None if near is None else [each for each in near if each.takes(decoded)] == [own]

    def found(self, method: str, path: str) -> Operation | None:
        """Return the operation that a percent-encoded path leads to, if it is exactly one."""
        decoded, routes = _fold(unquote(path)), self._routes.get(method, {}).values()
        taking = [each for each in _near(routes, decoded) or () if each.takes(decoded)]
        if _work(taking, decoded) * len(taking) > _MOST_WORK:
            return None
        found = [own for own in taking if not any(map(own.may_overlap, taking))]
        return found[0].operation if len(found) == 1 else None

    def _rivals_of(self, own: _Route) -> tuple[_Route, ...] | None:
        """Return the routes that a server may prefer for some path of `own`; None: too many."""
        if own not in self._rivals:
            others = self._routes[own.operation.method].values()
            is_little = _near(others, own.sample) is not None
            known = tuple(filter(own.may_overlap, others)) if is_little else None
            self._kept += 1 + len(known or ())
            if self._kept > _MOST_KEPT:
                self._rivals.clear()
                self._kept = 1 + len(known or ())
            self._rivals[own] = known
        return self._rivals[own]


def _near(routes: Collection[_Route], path: str) -> list[_Route] | None:
    """Return the routes that may take a path; None: they are too many while all else waits."""
    if len(routes) * _OF_EACH > _MOST_WORK:
        return None
    slashes = path.count("/")
    near = [each for each in routes if each.is_near(path, slashes)]
    return near if _work(near, path) <= _MOST_WORK else None


def _work(routes: Iterable[_Route], path: str) -> int:
    return sum(_OF_EACH + len(path) * each.cost for each in routes)


def _fold(path: str) -> str:
    """Return a path with one case for all that a server may take for the same character."""
    return path if path.isascii() and path.islower() else path.replace("İ", "i").upper().casefold()


def _build_route(operation: Operation, *, may_hold_slashes: bool) -> _Route:
    literals = [_fold(unquote(each)) for each in _PARAMETER.split(operation.path)]
    # An empty segment is taken by nothing but a value with slashes.
    sample = (f"{_ANY_VALUE}//{_ANY_VALUE}" if may_hold_slashes else _ANY_VALUE).join(literals)
    literals[-1] = literals[-1].removesuffix("/")
    cost = 1 + max(map(len, literals[1:-1]), default=0) // _LITERAL
    slashes = sum(each.count("/") for each in literals)
    return _Route(operation, tuple(literals), sample, slashes, cost, may_hold_slashes)
