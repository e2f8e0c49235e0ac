"""How one operation is called: what its mark and the mount say of it."""

from dataclasses import dataclass
from typing import Literal

from mcp_mount.access.rates import CallRate
from mcp_mount.backends.backend import Backend
from mcp_mount.conversion.arguments import Arguments
from mcp_mount.conversion.inputs import read_arguments
from mcp_mount.conversion.output import OutputSchema, read_output_schema
from mcp_mount.errors import InvalidMark, MountError
from mcp_mount.limits import Limits, Slots
from mcp_mount.openapi.nodes import Schema
from mcp_mount.openapi.operations import Operation
from mcp_mount.openapi.schemas import Schemas
from mcp_mount.tools.selection import SelectedOperation


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """What the calls of a mount are subject to; a mark on an operation can say otherwise."""

    limits: Limits
    slots: Slots
    rate: CallRate | None = None
    confirm: Literal["destructive"] | None = None

    def __post_init__(self) -> None:
        """Refuse what would be read as "ask nobody".

        Raises:
            MountError: `confirm` has another value.
        """
        if self.confirm not in {None, "destructive"}:
            raise MountError(f"confirm={self.confirm!r} is not known: write 'destructive'.")


@dataclass(frozen=True, slots=True)
class ToolBinding:
    """How one tool is called: from arguments to a request, and from its response to a result."""

    operation: Operation
    arguments: Arguments
    output_schema: Schema | None
    shape: OutputSchema
    caller: Backend
    limits: Limits
    slots: Slots
    rate: CallRate | None
    asks: bool


def bind_operation(
    offer: SelectedOperation, schemas: Schemas, caller: Backend, terms: CallPolicy
) -> ToolBinding:
    """Return how an operation is called that is offered on these terms."""
    output_schema, shape = read_output_schema(offer.operation, schemas)
    limits = _limits(offer, terms)
    has_own_slots = "max_concurrency" in offer.mark.limits
    return ToolBinding(
        operation=offer.operation,
        arguments=read_arguments(offer.operation, schemas),
        output_schema=output_schema,
        shape=shape,
        caller=caller,
        limits=limits,
        slots=Slots(limits.max_concurrency) if has_own_slots else terms.slots,
        rate=terms.rate,
        asks=_asks(offer, terms),
    )


def _limits(offer: SelectedOperation, terms: CallPolicy) -> Limits:
    try:
        return terms.limits.overridden(offer.mark.limits)
    except ValueError as wrong:
        message = f"The 'x-mcp' mark of {offer.operation} sets a limit that cannot be: {wrong}"
        raise InvalidMark(message) from None


def _asks(offer: SelectedOperation, terms: CallPolicy) -> bool:
    """Whether the caller's user is to be asked: a DELETE, or what a mark names."""
    if offer.mark.confirm is not None:
        return offer.mark.confirm
    destroys = offer.mark.annotations.get("destructiveHint", offer.operation.method == "DELETE")
    return terms.confirm == "destructive" and destroys
