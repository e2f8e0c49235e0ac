"""Asks the caller's user before a destructive call runs.

A modern client that supports elicitation gets ``input_required`` with the question instead of a
result, and calls again with the answer (MCP 2026-07-28 "Elicitation"). What goes back and forth is
sealed by the SDK: bound to caller, tool and arguments, and it expires. Each question is answered
once, as far as this process knows, or all that share a store. Other clients have the
``destructiveHint`` to ask by themselves.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastmcp.server.context import Context
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.request_state import RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)
from mcp_types.methods import is_input_required
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

from mcp_mount.access.answered import ANSWER_SECONDS, Answered
from mcp_mount.access.principals import principals_of
from mcp_mount.conversion.content import Result, error
from mcp_mount.conversion.structure import MOST_ASIDE, VALUES_KEY
from mcp_mount.conversion.texts import write_utf8
from mcp_mount.errors import InvalidArguments, MountError

_ASKED: Final = "mcp_mount:asked:"
"""What the state of a question begins with; the rest is the question's own."""
_QUESTION: Final = "confirm"
_TOO_LARGE: Final = (
    "The user is to be asked about this call, and it holds too much for that: send less at once."
)
_SHORTEST_KEY: Final = 32
_LONGEST_VALUE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Result):
    """A result that asks the user, instead of what the call would give."""

    input_required: InputRequiredResult


def seal(
    key: str | None, credentials: Callable[[], Iterable[tuple[str, str]]]
) -> RequestStateSecurity:
    """Return how the state of a question is sealed.

    Args:
        key: A secret of 32 characters or more, the same in all processes that serve the endpoint;
            None where one process does.
        credentials: Returns where the app looks for keys (see `Operation`).

    Raises:
        MountError: the key is too short.
    """
    if key is not None and len(key) < _SHORTEST_KEY:
        raise MountError(
            f"state_key= has {len(key)} characters and needs {_SHORTEST_KEY}. Make one with: "
            'python -c "import secrets; print(secrets.token_hex(32))"'
        )

    def principal(context: ServerRequestContext[object, object]) -> str | None:
        """Name who asks, whether a FastMCP provider or the app itself told who that is."""
        if not isinstance(context.request, Request):
            return None
        return "\n".join(principals_of(context.request, credentials()))

    return RequestStateSecurity(
        keys=[key or secrets.token_hex(32)], ttl=ANSWER_SECONDS, bind_principal=principal
    )


async def refuse_large_question(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Ask nothing about a call that holds very much; middleware of the SDK's server.

    Raises:
        MCPError: a question was to be asked about one.
    """
    result = await call_next(ctx)
    if is_input_required(result) and _is_large(ctx.request):
        raise MCPError(code=INVALID_PARAMS, message=_TOO_LARGE)
    return result


def _is_large(request: object) -> bool:
    # The SDK binds a question to the arguments, which it sorts and writes in one step.
    return isinstance(request, Request) and request.scope.get(VALUES_KEY, 0) > MOST_ASIDE


async def question(
    context: Context,
    what: str,
    arguments: Mapping[str, Any],
    *,
    answered: Answered,
    first: Iterable[str] = (),
) -> Result | None:
    """Return what to answer instead of running the call; None when it may run.

    `what` would run, e.g. ``"DELETE /articles/{slug}"``; `first` are the arguments to name first.

    Raises:
        Busy: whether it has been answered before cannot be found out now.
        InvalidArguments: they hold too much to ask about them.
    """
    if not can_ask(context):
        return None
    if _is_large(context.request_context and context.request_context.request):
        raise InvalidArguments(_TOO_LARGE)
    answer = (context.input_responses or {}).get(_QUESTION)
    state = context.request_state or ""
    # Without the state the answer is to a question that nobody asked about this call; with one that
    # was used, to a call that is over.
    if answer is None or not state.startswith(_ASKED) or not await answered.add(state):
        return _ask(_write_question(what, arguments, first))
    if isinstance(answer, ElicitResult) and answer.action == "accept":
        return None
    return error("The user did not confirm the call. Nothing was done.")


def can_ask(context: Context) -> bool:
    """Whether the client can put a question to its user; neither mode named means forms."""
    request = context.request_context
    if request is None or request.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    capabilities = request.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and (elicitation.form is not None or elicitation.url is None)


def _write_question(what: str, arguments: Mapping[str, Any], first: Iterable[str]) -> str:
    """Write the question, e.g. ``Run DELETE /articles/{slug} with {"slug": "a"}?``, on one line.

    Every argument is there, whatever order and length the model gave them.
    """
    names = dict.fromkeys([*(name for name in first if name in arguments), *arguments])
    pairs = (f"{_write_readable(name)}: {_shorten(arguments[name])}" for name in names)
    given = f"{{{', '.join(pairs)}}}" if arguments else "no arguments"
    # What cannot be seen, or turns the direction of the text, could hide what is asked.
    plain = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in given)
    return f"Run {what} with {plain}?"


def _shorten(value: object) -> str:
    """Write a value as JSON; a long one as a string of its two ends, which closes its quotes."""
    text = value if isinstance(value, str) else write_utf8(value).decode()
    if len(text) <= _LONGEST_VALUE:
        return _write_readable(value)
    end = _LONGEST_VALUE // 2
    return f"{_write_readable(f'{text[:end]} … {text[-end:]}')} ({len(text)} characters)"


def _write_readable(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _ask(text: str) -> Question:
    params = ElicitRequestFormParams(
        message=text, requested_schema={"type": "object", "properties": {}}
    )
    return Question(
        content=(),
        input_required=InputRequiredResult(
            input_requests={_QUESTION: ElicitRequest(params=params)},
            request_state=_ASKED + secrets.token_hex(16),
        ),
    )
