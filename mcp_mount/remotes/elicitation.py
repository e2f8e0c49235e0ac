"""What another server asks of a user, passed on so that the user sees who asks.

Only forms are passed on, and pages to open if the client says that it can do that. They are cleaned
and bounded like what the server says of its tools.
"""

import json
from typing import Any, Final

from fastmcp.server.context import Context
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
)

from mcp_mount.remotes.text import clean_json, clean_text
from mcp_mount.tools.uris import is_uri

_STATE: Final = "mcp_mount:remote:"
"""What the state of a question begins with that is the other server's."""

_MAX_MESSAGE: Final = 1_000
_MAX_FORM: Final = 20_000
_MAX_STATE: Final = 100_000
_MAX_REQUESTS: Final = 10
_MAX_KEY: Final = 100


def read_state(context: Context) -> str | None:
    """Return the state that the other server gave with its question; None if it has not asked."""
    state = context.request_state
    return state.removeprefix(_STATE) if state and state.startswith(_STATE) else None


def pass_on(asked: InputRequiredResult, name: str, context: Context) -> InputRequiredResult | None:
    """Return the questions of the server of that name; None if they are not to be asked."""
    requests = asked.input_requests or {}
    state = asked.request_state or ""
    questions = {key: _clean_request(each, name, context) for key, each in requests.items()}
    is_odd = any(len(key) > _MAX_KEY or not key.isprintable() for key in questions)
    is_much = len(questions) > _MAX_REQUESTS or len(state) > _MAX_STATE
    if is_odd or is_much or None in questions.values():
        return None
    return InputRequiredResult(input_requests=questions or None, request_state=_STATE + state)


def _clean_request(request: object, name: str, context: Context) -> Any:
    """Return a question with the server's name before it; None if it cannot be asked."""
    if not isinstance(request, ElicitRequest):
        return None
    params = request.params
    message = f"The server {name!r} asks: {clean_text(params.message, _MAX_MESSAGE)}"
    if isinstance(params, ElicitRequestFormParams):
        form = clean_json(params.requested_schema)
        if len(json.dumps(form)) > _MAX_FORM:
            return None
        return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=form))
    is_page = is_uri(params.url) and params.url.startswith(("https://", "http://"))
    if not (is_page and _can_open_pages(context)):
        return None
    return ElicitRequest(params=ElicitRequestURLParams(message=message, url=params.url))


def _can_open_pages(context: Context) -> bool:
    request = context.request_context
    capabilities = request.session.client_capabilities if request is not None else None
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and elicitation.url is not None


async def decline(*arguments: object) -> ElicitResult:
    """Decline what is asked in a version that has no way back to the caller's client."""
    del arguments
    return ElicitResult(action="decline")
