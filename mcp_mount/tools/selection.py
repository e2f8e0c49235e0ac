"""Decides which operations are offered: by marks on the routes, `include`, then `exclude`. Pure."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

from mcp_mount.errors import InvalidDocument, InvalidMark, InvalidSelector
from mcp_mount.limits import Limits
from mcp_mount.near import near_names
from mcp_mount.openapi.operations import Operation
from mcp_mount.tools.marks import (
    ResourceOverrides,
    Selector,
    ToolOverrides,
    bounded,
    read_overrides,
)
from mcp_mount.tools.naming import check_names, give_names


@dataclass(frozen=True, slots=True)
class SelectedOperation:
    """An operation that is offered as the tool `name`.

    `has_fields` tells that a model may ask for some fields of its answer. `resource` says how it is
    a resource as well; None: it is none.
    """

    name: str
    operation: Operation
    mark: ToolOverrides
    has_fields: bool = False
    resource: ResourceOverrides | None = None

    @property
    def is_tool(self) -> bool:
        """Whether it is offered as a tool, and not as a resource only."""
        return self.mark.tool is not False

    @property
    def tags(self) -> tuple[str, ...]:
        """The operation's tags, and those of its mark."""
        return (*self.operation.tags, *self.mark.tags)


def select(
    operations: Iterable[Operation],
    *,
    include: Sequence[Selector] = (),
    exclude: Sequence[Selector] = (),
    fields: Sequence[Selector] = (),
    resources: Sequence[Selector] = (),
    marks: Mapping[Selector, ToolOverrides] = MappingProxyType({}),
    within: Limits | None = None,
) -> tuple[SelectedOperation, ...]:
    """Name the operations that are included, not excluded and not hidden, in their order.

    `marks` say more of those that a selector matches, and go before an operation's own; a later
    one goes before an earlier one. `within` is for a document that is not the app's own: its marks
    may lower these limits only; see `bounded`.

    A selector is an operation id or tool name (``"get_article"``, globs allowed), a tag
    (``"tag:kb"``), a path (``"/admin/*"``), a method and path (``"DELETE *"``), or a callable that
    takes the `Operation`. Names are given before anything is left out, so that leaving one
    operation out renames no other. `fields` selects among those that are left, and `resources`
    among those of them that only read.

    Raises:
        InvalidDocument: there is something wrong with an operation that is left.
        InvalidMark: an ``x-mcp`` mark cannot be read.
        InvalidSelector: a selector matches no operation, is of no known form, or raised.
        NameClash: the authors of two operations to be offered chose the same name.
    """
    candidates = _candidates(operations, marks, within)
    indices = _matching(candidates, include, "include") if include else set(range(len(candidates)))
    indices -= _matching(candidates, exclude, "exclude")
    selected = [candidates[index] for index in sorted(indices)]
    for each in selected:
        if each.operation.fault:
            advice = f"Mend it, or leave it out with exclude=[{str(each.operation)!r}]."
            raise InvalidDocument(f"{each.operation.fault} {advice}")
    check_names((each.name, each.operation) for each in selected)
    with_fields = _matching(selected, fields, "fields")
    told = [
        replace(each, has_fields=index in with_fields if asked is None else asked)
        for index, each in enumerate(_told_apart(selected))
        for asked in [each.mark.fields]
    ]
    readable = [index for index, each in enumerate(told) if each.operation.method == "GET"]
    chosen = _matching([told[index] for index in readable], resources, "resources")
    as_resources = {readable[index] for index in chosen}
    return tuple(
        replace(each, resource=_resource(each, is_chosen=index in as_resources))
        for index, each in enumerate(told)
    )


def _resource(selected: SelectedOperation, *, is_chosen: bool) -> ResourceOverrides | None:
    """Return how an operation is a resource; what its mark says goes before the selectors."""
    asked = selected.mark.resource
    if asked is None:
        asked = is_chosen
    if asked is False:
        if not selected.is_tool:
            raise InvalidMark(
                f"The 'x-mcp' mark of {selected.operation} says that it is no tool, and it is no "
                'resource: say "resource": True as well, or leave it out with exclude=.'
            )
        return None
    if selected.operation.method != "GET":
        raise InvalidMark(
            f"The 'x-mcp' mark of {selected.operation} makes it a resource, which is read with GET "
            "only: leave out 'resource'."
        )
    if isinstance(asked, ResourceOverrides):
        return asked
    return ResourceOverrides(uri=asked if isinstance(asked, str) else None)


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
    marks: Mapping[Selector, ToolOverrides] = MappingProxyType({}),
) -> Iterator[LeftOut]:
    """Yield each of the operations that is not among those that `select` chose."""
    known = {(operation.method, operation.path) for operation in chosen}
    named = _candidates(operations, marks)
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


