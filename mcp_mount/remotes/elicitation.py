"""What another server asks of a user, passed on so that the user sees who asks.

Nothing is passed on that the client does not say it can do. Forms and pages to open are cleaned and
bounded like what the server says of its tools; completions of the client's model are bounded.
"""

import json
from typing import Any, Final

from fastmcp.server.context import Context
from mcp_types import (
    CreateMessageRequest,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    InputRequiredResult,
    ListRootsRequest,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from mcp_mount.remotes.outgoing import Caller
from mcp_mount.remotes.text import clean_json, clean_text, fits
from mcp_mount.tools.uris import is_uri

_STATE: Final = "mcp_mount:remote:"
"""What the state of a question begins with that is the other server's."""

_PASSED_ON: Final = ("elicitation", "sampling", "roots")

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
    questions = {
        key: clean_request(each, name, context.request_context) for key, each in requests.items()
    }
    is_odd = any(len(key) > _MAX_KEY or not key.isprintable() for key in questions)
    is_much = len(questions) > _MAX_REQUESTS or len(state) > _MAX_STATE
    if is_odd or is_much or None in questions.values():
        return None
    return InputRequiredResult(input_requests=questions or None, request_state=_STATE + state)


def clean_request(request: object, name: str, caller: Caller | None) -> Any:
    """Return a question with the server's name before it; None if it cannot be asked."""
    said = caller.session.client_capabilities if caller is not None else None
    if isinstance(request, CreateMessageRequest) and said is not None and said.sampling is not None:
        return request if len(request.model_dump_json()) <= _MAX_STATE else None
    if isinstance(request, ListRootsRequest) and said is not None and said.roots is not None:
        return request
    if not isinstance(request, ElicitRequest):
        return None
    params = request.params
    message = f"The server {name!r} asks: {clean_text(params.message, _MAX_MESSAGE)}"
    if isinstance(params, ElicitRequestFormParams):
        if not fits(params.requested_schema, _MAX_FORM):
            return None
        form = clean_json(params.requested_schema)
        if len(json.dumps(form)) > _MAX_FORM:
            return None
        return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=form))
    is_page = is_uri(params.url) and params.url.startswith(("https://", "http://"))
    if not (is_page and _can_open_pages(caller)):
        return None
    page = ElicitRequestURLParams(
        message=message, url=params.url, elicitation_id=params.elicitation_id
    )
    return ElicitRequest(params=page)


def _can_open_pages(caller: Caller | None) -> bool:
    capabilities = caller.session.client_capabilities if caller is not None else None
    elicitation = capabilities.elicitation if capabilities is not None else None
    return elicitation is not None and elicitation.url is not None


def capabilities_of(context: Context) -> dict[str, Any]:
    """Return what the caller's client says that it can do, of what can be passed on.

    In the modern era alone: before, a question has no way back but the session that it came by.
    """
    request = context.request_context
    if request is None or request.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return {}
    said = request.session.client_capabilities
    if said is None:
        return {}
    known = said.model_dump(by_alias=True, exclude_none=True, mode="json")
    return {key: known[key] for key in _PASSED_ON if key in known}
