"""Decides which operations are offered: by marks on the routes, `include`, then `exclude`. Pure."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec

from mcp_mount.errors import InvalidDocument, InvalidMark, InvalidSelector
from mcp_mount.openapi.operations import Operation
from mcp_mount.tools.naming import check_names, give_names, is_name

Selector = str | Callable[[Operation], bool]

_HINTS = "readOnlyHint|destructiveHint|idempotentHint|openWorldHint"
_LIMITS = "timeout|max_bytes|max_items|max_event_bytes|max_concurrency"
_Hint = Annotated[str, msgspec.Meta(pattern=rf"\A({_HINTS})\Z")]
_Limit = Annotated[str, msgspec.Meta(pattern=rf"\A({_LIMITS})\Z")]


class ToolOverrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an author said of one operation with ``openapi_extra={"x-mcp": …}``.

    `annotations` holds the hints of the MCP specification, e.g. ``{"readOnlyHint": True}``;
    `limits` replaces those of the mount, e.g. ``{"timeout": 5}``; `confirm` says whether the
    caller's user is asked first.
    """

    name: str | None = None
    title: str | None = None
    description: str | None = None
    annotations: dict[_Hint, bool] = {}
    limits: dict[_Limit, int | float] = {}
    confirm: bool | None = None


def read_overrides(operation: Operation) -> ToolOverrides | None:
    """Read an operation's ``x-mcp`` value: a mapping describes the tool, ``False`` hides it (None).

    Raises:
        InvalidMark: the value has another form, or a key that is not known.
    """
    if operation.mark is None or operation.mark is True:
        return ToolOverrides()
    if operation.mark is False:
        return None
    try:
        overrides = msgspec.convert(operation.mark, ToolOverrides)
    except msgspec.ValidationError as error:
        message = (
            f"The 'x-mcp' mark of {operation} cannot be read: {error}. It is False, or a mapping "
            f"with any of {', '.join(ToolOverrides.__struct_fields__)}."
        )
        raise InvalidMark(message) from None
    if overrides.name is not None and not is_name(overrides.name):
        message = (
            f"The 'x-mcp' mark of {operation} names the tool {overrides.name!r}. Use letters, "
            "digits, '_' and '-', a letter first, at most 64."
        )
        raise InvalidMark(message)
    return overrides


@dataclass(frozen=True, slots=True)
class SelectedOperation:
    """An operation that is offered as the tool `name`."""

    name: str
    operation: Operation
    mark: ToolOverrides


