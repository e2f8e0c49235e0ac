"""Tells whether an application's own routing leads a path to the operation it is meant for.

``/users/{id}`` with the id ``me`` is another operation where the app has ``/users/me``, a slash in
a value is another path, and a route that is hidden from the document may take any path first.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.convertors import PathConvertor
from starlette.routing import Match
from starlette.types import Scope


class Routing:
    """The routing of one application, asked without calling anything.

    A class because it remembers, for each operation, the few routes that could take its paths:
    an app with a thousand routes is not searched for every call.
    """

    def __init__(self, app: FastAPI) -> None:
        """Take the application; routes may still be added to it."""
        self._app = app
        self._document: object = None
        self._contenders: dict[tuple[str, str], tuple[RouteContext, ...]] = {}

    def is_as_meant(self, scope: Scope, template: str, values: Mapping[str, str]) -> bool:
        """Whether the scope's path reaches the operation at `template`, with these path values."""
        method = scope["method"]
        contenders = self._contenders_for(method, template)
        if not contenders:
            # Documented by hand, for what is no route: then only a fixed path is certain.
            return not values
        for route in contenders:
            # A copy, because FastAPI's routes write into the scope that they look at.
            match, child = route.matches(dict(scope))
            if match is Match.FULL:
                found = child.get("path_params", {})
                return _is_documented(route, method, template) and _same_values(found, values)
        return False

    def _contenders_for(self, method: str, template: str) -> tuple[RouteContext, ...]:
        document = self._app.openapi()
        # FastAPI returns the same object until a route is added.
        if document is not self._document:
            self._document = document
            self._contenders = {}
        key = (method, template)
        if key not in self._contenders:
            self._contenders[key] = tuple(self._find_contenders(method, template))
        return self._contenders[key]

    def _find_contenders(self, method: str, template: str) -> Iterator[RouteContext]:
        """Yield, in the order of routing, each route that could take a path of the operation."""
        routes = [*iter_route_contexts(self._app.router.routes)]
        own = [route for route in routes if _is_documented(route, method, template)]
        for route in routes:
            if any(_may_share_a_path(route, other) for other in own):
                yield route


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
    convertors = getattr(route, "param_convertors", {}).values()
    return any(isinstance(each, PathConvertor) or "/" in each.regex for each in convertors)


def _same_values(found: Mapping[str, Any], meant: Mapping[str, str]) -> bool:
    """Compare text only: a converted value (an integer, a UUID) cannot reach past its segment."""
    return found.keys() == meant.keys() and all(
        not isinstance(value, str) or value == meant[name] for name, value in found.items()
    )
