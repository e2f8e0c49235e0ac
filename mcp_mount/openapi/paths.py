"""Which operation of a document a path leads to, where another server does the routing.

Servers agree only that a more specific template wins (OpenAPI 3.1 §4.8.8.2, "Path Templating
Matching"): ``/users/me`` before ``/users/{id}``. Any other overlap counts as leading elsewhere.
Upper and lower case are the same, as some servers have it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from mcp_mount.openapi.operations import Operation

_PARAMETER = re.compile(r"\{[^{}]+\}")
_ANY_VALUE = "\0"


@dataclass(frozen=True, slots=True, eq=False)
class _Route:
    """An operation and the decoded paths that it takes.

    `sample` is one of these paths, whose values match nothing but a parameter; `prefix` is what all
    of them begin with.
    """

    operation: Operation
    pattern: re.Pattern[str]
    sample: str
    prefix: str

    def takes(self, path: str) -> bool:
        return self.pattern.fullmatch(path) is not None

    def may_overlap(self, other: "_Route") -> bool:
        """Whether a path could be taken by both, and servers differ in which they prefer."""
        shared = min(len(self.prefix), len(other.prefix))
        return (
            self.prefix[:shared] == other.prefix[:shared]
            and self.pattern.pattern != other.pattern.pattern
            and not other.takes(self.sample)
        )


class Paths:
    """The operations of one document, by path."""

    def __init__(self, operations: Iterable[Operation], slashes: Iterable[str] = ()) -> None:
        """Index all operations, including those that are not offered.

        `slashes` are those whose values may hold slashes, e.g. ``"GET /files/{path}"``.
        """
        self._slashes = frozenset(slashes)
        self._routes: dict[str, dict[str, _Route]] = {}
        self._rivals: dict[_Route, tuple[_Route, ...]] = {}
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

    def leads_to(self, operation: Operation, path: str) -> bool:
        """Whether a percent-encoded path leads to this operation, and to no other on any server."""
        return self._takes(self._routes[operation.method][operation.path], unquote(path))

    def _takes(self, own: _Route, decoded: str) -> bool:
        return own.takes(decoded) and not any(each.takes(decoded) for each in self._rivals_of(own))

    def found(self, method: str, path: str) -> Operation | None:
        """Return the operation that a percent-encoded path leads to, if it is exactly one."""
        routes, decoded = self._routes.get(method, {}).values(), unquote(path)
        found = [each.operation for each in routes if self._takes(each, decoded)]
        return found[0] if len(found) == 1 else None

    def _rivals_of(self, own: _Route) -> tuple[_Route, ...]:
        """Return the routes that a server may prefer for some path of `own`."""
        if own not in self._rivals:
            others = self._routes[own.operation.method].values()
            self._rivals[own] = tuple(each for each in others if own.may_overlap(each))
        return self._rivals[own]


def _build_route(operation: Operation, *, may_hold_slashes: bool) -> _Route:
    literals = [unquote(each) for each in _PARAMETER.split(operation.path)]
    # An empty segment is taken by nothing but a value with slashes.
    sample = (f"{_ANY_VALUE}//{_ANY_VALUE}" if may_hold_slashes else _ANY_VALUE).join(literals)
    # Servers redirect to the path with or without a slash at its end, as they like.
    literals[-1] = literals[-1].removesuffix("/")
    value = "." if may_hold_slashes else "[^/]"
    first, *others = map(re.escape, literals)
    # Up to the last one, the first place where a literal stands is as good as any later one. The
    # atomic groups keep matching linear in the length of the path.
    inner = "".join(f"(?>{value}+?{each})" for each in others[:-1])
    last = "".join(f"{value}+{each}" for each in others[-1:])
    # What ends at a slash is taken at once: hundreds of routes may be asked.
    inner, last = (re.sub(r"\[\^/\]\+\??(?=/|$)", "[^/]++", each) for each in (inner, last))
    pattern = re.compile(f"{first}{inner}{last}/?", re.IGNORECASE | re.DOTALL)
    # Outside of ASCII, a character may have several other cases.
    prefix = re.split(r"[^\x00-\x7f]", literals[0], maxsplit=1)[0].lower()
    return _Route(operation, pattern, sample, prefix)