def select(
    operations: Iterable[Operation],
    *,
    include: Sequence[Selector] = (),
    exclude: Sequence[Selector] = (),
) -> tuple[SelectedOperation, ...]:
    """Name the operations that are included, not excluded and not hidden, in their order.

    A selector is an operation id or tool name (``"get_article"``, globs allowed), a tag
    (``"tag:kb"``), a path (``"/admin/*"``), a method and path (``"DELETE *"``), or a callable that
    takes the `Operation`. Names are given before anything is left out, so that leaving one
    operation out renames no other.

    Raises:
        InvalidDocument: there is something wrong with an operation that is left.
        InvalidMark: an ``x-mcp`` mark cannot be read.
        InvalidSelector: a selector matches no operation, is of no known form, or raised.
        NameClash: the authors of two operations to be offered chose the same name.
    """
    may_lead_to = _name_unhidden(operations)
    selected = (
        _matching(may_lead_to, include, "include") if include else set(range(len(may_lead_to)))
    )
    selected -= _matching(may_lead_to, exclude, "exclude")
    chosen = [may_lead_to[index] for index in sorted(selected)]
    for offer in chosen:
        if offer.operation.fault:
            advice = f"Mend it, or leave it out with exclude=[{str(offer.operation)!r}]."
            raise InvalidDocument(f"{offer.operation.fault} {advice}")
    check_names((offer.name, offer.operation) for offer in chosen)
    return tuple(_told_apart(chosen))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An operation that is no tool, and why in one sentence."""

    operation: Operation
    reason: str


def explain_left_out(
    operations: Sequence[Operation],
    chosen: Iterable[Operation],
    *,
    include: Sequence[Selector] = (),
) -> Iterator[LeftOut]:
    """Yield each of the operations that is not among those that `select` chose."""
    known = {(operation.method, operation.path) for operation in chosen}
    named = _name_unhidden(operations)
    unhidden = {(each.operation.method, each.operation.path) for each in named}
    included = _matching(named, include, "include") if include else range(len(named))
    wanted = {(named[at].operation.method, named[at].operation.path) for at in included}
    for operation in operations:
        key = (operation.method, operation.path)
        if key in known:
            continue
        if key not in unhidden:
            reason = "Its mark (x-mcp) hides it."
        elif key not in wanted:
            reason = "include= does not name it."
        else:
            reason = "exclude= names it."
        yield LeftOut(operation, reason)


def _name_unhidden(operations: Iterable[Operation]) -> list[SelectedOperation]:
    """Name all operations, and return those that no mark hides."""
    marked = [(operation, read_overrides(operation)) for operation in operations]
    names = give_names([(operation, mark.name if mark else None) for operation, mark in marked])
    return [
        SelectedOperation(name, operation, mark)
        for name, (operation, mark) in zip(names, marked, strict=True)
        if mark is not None
    ]


def _told_apart(may_lead_to: Sequence[SelectedOperation]) -> Iterator[SelectedOperation]:
    """Begin each description that several have, such as those of two versions, with its path."""
    words = Counter((each.operation.summary, each.operation.description) for each in may_lead_to)
    for each in may_lead_to:
        operation = each.operation
        if operation.description and words[operation.summary, operation.description] > 1:
            description = f"{operation}: {operation.description}"
            yield replace(each, operation=replace(operation, description=description))
        else:
            yield each


def _matching(
    may_lead_to: Sequence[SelectedOperation], selectors: Sequence[Selector], option: str
) -> set[int]:
    """Return the indices of all offers that any of the selectors matches."""
    if isinstance(selectors, str):
        message = f"{option}={selectors!r} is one text: write {option}=[{selectors!r}]."
        raise InvalidSelector(message)
    found: set[int] = set()
    for selector in selectors:
        if not isinstance(selector, str | Callable):
            message = f"The selector {selector!r} is neither a text nor a callable."
            raise InvalidSelector(message)
        indices = {index for index, offer in enumerate(may_lead_to) if _matches(offer, selector)}
        if not indices:
            raise InvalidSelector(_no_match_message(may_lead_to, selector))
        found |= indices
    return found


def _matches(offer: SelectedOperation, selector: Selector) -> bool:
    if callable(selector):
        return _ask(selector, offer.operation)
    operation = offer.operation
    if selector.startswith("tag:"):
        return any(_is_like(tag, selector[4:]) for tag in operation.tags)
    method, space, path = selector.partition(" ")
    if space:
        return _is_like(operation.method, method.upper()) and _is_like(operation.path, path)
    if selector.startswith("/"):
        return _is_like(operation.path, selector)
    return _is_like(offer.name, selector) or _is_like(operation.id, selector)


def _is_like(text: str, pattern: str) -> bool:
    """Whether a glob matches; a text that itself holds ``[`` or ``*`` matches as it is, too."""
    return text == pattern or fnmatchcase(text, pattern)


def _ask(selector: Callable[[Operation], bool], operation: Operation) -> bool:
    """Ask a callable; one that fails must not decide, least of all that a route is offered."""
    try:
        answer: object = selector(operation)
    except Exception as error:
        message = (
            f"The selector {selector!r} raised {error!r} for {operation}. "
            "A selector must answer True or False for every operation."
        )
        raise InvalidSelector(message) from error
    if inspect.iscoroutine(answer):
        answer.close()
        message = f"The selector {selector!r} is asynchronous. Make it a plain function."
        raise InvalidSelector(message)
    return bool(answer)


def _no_match_message(may_lead_to: Sequence[SelectedOperation], selector: Selector) -> str:
    known = {offer.name for offer in may_lead_to}
    known |= {str(offer.operation) for offer in may_lead_to}
    known |= {offer.operation.path for offer in may_lead_to}
    known |= {f"tag:{tag}" for offer in may_lead_to for tag in offer.operation.tags}
    near = get_close_matches(str(selector), sorted(known), n=3, cutoff=0.5)
    hint = f"Near matches: {', '.join(map(repr, near))}." if near else "Nothing is near it."
    return f"The selector {selector!r} matches no operation. {hint}"
