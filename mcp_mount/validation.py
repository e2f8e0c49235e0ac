"""Rules for the values of options: the check, and the words for what a value must be."""

import math
from collections.abc import Callable, Collection, Mapping
from types import UnionType
from typing import Any, NamedTuple, cast

from mcp_mount.errors import MountError


class Rule(NamedTuple):
    """What an option must be: ``Rule(is_positive, "a positive number")``. A secret is not shown."""

    allows: Callable[[Any], bool]
    what: str
    is_secret: bool = False


def check_options(options: Mapping[str, object], rules: Mapping[str, Rule]) -> None:
    """Check those of the options, e.g. ``{"path": "/mcp"}``, for which there is a rule.

    Raises:
        MountError: a value is wrong; the message says what it must be.
    """
    for name, rule in rules.items():
        if name in options:
            _check(f"{name}=", options[name], rule)


def check_fields(value: object, rules: Mapping[str, Rule]) -> None:
    """Check the fields of a value such as `Limits`.

    Raises:
        MountError: a field is wrong; the message says what it must be.
    """
    for name, rule in rules.items():
        _check(f"{type(value).__name__}.{name}", getattr(value, name), rule)


def _check(label: str, value: object, rule: Rule) -> None:
    if rule.allows(value):
        return
    if isinstance(value, type):
        found = f"the class {value.__name__}"
    elif rule.is_secret:
        kind = type(value).__name__
        found = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    else:
        found = repr(value)
    raise MountError(f"{label} must be {rule.what}, not {found}.")


def instance_of(kind: type | UnionType) -> Callable[[object], bool]:
    """Return a check for values of a kind, e.g. ``instance_of(str | None)``."""
    return lambda value: isinstance(value, kind)


def optional(allows: Callable[[Any], bool]) -> Callable[[object], bool]:
    """Return a check that also lets None through."""
    return lambda value: value is None or allows(value)


def list_of(kind: type | UnionType) -> Callable[[object], bool]:
    """Return a check for several values of a kind; one string is not several."""
    return lambda values: (
        isinstance(values, Collection)
        and not isinstance(values, str | bytes | Mapping)
        and all(isinstance(each, kind) for each in values)
    )


def is_map_of_texts(value: object) -> bool:
    """Whether a value is a mapping of strings to strings."""
    return isinstance(value, Mapping) and list_of(str)((*value, *value.values()))


def is_positive(value: object) -> bool:
    """Whether a value is a positive, finite number."""
    # True is a number to Python, and to nobody else.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < cast("float", value) < math.inf


def is_positive_integer(value: object) -> bool:
    """Whether a value is 1, 2, 3 and so on."""
    return isinstance(value, int) and is_positive(value)
