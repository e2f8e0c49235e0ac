"""What is said of single operations as tools: by marks on their routes, and with ``tools=``."""

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from mcp_mount.errors import InvalidMark
from mcp_mount.halves import mend
from mcp_mount.limits import Limits
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.sizes import fits
from mcp_mount.tools.naming import is_name

Selector = str | Callable[[Operation], bool]
ToolMarks = Mapping[Selector, Mapping[str, Any]]
"""Marks for the operations that each selector matches; see ``tools=`` of `mount_mcp`."""

logger = logging.getLogger("mcp_mount")

_SHOWN = 20
"""Operations that one line of the log names."""

_LARGEST = 100_000
"""Characters of a mark."""

_MAX_META_DEPTH = 100
"""Values in each other; the SDK refuses to write more than 255, and with them the whole list."""

_HINTS = "readOnlyHint|destructiveHint|idempotentHint|openWorldHint"
_LIMITS = "timeout|max_bytes|max_items|max_event_bytes|max_concurrency|max_result_chars"
_Hint = Annotated[str, msgspec.Meta(pattern=rf"\A({_HINTS})\Z")]
_Limit = Annotated[str, msgspec.Meta(pattern=rf"\A({_LIMITS})\Z")]


class StreamOverrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the text of a stream is in each event's data, or line: a JSON pointer (RFC 6901).

    Attributes:
        text: The pointer, e.g. ``"/delta/text"``. False: nowhere, each event or line is an item;
            True: where the events of language models have it.
    """

    text: Annotated[str, msgspec.Meta(pattern=r"\A(/(.|\n)*)?\Z")] | bool = True


class ResourceOverrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an operation is a resource as well.

    `uri` is its address, or a template of it, e.g. ``"kb://articles/{slug}"``; None: one of the
    server's name and the path. `mime_type` and `size` (bytes) go before what the document says;
    `audience` and `priority` tell clients whom it is for (MCP "Resources", "Annotations").
    """

    uri: str | None = None
    mime_type: str | None = None
    size: Annotated[int, msgspec.Meta(ge=0)] | None = None
    audience: tuple[Literal["user", "assistant"], ...] = ()
    priority: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class ToolOverrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an author said of one operation with ``openapi_extra={"x-mcp": …}``, or ``tools=``.

    Attributes:
        name: The tool's name: letters, digits, ``_`` and ``-``, a letter first, at most 64.
        title: What people read in its place.
        description: What a model reads of it, in place of what the OpenAPI document says.
        annotations: The hints of the MCP specification: ``readOnlyHint``, ``destructiveHint``,
            ``idempotentHint`` and ``openWorldHint``, each true or false.
        limits: Replaces those of the mount, e.g. ``{"timeout": 5}``: all of `Limits` but
            ``max_request_bytes``. ``{"max_result_chars": False}`` switches that one off.
        confirm: Whether the caller's user is asked first.
        tags: Tags besides the operation's own, for selectors and FastMCP's visibility.
        meta: The tool's ``_meta``, e.g. ``{"ui": {"resourceUri": "ui://parts/table"}}``.
        stream: Where the text of a stream is, e.g. ``{"text": "/delta/text"}``.
        fields: Whether a model may ask for some fields of an answer.
        keywords: Words by which a search finds the tool.
        silence: Rules of ``mcp-mount check`` that do not apply.
        resource: Makes it a resource as well: true, its address, or more; see `ResourceOverrides`.
        tool: False where it is to be no tool.
        encoded_slashes: Whether the values in its path may hold slashes, which are sent as ``%2F``
            to an API elsewhere; see `Upstream`.
        task: Whether a client may start it, and fetch the result later; see `Tasks`.
    """

    name: str | None = None
    title: str | None = None
    description: str | None = None
    annotations: dict[_Hint, bool] = {}
    limits: dict[_Limit, int | float | bool | None] = {}
    confirm: bool | None = None
    tags: tuple[str, ...] = ()
    meta: dict[str, Any] = {}
    stream: StreamOverrides = StreamOverrides()
    fields: bool | None = None
    keywords: tuple[str, ...] = ()
    silence: tuple[str, ...] = ()
    resource: bool | str | ResourceOverrides | None = None
    tool: bool | None = None
    encoded_slashes: bool | None = None
    task: bool | None = None

    def override(self, other: "ToolOverrides") -> "ToolOverrides":
        """Return these with what another says, key by key in what is a mapping."""
        said: dict[str, Any] = {}
        for name in self.__struct_fields__:
            own, value = getattr(self, name), getattr(other, name)
            if isinstance(value, StreamOverrides):
                said[name] = own if value == StreamOverrides() else value
            elif isinstance(value, dict):
                said[name] = {**own, **value}
            elif isinstance(value, tuple):
                said[name] = (*own, *value)
            elif value is not None:
                said[name] = value
        return msgspec.structs.replace(self, **said)


def read_overrides(operation: Operation) -> ToolOverrides | None:
    """Read an operation's ``x-mcp`` value: a mapping describes the tool, ``False`` hides it (None).

    Raises:
        InvalidMark: the value has another form, or a key that is not known.
    """
    if operation.mark is None or operation.mark is True:
        return ToolOverrides()
    if operation.mark is False:
        return None
    return _convert(operation.mark, f"The 'x-mcp' mark of {operation}", "False, or a mapping")


def bounded(mark: ToolOverrides, operation: Operation, limits: Limits) -> ToolOverrides:
    """Return what a document that is not the app's own may say of an operation.

    It lowers limits, and asks for more confirmation; what the mount has set it neither raises nor
    switches off. A tool gets no slots of its own, which would come on top of those of the mount.
    """
    lower = {name: value for name, value in mark.limits.items() if _is_lower(name, value, limits)}
    hints = dict(mark.annotations)
    if operation.method == "DELETE" and hints.get("destructiveHint") is False:
        del hints["destructiveHint"]
    confirm = mark.confirm or None
    return msgspec.structs.replace(mark, limits=lower, annotations=hints, confirm=confirm)


def _is_lower(name: str, value: float | None, limits: Limits) -> bool:
    if name == "max_concurrency" or value is None or value is False:
        return False
    limit = getattr(limits, name)
    return limit is None or value <= limit


def warn_of_unbounded(operations: Iterable[Operation], limits: Limits) -> None:
    """Name the operations whose marks ask for more than they get; see `bounded`."""
    marked = ((each, read_overrides(each)) for each in operations)
    over = [str(each) for each, mark in marked if mark and bounded(mark, each, limits) != mark]
    if over:
        logger.warning(
            "What the 'x-mcp' marks of %d operations say beyond the limits, or of no confirmation, "
            "does not count: the document is the API's. Say it with tools= of a proxy, or limits= "
            "of an API in a gateway: %s",
            *(len(over), ", ".join(over[:_SHOWN])),
        )


def read_marks(tools: ToolMarks) -> Mapping[Selector, ToolOverrides]:
    """Read the value of ``tools=``.

    Raises:
        InvalidMark: a value has another form, or a key that is not known.
    """
    marks = {
        selector: _convert(mend(mark), f"What tools= says of {selector!r}", "a mapping")
        for selector, mark in tools.items()
    }
    for selector, mark in marks.items():
        try:
            Limits().overridden(mark.limits)
        except ValueError as wrong:
            raise InvalidMark(f"What tools= says of {selector!r} is no limit: {wrong}") from None
    return marks


def _expect_flat(meta: Mapping[str, Any]) -> None:
    if not fits(meta, math.inf, deepest=_MAX_META_DEPTH):
        message = f"its meta is of more than {_MAX_META_DEPTH} values in each other"
        raise ValueError(message)


def _convert(value: object, where: str, form: str) -> ToolOverrides:
    if not fits(value, _LARGEST):
        raise InvalidMark(f"{where} is too large: write no more than {_LARGEST:,} characters.")
    try:
        overrides = msgspec.convert(value, ToolOverrides)
        json.dumps(overrides.meta, allow_nan=False)
        _expect_flat(overrides.meta)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise InvalidMark(
            f"{where} cannot be read: {error}. It is {form} with any of "
            f"{', '.join(ToolOverrides.__struct_fields__)}."
        ) from None
    if overrides.name is not None and not is_name(overrides.name):
        raise InvalidMark(
            f"{where} names the tool {overrides.name!r}. Use letters, digits, '_' and '-', a "
            "letter first, at most 64."
        )
    return overrides
