"""How large JSON values are. Pure."""

import math
from typing import Any, Final

_VALUE: Final = 4
"""What a JSON value counts beside its characters."""


def fits(value: Any, most: float, *, deepest: float = math.inf) -> bool:
    """Whether a JSON value has no more than so many characters, each value counting a few.

    It looks at no more than that: what is far too large is found out as soon as what is not. Nor
    may it be of more than `deepest` values in each other.
    """
    values, depth = [value], 0
    while values and depth < deepest:
        inner: list[Any] = []
        for each in values:
            most -= _VALUE
            if isinstance(each, str | dict | list):
                most -= len(each)
            elif isinstance(each, int):
                # Three bits are less than a digit.
                most -= each.bit_length() // 3
            if most < 0:
                return False
            if isinstance(each, dict):
                inner += [*each.keys(), *each.values()]
            elif isinstance(each, list):
                inner += each
        values, depth = inner, depth + 1
    return not values


def count_characters(value: Any) -> int:
    """Return how many characters a JSON value has, as `fits` counts; what is shared counts once."""
    count, values, seen = 0, [value], set[int]()
    while values:
        each = values.pop()
        count += _VALUE
        if isinstance(each, dict | list):
            if id(each) in seen:
                continue
            seen.add(id(each))
            values += each.values() if isinstance(each, dict) else each
        if isinstance(each, str):
            count += len(each)
        elif isinstance(each, dict):
            count += sum(_VALUE + len(str(name)) for name in each)
    return count
