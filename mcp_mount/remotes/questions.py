"""What another server asks of a user, passed on so that the user sees who asks.

Only questions are passed on, as forms, and as pages to open where the client says that it can do
that. They are cleaned and bounded like what the server says of its tools.
"""

import json
from typing import Any, Final

from fastmcp.server.context import Context
from fastmcp.tools import ToolResult
from fastmcp.tools.base import InputRequiredToolResult
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    InputRequiredResult,
)

from mcp_mount.remotes.foreign import is_uri
from mcp_mount.remotes.plain import cleaned, plain

_STATE: Final = "mcp_mount:remote:"
"""What the state of a question begins with that is the other server's."""

_LONGEST_QUESTION: Final = 1_000
_LONGEST_FORM: Final = 20_000
_LONGEST_STATE: Final = 100_000
_MOST_QUESTIONS: Final = 10
_LONGEST_KEY: Final = 100


def state_of(context: Context) -> str | None:
    """Return the state that the other server gave with its question; None before it has asked."""
    state = context.request_state
    is_its_own = state is not None and state.startswith(_STATE)
    return state.removeprefix(_STATE) if state is not None and is_its_own else None


def passed_on(asked: InputRequiredResult, name: str, context: Context) -> ToolResult:
    """Return the questions of the server so named, or an error that says why none is asked."""
    requests = asked.input_requests or {}
    state = asked.request_state or ""
    questions = {key: _question(each, name, context) for key, each in requests.items()}
    is_odd = any(len(key) > _LONGEST_KEY or not key.isprintable() for key in questions)
    is_much = len(questions) > _MOST_QUESTIONS or len(state) > _LONGEST_STATE
    if is_odd or is_much or None in questions.values():
        text = f"The server {name!r} asks for more than a question to its user, which is refused."
        return ToolResult(content=text, is_error=True)
    return InputRequiredToolResult(
        InputRequiredResult(input_requests=questions or None, request_state=_STATE + state)
    )


def _question(request: object, name: str, context: Context) -> Any:
    """Return a question with the server's name before it; None where it cannot be asked."""
    if not isinstance(request, ElicitRequest):
        return None
    params = request.params
    said = f"The server {name!r} asks: {plain(params.message, _LONGEST_QUESTION)}"
    if isinstance(params, ElicitRequestFormParams):
        form = cleaned(params.requested_schema)
        if len(json.dumps(form)) > _LONGEST_FORM:
            return None
        return ElicitRequest(params=ElicitRequestFormParams(message=said, requested_schema=form))
    is_page = is_uri(params.url) and params.url.startswith(("https://", "http://"))
    if not (is_page and _opens_pages(context)):
        return None
    return ElicitRequest(params=ElicitRequestURLParams(message=said, url=params.url))


def _opens_pages(context: Context) -> bool:
    request = context.request_context
    capabilities = request.session.client_capabilities if request is not None else None
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and elicitation.url is not None
