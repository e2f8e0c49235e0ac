"""Gives every operation its tool name. Pure.

* It is the name that an author chose, otherwise the function's; FastAPI's generated operation id is
  that with the path and the method behind it.
* Every client accepts it: ``[A-Za-z][A-Za-z0-9_-]*``, at most 64 characters, and different from
  all others also after lower-casing and turning ``-`` into ``_``.
* Where names clash, each is told apart by its path or method, whatever the order of the operations.
  A name that an author chose is never changed; two of them cannot both be offered.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from mcp_mount.errors import NameClash
from mcp_mount.openapi.operations import Operation

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_LONGEST = 64
# Clients put the server's name before the tool's, and some cut the result at 63 characters.
_LONGEST_DERIVED = 48
# What a generated id ends in.
_METHODS = ("get", "put", "post", "delete", "patch", "query", "head", "options", "trace")
# The name itself, with path or method, with both, and with a hash of both.
_LEVELS = 4


def is_name(text: str) -> bool:
    """Whether every client accepts the text as a tool's name."""
    return _NAME.fullmatch(text) is not None


def give_names(wishes: Sequence[tuple[Operation, str | None]]) -> list[str]:
    """Name operations, each given with the name its mark asks for (None: no wish).

    Two names are the same only where authors chose them; see `check_names`.
    """
    claims = [_claim(operation, wish) for operation, wish in wishes]
    siblings: dict[str, list[Operation]] = defaultdict(list)
    for claim in claims:
        siblings[fold_name(claim.base)].append(claim.operation)
    names, levels = [""] * len(claims), [0] * len(claims)
    moving = [*range(len(claims))]
    # In rounds, so that the outcome does not depend on who came first.
    while moving:
        for index in moving:
            claim = claims[index]
            names[index] = _qualified(claim, levels[index], siblings[fold_name(claim.base)])
        holders: dict[str, list[int]] = defaultdict(list)
        for index, name in enumerate(names):
            holders[fold_name(name)].append(index)
        clashes = [indices for indices in holders.values() if len(indices) > 1]
        moving = [index for clash in clashes for index in _moving(clash, claims, levels)]
        for index in moving:
            levels[index] += 1
    return names


def names_within(namespace: str, names: Iterable[str], taken: Container[str]) -> dict[str, str]:
    """Name what another server offers, e.g. ``{"search": "wiki_search"}``.

    The namespace is a name of 32 characters at the most; `taken` are as `fold_name` writes them.
    """
    wishes = {name: _within(namespace, name) for name in names}
    claims = Counter(fold_name(wish) for wish in wishes.values())
    given: dict[str, str] = {}
    used: set[str] = set()
    for name, wish in wishes.items():
        named = wish
        if claims[fold_name(wish)] > 1 or fold_name(wish) in taken:
            named = _cut(wish, name)
        if fold_name(named) not in taken and fold_name(named) not in used:
            given[name] = named
            used.add(fold_name(named))
    return given


def _within(namespace: str, name: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9_-]", "_", name[: 2 * _LONGEST]).strip("_-")
    wish = f"{namespace}_{cleaned}" if cleaned else namespace
    is_short = len(wish) <= _LONGEST and len(name) <= 2 * _LONGEST
    return wish if is_short else _cut(wish, name)


def check_names(named: Iterable[tuple[str, Operation]]) -> None:
    """Check that the operations that are offered together have different names.

    Raises:
        NameClash: the authors of two operations chose the same name.
    """
    holders: dict[str, tuple[str, Operation]] = {}
    for name, operation in named:
        other_name, other = holders.setdefault(fold_name(name), (name, operation))
        if other is not operation:
            also = "" if other_name == name else f" and {name!r}, which clients may not tell apart"
            raise NameClash(
                f"Two operations would both be the tool {other_name!r}{also}: {other} and "
                f"{operation}. Give one an operation_id of its own, or a name with "
                'openapi_extra={"x-mcp": {"name": …}}; or leave one out with exclude=.'
            )


@dataclass(frozen=True, slots=True)
class _Claim:
    """The name an operation starts from; `chosen` when its author wrote just that."""

    operation: Operation
    base: str
    chosen: bool = False
    longest: int = _LONGEST


def _claim(operation: Operation, wish: str | None) -> _Claim:
    if wish is not None:
        return _Claim(operation, wish, chosen=True)
    # FastAPI's generated id is the function's name, the path and one of the route's methods.
    path = re.sub(r"\W", "_", operation.path)
    ends = [f"{path}_{method}" for method in _METHODS if operation.id.endswith(f"_{method}")]
    function = operation.id.removesuffix(ends[0]) if ends else ""
    if function and function != operation.id:
        base, longest = _clean(function), _LONGEST_DERIVED
    else:
        base, longest = _clean(operation.id), _LONGEST
    if not base:
        base, longest = f"{operation.method.lower()}_{_slug(operation.path)}", _LONGEST_DERIVED
    chosen = base == operation.id and len(base) <= _LONGEST
    return _Claim(operation, base, chosen=chosen, longest=longest)


def _moving(clash: Iterable[int], claims: Sequence[_Claim], levels: Sequence[int]) -> list[int]:
    """Return those sides of a clash that take a longer name.

    Whoever has a name as its author chose it keeps it. One route with several methods has been
    given its name once, so that none of them has more right to it than the others.
    """
    keeping = {index for index in clash if claims[index].chosen and levels[index] == 0}
    if len(keeping) > 1 and len({claims[index].operation.path for index in keeping}) == 1:
        keeping = set()
    return [index for index in clash if index not in keeping and levels[index] < _LEVELS - 1]


def _qualified(claim: _Claim, level: int, siblings: Sequence[Operation]) -> str:
    """Return the claim's name at a level; `siblings` started from the same name."""
    base, operation = claim.base, claim.operation
    method, slug = operation.method.lower(), _slug(operation.path)
    if level == 0:
        name = base
    elif level == 1:
        # On one path, only the methods differ.
        same_path = len(siblings) > 1 and len({other.path for other in siblings}) == 1
        name = f"{base}_{method if same_path else slug}"
    elif level == 2:
        name = f"{base}_{slug}_{method}"
    else:
        name = f"{base}_{_digest(str(operation))}"
    return _cut(name, str(operation), claim.longest) if len(name) > claim.longest else name


def _cut(name: str, whole: str, longest: int = _LONGEST) -> str:
    """Cut a name, and end it in a hash of what it stands for."""
    digest = _digest(whole)
    return f"{name[: longest - len(digest) - 1].rstrip('_-')}_{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


def _slug(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_") or "root"


def _clean(name: str) -> str:
    """Turn text into a tool name: ``__private`` is ``private``, ``2fa.list`` ``t_2fa_list``."""
    if is_name(name):
        return name
    cleaned = re.sub(r"[^A-Za-z0-9_-]", "_", name).strip("_-")
    return f"t_{cleaned}" if cleaned[:1].isdigit() else cleaned


def fold_name(name: str) -> str:
    """Write a name as the clients do that tell the fewest names apart."""
    return name.lower().replace("-", "_")
