"""Finds what a model should not see: passwords among arguments, and tokens in answers. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mcp_mount.openapi.tidy import LISTS, MAPS, SINGLES

_TAKES: Final = re.compile(r"(password|passwd|passphrase|clientsecret)\Z")
_GIVES: Final = re.compile(
    r"(access|refresh|id|auth|session|bearer)token\Z|(jwt|apikey|clientsecret)\Z"
)


def secrets_taken(schema: Mapping[str, Any]) -> list[str]:
    """Return the arguments of an input schema that take a password, e.g. ``["password"]``."""
    return [
        name
        for name, each in properties_in(schema)
        if each.get("format") == "password" or _TAKES.search(_fold(name))
    ]


def secrets_given(schema: Mapping[str, Any]) -> list[str]:
    """Return the fields of an output schema that give out a token, e.g. ``["access_token"]``."""
    return [name for name, _ in properties_in(schema) if _GIVES.match(_fold(name))]


def properties_in(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the properties in a published schema, with those inside of them."""
    for each in schemas_in(schema):
        if isinstance(properties := each.get("properties"), Mapping):
            named = properties.items()
            yield from (
                (name, value if isinstance(value, Mapping) else {}) for name, value in named
            )


def schemas_in(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a published schema, and every schema in it that is an object."""
    waiting: list[Any] = [schema]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, Mapping):
            # A server elsewhere may publish what is none.
            continue
        yield current
        for key in (*MAPS, "$defs"):
            if isinstance(inside := current.get(key), Mapping):
                waiting.extend(inside.values())
        for key in LISTS & current.keys():
            waiting.extend(current[key] if isinstance(current[key], list) else ())
        waiting.extend(current[key] for key in SINGLES & current.keys())


def _fold(name: str) -> str:
    """Write a name as all who spell it, e.g. ``"accesstoken"``."""
    return re.sub(r"[^a-z]", "", name.lower())
