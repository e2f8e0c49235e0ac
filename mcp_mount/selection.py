"""Decides which operations are offered and what each is called. Pure.

Names follow the clients' common rule: ``[A-Za-z][A-Za-z0-9_-]*``, at most 64 characters, unique
also after lower-casing and turning ``-`` into ``_``.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from mcp_mount.errors import InvalidMark, InvalidSelector, NameClash
from mcp_mount.operations import Operation

Selector = str | Callable[[Operation], bool]

_LONGEST_NAME = 64
# Clients put the server's name before the tool's, and some cut the result at 63 characters.
_LONGEST_DERIVED_NAME = 48
_HINTS = {
    "readOnlyHint": bool,
    "destructiveHint": bool,
    "idempotentHint": bool,
    "openWorldHint": bool,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What an author said of one operation with ``openapi_extra={"x-mcp": …}``.

    `annotations` holds the hints of the MCP specification, e.g. ``{"readOnlyHint": True}``.
    """

    hidden: bool = False
    name: str | None = None
    title: str | None = None
    description: str | None = None
    annotations: Mapping[str, bool] = field(default_factory=dict)


def read_mark(operation: Operation) -> Mark:
    """Read an operation's ``x-mcp`` value: ``False`` hides it, a mapping describes the tool.

    Raises:
        InvalidMark: the value has another form, or a key that is not known.
    """
    value = operation.mark
    if value is None or isinstance(value, bool):
        return Mark(hidden=value is False)
    if not isinstance(value, Mapping):
        raise InvalidMark(_mark_message(operation, f"is {value!r}", "Use False or a mapping."))
    expected = {"name": str, "title": str, "description": str, "annotations": Mapping}
    _check_keys(operation, value, expected)
    _check_keys(operation, value.get("annotations", {}), _HINTS)
    name = value.get("name")
    if name is not None and _clean(name) != name:
        advice = f"Use letters, digits, '_' and '-', a letter first, at most {_LONGEST_NAME}."
        raise InvalidMark(_mark_message(operation, f"names the tool {name!r}", advice))
    return Mark(**value)


def _check_keys(
    operation: Operation, value: Mapping[str, Any], expected: Mapping[str, type]
) -> None:
    known = ", ".join(repr(key) for key in expected)
    for key, item in value.items():
        if key not in expected:
            advice = f"Known are {known}."
            raise InvalidMark(_mark_message(operation, f"has the unknown key {key!r}", advice))
        if not isinstance(item, expected[key]):
            advice = f"It takes a value of type {expected[key].__name__!r}."
            raise InvalidMark(_mark_message(operation, f"has {key!r}: {item!r}", advice))


def _mark_message(operation: Operation, found: str, advice: str) -> str:
    return f"The 'x-mcp' mark of {operation} {found}. {advice}"


@dataclass(frozen=True, slots=True)
class Offer:
    """An operation that is offered as the tool `name`."""

    name: str
    operation: Operation
    mark: Mark


def select(
    operations: Iterable[Operation],
    *,
    include: Sequence[Selector] = (),
    exclude: Sequence[Selector] = (),
) -> tuple[Offer, ...]:
    """Name the operations that are included, not excluded and not hidden, in their order.

    A selector is an operation id or tool name (``"get_article"``, globs allowed), a tag
    (``"tag:kb"``), a path (``"/admin/*"``), a method and path (``"DELETE *"``), or a callable that
    takes the `Operation`. Names are given before anything is left out, so that leaving one
    operation out renames no other.

    Raises:
        InvalidMark: an ``x-mcp`` mark cannot be read.
        InvalidSelector: a selector matches no operation, or raised.
        NameClash: the authors of two operations chose the same name.
    """
    marked = [(operation, read_mark(operation)) for operation in operations]
    shown = [(operation, mark) for operation, mark in marked if not mark.hidden]
    names = _names(shown)
    offers = [Offer(name, *pair) for name, pair in zip(names, shown, strict=True)]
    included = _matching(offers, include) if include else set(names)
    excluded = _matching(offers, exclude)
    return tuple(offer for offer in offers if offer.name in included - excluded)


def _matching(offers: Sequence[Offer], selectors: Sequence[Selector]) -> set[str]:
    """Return the names of all offers that any of the selectors matches."""
    found: set[str] = set()
    for selector in selectors:
        names = {offer.name for offer in offers if _matches(offer, selector)}
        if not names:
            raise InvalidSelector(_no_match_message(offers, selector))
        found |= names
    return found


def _matches(offer: Offer, selector: Selector) -> bool:
    if callable(selector):
        try:
            return bool(selector(offer.operation))
        except Exception as error:
            message = (
                f"The selector {selector!r} raised {error!r} for {offer.operation}. "
                "A selector must answer True or False for every operation."
            )
            raise InvalidSelector(message) from error
    operation = offer.operation
    if selector.startswith("tag:"):
        return any(fnmatchcase(tag, selector[4:]) for tag in operation.tags)
    method, space, path = selector.partition(" ")
    if space:
        return fnmatchcase(operation.method, method.upper()) and fnmatchcase(operation.path, path)
    if selector.startswith("/"):
        return fnmatchcase(operation.path, selector)
    return fnmatchcase(offer.name, selector) or fnmatchcase(operation.id, selector)