def _candidates(
    operations: Iterable[Operation],
    marks: Mapping[Selector, ToolOverrides],
    within: Limits | None = None,
) -> list[SelectedOperation]:
    """Name all operations, with what is said of them, and return those that no mark hides."""
    marked = [(operation, read_overrides(operation)) for operation in operations]
    if within is not None:
        marked = [(each, mark and bounded(mark, each, within)) for each, mark in marked]
    candidates = _name(marked)
    if marks:
        said = {id(each.operation): each.mark for each in candidates}
        for selector, mark in marks.items():
            for index in _matching(candidates, [selector], "tools"):
                key = id(candidates[index].operation)
                said[key] = said[key].override(mark)
        marked = [(each, said.get(id(each), mark)) for each, mark in marked]
        candidates = _name(marked)
    return candidates


def _name(marked: Sequence[tuple[Operation, ToolOverrides | None]]) -> list[SelectedOperation]:
    """Name all operations, and return those that are not hidden, with their tags."""
    names = give_names([(operation, mark.name if mark else None) for operation, mark in marked])
    return [
        SelectedOperation(name, operation, mark)
        for name, (operation, mark) in zip(names, marked, strict=True)
        if mark is not None
    ]


def _told_apart(selected: Sequence[SelectedOperation]) -> Iterator[SelectedOperation]:
    """Begin each description that several have, such as those of two versions, with its path."""
    words = Counter((each.operation.summary, each.operation.description) for each in selected)
    for each in selected:
        operation = each.operation
        if operation.description and words[operation.summary, operation.description] > 1:
            description = f"{operation}: {operation.description}"
            yield replace(each, operation=replace(operation, description=description))
        else:
            yield each


def _matching(
    candidates: Sequence[SelectedOperation], selectors: Sequence[Selector], option: str
) -> set[int]:
    """Return the indices of all candidates that any of the selectors matches."""
    if isinstance(selectors, str):
        message = f"{option}={selectors!r} is one text: write {option}=[{selectors!r}]."
        raise InvalidSelector(message)
    found: set[int] = set()
    for selector in selectors:
        if not isinstance(selector, str | Callable):
            raise InvalidSelector(f"The selector {selector!r} is neither a text nor a callable.")
        indices = {index for index, each in enumerate(candidates) if matches(each, selector)}
        if not indices:
            raise InvalidSelector(_no_match_message(candidates, selector))
        found |= indices
    return found


def matches(candidate: SelectedOperation, selector: Selector) -> bool:
    """Whether a selector matches an operation; see `select`."""
    if callable(selector):
        return _ask(selector, candidate.operation)
    operation = candidate.operation
    if selector.startswith("tag:"):
        return any(_is_like(tag, selector[4:]) for tag in candidate.tags)
    method, space, path = selector.partition(" ")
    if space:
        return _is_like(operation.method, method.upper()) and _is_like(operation.path, path)
    if selector.startswith("/"):
        return _is_like(operation.path, selector)
    return _is_like(candidate.name, selector) or _is_like(operation.id, selector)


def _is_like(text: str, pattern: str) -> bool:
    """Whether a glob matches; a text that itself holds ``[`` or ``*`` matches as it is, too."""
    return text == pattern or fnmatchcase(text, pattern)


def _ask(selector: Callable[[Operation], bool], operation: Operation) -> bool:
    """Ask a callable; one that fails must not decide, least of all that a route is offered."""
    try:
        answer: object = selector(operation)
    except Exception as error:
        raise InvalidSelector(
            f"The selector {selector!r} raised {error!r} for {operation}. "
            "A selector must answer True or False for every operation."
        ) from error
    if inspect.iscoroutine(answer):
        answer.close()
        message = f"The selector {selector!r} is asynchronous. Make it a plain function."
        raise InvalidSelector(message)
    return bool(answer)


def _no_match_message(candidates: Sequence[SelectedOperation], selector: Selector) -> str:
    known = {each.name for each in candidates}
    known |= {str(each.operation) for each in candidates}
    known |= {each.operation.path for each in candidates}
    known |= {f"tag:{tag}" for each in candidates for tag in each.tags}
    near = near_names(str(selector), sorted(known), cutoff=0.5)
    hint = f"Near matches: {', '.join(map(repr, near))}." if near else "Nothing is near it."
    return f"The selector {selector!r} matches no operation. {hint}"
