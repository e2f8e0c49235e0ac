"""How one operation is called: what its mark and the mount say of it."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from mcp.shared.inbound import X_MCP_HEADER_KEY
from starlette.requests import Request

from mcp_mount.access.answered import ANSWERED_HERE, Answered
from mcp_mount.access.principals import callers_of
from mcp_mount.access.rates import CallRate
from mcp_mount.backends.backend import Backend
from mcp_mount.conversion.arguments import Arguments
from mcp_mount.conversion.deltas import Path, read_pointer
from mcp_mount.conversion.fields import NAME as FIELDS
from mcp_mount.conversion.fields import Fields
from mcp_mount.conversion.inputs import read_arguments
from mcp_mount.conversion.output import OutputSchema, read_output_schema
from mcp_mount.errors import InvalidMark
from mcp_mount.limits import Limits, Slots
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools.selection import SelectedOperation

logger = logging.getLogger("mcp_mount")


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """What all calls of a mount are subject to; a mark on an operation can say otherwise.

    `credentials` returns where the app's document looks for keys, and `callers` whom a request
    counts against.
    """

    limits: Limits
    slots: Slots
    credentials: Callable[[], Iterable[tuple[str, str]]] = frozenset
    callers: Callable[[Request], Iterable[str]] = callers_of
    rate: CallRate | None = None
    confirm: Literal["destructive"] | None = None
    answered: Answered = ANSWERED_HERE


@dataclass(frozen=True, slots=True)
class ToolBinding:
    """How one tool is called: from arguments to a request, and from its response to a result."""

    operation: Operation
    label: str
    """The operation in the log, e.g. ``"GET /articles/{slug}"``."""
    arguments: Arguments
    output_schema: Schema | None
    output: OutputSchema
    backend: Backend
    limits: Limits
    slots: Slots
    has_own_slots: bool
    """Whether the slots are for this tool alone."""
    rate: CallRate | None
    needs_confirmation: bool
    """Whether the caller's user is to be asked first."""
    answered: Answered
    """Remembers what the user has answered."""
    has_header_arguments: bool
    """Whether clients mirror some arguments in headers, which the SDK compares."""
    fields: Fields | None = None
    """The fields of its answers, where a model may ask for some of them."""
    is_task: bool = False
    """Whether a client may have it run as a task, where the mount has tasks."""
    silence: tuple[str, ...] = ()
    """The rules of `mcp-mount check` that its mark silences."""


def bind_operation(
    selected: SelectedOperation, schemas: Schemas, backend: Backend, policy: CallPolicy
) -> ToolBinding:
    """Return how an operation is called under a policy."""
    operation = selected.operation
    if selected.mark.encoded_slashes:
        backend.encode_slashes(operation)
    output_schema, output = read_output_schema(operation, schemas, _text_path(selected))
    limits = _limits(selected, policy)
    has_own_slots = "max_concurrency" in selected.mark.limits
    arguments = read_arguments(operation, schemas)
    fields = _fields(selected, arguments, output_schema, output)
    if fields is not None:
        arguments = fields.add_to(arguments)
    return ToolBinding(
        operation=operation,
        label=str(operation),
        arguments=arguments,
        output_schema=output_schema,
        output=output,
        backend=backend,
        limits=limits,
        slots=policy.slots.apart(limits.max_concurrency) if has_own_slots else policy.slots,
        has_own_slots=has_own_slots,
        rate=policy.rate,
        needs_confirmation=_needs_confirmation(selected, policy),
        answered=policy.answered,
        has_header_arguments=any(
            X_MCP_HEADER_KEY in each for each in arguments.schema["properties"].values()
        ),
        fields=fields,
        is_task=bool(selected.mark.task),
        silence=selected.mark.silence,
    )


def _text_path(selected: SelectedOperation) -> Path | Literal[False] | None:
    """Return where the text of a stream is, as the mark says; None where it says nothing."""
    text = selected.mark.stream.text
    if isinstance(text, str):
        return read_pointer(text)
    return None if text else False


def _fields(
    selected: SelectedOperation,
    arguments: Arguments,
    output_schema: Schema | None,
    output: OutputSchema,
) -> Fields | None:
    """Return the fields of a tool's answers; None where it has none to choose from."""
    if not selected.has_fields or output_schema is None or output.are_items:
        return None
    if FIELDS in arguments.schema["properties"]:
        logger.warning("%s has an argument 'fields' of its own, which stays.", selected.operation)
        return None
    fields = Fields(output_schema, is_wrapped=bool(output.wrapped))
    return fields if fields.known else None


def _limits(selected: SelectedOperation, policy: CallPolicy) -> Limits:
    try:
        return policy.limits.overridden(selected.mark.limits)
    except ValueError as wrong:
        message = f"The 'x-mcp' mark of {selected.operation} sets a limit that cannot be: {wrong}"
        raise InvalidMark(message) from None


def _needs_confirmation(selected: SelectedOperation, policy: CallPolicy) -> bool:
    """Whether the caller's user is to be asked: before a DELETE, or what a mark names."""
    mark = selected.mark
    if mark.confirm is not None:
        return mark.confirm
    destroys = mark.annotations.get("destructiveHint", selected.operation.method == "DELETE")
    return policy.confirm == "destructive" and destroys
