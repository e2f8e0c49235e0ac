"""Tells whether an application's own routing leads a path to the operation it is meant for.

``/users/{id}`` with the id ``me`` is another operation where the app has ``/users/me``, a slash in
a value is another path, and a route that is hidden from the document may take any path first.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.convertors import Convertor, PathConvertor, StringConvertor
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

_PARAMETER: Final = re.compile(r"\{[^{}]+\}")
_MOST_STEPS: Final = 3_000_000
"""Of all routes' expressions, which try a path in each way to divide it; some 20 ms."""


class Routing:
    """The routing of one application, asked without calling anything."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._routes: object = None
        self._entries: list[BaseRoute] = []
        self._count = 0
        self._contenders: dict[tuple[str, str], tuple[RouteContext, ...]] = {}
        # Operations whose paths no other route could take, and whose values may be any segment,
        # with the entry of the app's routes that each is, or is included by, and where it stands.
        self._alone: dict[tuple[str, str], tuple[int, BaseRoute]] = {}
        self._dividers: Counter[tuple[str, ...]] | None = None

    def is_as_meant(
        self, scope: Scope, template: str, values: Mapping[str, str], routes: object
    ) -> bool | None:
        """Whether the scope's path reaches the operation at `template`, with these path values.

        None where to find out would take too long. `routes` stands for the app's routes as they are
        now; another object: new routes.
        """
        entries = self._app.router.routes
        # FastAPI's document does not tell of routes that were taken out of the list.
        is_known = routes is self._routes and entries is self._entries
        method = scope["method"]
        position, entry = self._alone.get((method, template), (0, None))
        if (
            not is_known
            or len(entries) != self._count
            or (entry is not None and entries[position] is not entry)
        ):
            self._routes, self._entries, self._count = routes, entries, len(entries)
            self._contenders, self._alone, self._dividers = {}, {}, None
        contenders = self._contenders_for(method, template)
        is_plain = not scope["root_path"] and "/" not in "".join(values.values())
        if (method, template) in self._alone and is_plain:
            return True
        if not self._is_soon_matched(scope["path"]):
            return None
        if not contenders:
            # Documented by hand, for what is no route: then only a fixed path is certain.
            return not values
        for route in contenders:
            # A copy, because FastAPI's routes write into the scope that they look at.
            match, child = route.matches({**scope, "path_params": {}})
            if match is Match.FULL:
                found = child.get("path_params", {})
                return _is_documented(route, method, template) and _same_values(found, values)
        return False

    def _contenders_for(self, method: str, template: str) -> tuple[RouteContext, ...]:
        key = (method, template)
        if key not in self._contenders:
            # In the order of routing, each route that could take a path of the operation.
            routes = [*iter_route_contexts(self._app.router.routes)]
            same = [route for route in routes if _is_documented(route, method, template)]
            contenders = tuple(
                route for route in routes if any(_may_share_a_path(route, each) for each in same)
            )
            self._contenders[key] = contenders
            if len(contenders) == 1 and _takes_any_segment(contenders[0], method, template):
                for position, entry in enumerate(self._app.router.routes):
                    # The route itself, or the router that includes it.
                    inside = (each.original_route for each in iter_route_contexts([entry]))
                    if any(each is contenders[0].original_route for each in inside):
                        self._alone[key] = (position, entry)
                        break
        return self._contenders[key]

    def _is_soon_matched(self, path: str) -> bool:
        """Whether the routes of the app do not take long to say whose a path is."""
        if self._dividers is None:
            routes = iter_route_contexts(self._app.router.routes)
            self._dividers = Counter(_dividers(each) for each in routes if _has_values(each))
        ways = (
            count * prod(max(1, path.count(each)) for each in dividers)
            for dividers, count in self._dividers.items()
        )
        return len(path) * sum(ways) <= _MOST_STEPS

    def destination(self, scope: Scope) -> tuple[bool, str | None]:
        """Return whether a request would reach a route, and the operation's path if it is one."""
        if not self._is_soon_matched(scope["path"]):
            return True, None
        for route in iter_route_contexts(self._app.router.routes):
            match, _ = route.matches(dict(scope))
            if match is Match.FULL:
                shown = getattr(route, "include_in_schema", False)
                return True, route.path_format if shown else None
        return False, None

    def without_route(self, operations: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return those operations that are refused with whatever values: they are no route."""
        lost = dict.fromkeys(each for each in operations if "{" in each[1])
        templates = {template for _, template in lost}
        for route in iter_route_contexts(self._app.router.routes):
            if route.path_format in templates and route.include_in_schema:
                for method in route.methods or ():
                    lost.pop((method, route.path_format), None)
        return list(lost)

    def known_route(self, method: str, template: str) -> BaseRoute | None:
        """Return the entry of the app's routes that takes every path of the operation.

        Only where there is no other: the routes before it need not be asked. None where that is not
        certain.
        """
        return self._alone.get((method, template), (0, None))[1]


def _takes_any_segment(route: RouteContext, method: str, template: str) -> bool:
    """Whether the route is the operation, and each of its values a whole segment of any text."""
    convertors = getattr(route, "param_convertors", {}).values()
    segments = [segment for segment in template.split("/") if "{" in segment]
    return (
        _is_documented(route, method, template)
        and all(re.fullmatch(r"\{[^{}]+\}", segment) for segment in segments)
        and all(type(convertor) is StringConvertor for convertor in convertors)
        and len(segments) == len(convertors)
    )


def _has_values(route: RouteContext) -> bool:
    return "{" in (route.path_format or "")


def _dividers(route: RouteContext) -> tuple[str, ...]:
    """Return what stands between values where a path could be divided among them in several ways.

    Those of all segments: one that does not fit is tried with each way to divide those before it.
    """
    convertors = getattr(route, "param_convertors", {}).values()
    literals = _PARAMETER.split(route.path_format or "")[1:-1]
    found: list[str] = []
    has_slashes = False
    for convertor, literal in zip(convertors, literals, strict=False):
        has_slashes = has_slashes or _takes_slash(convertor)
        if has_slashes or "/" not in literal:
            found.append(literal)
    return tuple(found)


def _is_documented(route: RouteContext, method: str, template: str) -> bool:
    """Whether the OpenAPI document shows this route as the operation."""
    return (
        route.path_format == template
        and method in (route.methods or ())
        and bool(route.include_in_schema)
    )


def _may_share_a_path(one: RouteContext, other: RouteContext) -> bool:
    """Whether some path could match both routes; in doubt, yes."""
    if one.path_format is None or other.path_format is None:
        # A kind of route that has no path, e.g. `Host`.
        return True
    slashes = _takes_slashes(one) or _takes_slashes(other)
    first, second = one.path_format.split("/"), other.path_format.split("/")
    if len(first) != len(second) and not slashes:
        return False
    for left, right in zip(first, second, strict=False):
        if "{" not in left + right:
            if left != right:
                return False
        elif slashes:
            return True
    return True


def _takes_slashes(route: RouteContext) -> bool:
    """Whether a value in the route's path may be more than one segment, as in ``{p:path}``."""
    return any(map(_takes_slash, getattr(route, "param_convertors", {}).values()))


def _takes_slash(convertor: Convertor[Any]) -> bool:
    return isinstance(convertor, PathConvertor) or re.fullmatch(convertor.regex, "a/b") is not None


def _same_values(found: Mapping[str, Any], meant: Mapping[str, str]) -> bool:
    """Compare text only: a converted value (an integer, a UUID) cannot reach past its segment."""
    return found.keys() == meant.keys() and all(
        not isinstance(value, str) or value == meant[name] for name, value in found.items()
    )