def _no_match_message(offers: Sequence[Offer], selector: Selector) -> str:
    known = {offer.name for offer in offers}
    known |= {str(offer.operation) for offer in offers}
    known |= {offer.operation.path for offer in offers}
    known |= {f"tag:{tag}" for offer in offers for tag in offer.operation.tags}
    near = get_close_matches(str(selector), sorted(known), n=3, cutoff=0.5)
    hint = f"Near matches: {', '.join(map(repr, near))}." if near else "Nothing is near it."
    return f"The selector {selector!r} matches no operation. {hint}"


def _names(marked: Sequence[tuple[Operation, Mark]]) -> list[str]:
    """Give every operation a name that depends on the set of operations, never on their order.

    Each round qualifies the names that clash a little more: by path or method, by both, and at
    last by a hash of both, which two operations never share.
    """
    bases = [_base(operation, mark) for operation, mark in marked]
    operations = [operation for operation, _ in marked]
    authored_on: dict[str, set[str]] = {}
    for operation, (base, authored) in zip(operations, bases, strict=True):
        if authored:
            authored_on.setdefault(_folded(base), set()).add(operation.path)
    # One name on several methods of one path comes from one route: its author chose once.
    fixed = [authored and len(authored_on[_folded(base)]) > 1 for base, authored in bases]
    levels = [0] * len(bases)
    for _ in range(4 * len(bases) + 1):
        names = [
            _qualified(operation, base, authored=authored, level=level, group=groups)
            for operation, (base, authored), level, groups in zip(
                operations, bases, levels, _siblings(operations, bases), strict=True
            )
        ]
        counts = Counter(map(_folded, names))
        clashing = [index for index, name in enumerate(names) if counts[_folded(name)] > 1]
        movable = [i for i in clashing if not fixed[i] and _may_move(i, names, bases, clashing)]
        if not movable:
            break
        for index in movable:
            levels[index] += 1
    if clashing:
        raise NameClash(_clash_message(operations, names))
    return names


def _may_move(
    index: int, names: Sequence[str], bases: Sequence[tuple[str, bool]], clashing: Sequence[int]
) -> bool:
    """Whether this side of a clash gives way: a chosen name does so only to its own route."""
    if not bases[index][1]:
        return True
    mine = _folded(names[index])
    return all(bases[other][1] for other in clashing if _folded(names[other]) == mine)


def _siblings(
    operations: Sequence[Operation], bases: Sequence[tuple[str, bool]]
) -> list[list[Operation]]:
    """Return, for each operation, all that started from the same name (itself among them)."""
    groups: dict[str, list[Operation]] = {}
    for operation, (base, _) in zip(operations, bases, strict=True):
        groups.setdefault(_folded(base), []).append(operation)
    return [groups[_folded(base)] for base, _ in bases]


def _base(operation: Operation, mark: Mark) -> tuple[str, bool]:
    """Return the name to start from, and whether an author chose it."""
    if mark.name is not None:
        return mark.name, True
    # FastAPI's generated id is the function's name, the path and one of the route's methods.
    path = re.escape(re.sub(r"\W", "_", operation.path))
    generated = re.fullmatch(rf"(.+){path}_[a-z]+", operation.id)
    if generated:
        return _clean(generated[1]), False
    if operation.id:
        return _clean(operation.id), True
    return _clean(f"{operation.method.lower()}_{_slug(operation.path)}"), False


def _qualified(
    operation: Operation, base: str, *, authored: bool, level: int, group: Sequence[Operation]
) -> str:
    method, slug = operation.method.lower(), _slug(operation.path)
    if level == 0:
        name = base
    elif level == 1:
        one_path = len({other.path for other in group}) == 1
        name = f"{base}_{method if one_path else slug}"
    elif level == 2:
        name = f"{base}_{slug}_{method}"
    else:
        name = f"{base}_{_digest(operation)}"
    return _shortened(name, operation, _LONGEST_NAME if authored else _LONGEST_DERIVED_NAME)


def _shortened(name: str, operation: Operation, limit: int) -> str:
    if len(name) <= limit:
        return name
    digest = _digest(operation)
    return f"{name[: limit - len(digest) - 1].rstrip('_-')}_{digest}"


def _digest(operation: Operation) -> str:
    return hashlib.sha256(str(operation).encode()).hexdigest()[:8]


def _slug(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_") or "root"


def _clean(name: str) -> str:
    """Turn any text into a tool name: ``__private`` is ``private``, ``2fa.list`` ``t_2fa_list``."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]", "_", name).strip("_-")
    if not re.match(r"[A-Za-z]", cleaned):
        cleaned = f"t_{cleaned}".rstrip("_")
    return cleaned


def _folded(name: str) -> str:
    return name.lower().replace("-", "_")


def _clash_message(operations: Sequence[Operation], names: Sequence[str]) -> str:
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(_folded(name), []).append(index)
    indices = next(group for group in groups.values() if len(group) > 1)
    routes = " and ".join(str(operations[index]) for index in indices)
    return (
        f"Several operations would all be the tool {names[indices[0]]!r}: {routes}. Give one "
        'another operation_id, or a name with openapi_extra={"x-mcp": {"name": …}}.'
    )
