"""What another server asks of a user, passed on so that the user sees who asks.

Nothing is passed on that the client does not say it can do. Questions, pages to open and what the
client's model is to complete are cleaned and bounded like what the server says of its tools. No
form asks for a secret (MCP "Elicitation"), and no completion gets what the client knows of others.
"""

import json
from typing import Any, Final
from urllib.parse import urlsplit

from fastmcp.server.context import Context
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitationRequiredErrorData,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ErrorData,
    InputRequiredResult,
    ListRootsRequest,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from mcp_mount.openapi.sizes import fits
from mcp_mount.remotes.forms import asks_for_secret
from mcp_mount.remotes.outgoing import Caller
from mcp_mount.remotes.schemas import without_expressions
from mcp_mount.remotes.text import clean_json, clean_text
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


def clean_required(error: ErrorData, name: str, caller: Caller | None) -> ErrorData | None:
    """Return an error that asks a user to open pages first; None if they cannot be asked.

    It is a question like any other, in the handshake versions (``URLElicitationRequiredError``).
    """
    try:
        said = ElicitationRequiredErrorData.model_validate(error.data, by_name=False)
    except ValidationError:
        return None
    asked = said.elicitations[: _MAX_REQUESTS + 1]
    pages = [clean_request(ElicitRequest(params=each), name, caller) for each in asked]
    if not pages or len(pages) > _MAX_REQUESTS or None in pages:
        return None
    clean = ElicitationRequiredErrorData(elicitations=[each.params for each in pages])
    return ErrorData(
        code=error.code,
        message=_quote(clean_text(error.message, _MAX_MESSAGE), name),
        data=clean.model_dump(by_alias=True, mode="json", exclude_none=True),
    )


def clean_request(request: object, name: str, caller: Caller | None) -> Any:
    """Return a question with the server's name before it; None if it cannot be asked."""
    said = caller.session.client_capabilities if caller is not None else None
    if isinstance(request, CreateMessageRequest) and said is not None and said.sampling is not None:
        return _clean_sampling(request.params, name)
    if isinstance(request, ListRootsRequest) and said is not None and said.roots is not None:
        return request
    if not isinstance(request, ElicitRequest):
        return None
    params = request.params
    question = clean_text(params.message, _MAX_MESSAGE)
    message = _quote(question, name)
    can = said.elicitation if said is not None else None
    if isinstance(params, ElicitRequestFormParams):
        # A client that names no kind opens forms (MCP "Elicitation", "Capabilities").
        has_forms = can is not None and (can.form is not None or can.url is None)
        if not has_forms or not fits(params.requested_schema, _MAX_FORM):
            return None
        form = without_expressions(clean_json(params.requested_schema))
        if len(json.dumps(form)) > _MAX_FORM or asks_for_secret(question, form):
            return None
        return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=form))
    identity = params.elicitation_id or ""
    is_odd = len(identity) > _MAX_KEY or not identity.isprintable()
    if is_odd or not (_is_page(params.url) and can_open_pages(caller)):
        return None
    page = ElicitRequestURLParams(
        message=message, url=params.url, elicitation_id=params.elicitation_id
    )
    return ElicitRequest(params=page)


def _quote(text: str, name: str) -> str:
    """Return a message with who asks before it; no line looks like another server's question."""
    lines = text.splitlines()
    return "\n> ".join([f"The server {name!r} asks: {''.join(lines[:1])}", *lines[1:]])


def _clean_sampling(params: CreateMessageRequestParams, name: str) -> CreateMessageRequest | None:
    """Return a request for a completion, the server's name before it; None if it is too large."""
    said = params.model_dump(by_alias=True, exclude_none=True, mode="json")
    if not fits(said, _MAX_STATE):
        return None
    plain = clean_json(said)
    prompt = plain.get("systemPrompt", "Complete this.")
    plain["systemPrompt"] = _quote(prompt, name)
    # The client would add what it has of all that we offer, whosever it is.
    plain["includeContext"] = "none"
    for tool in plain.get("tools", ()):
        tool["inputSchema"] = without_expressions(tool["inputSchema"])
    return CreateMessageRequest(params=CreateMessageRequestParams.model_validate(plain))


def _is_page(url: str) -> bool:
    """Whether an address can be opened, and names the host that it seems to name."""
    if not (is_uri(url) and url.startswith(("https://", "http://"))) or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and "@" not in parts.netloc


def can_open_pages(caller: Caller | None) -> bool:
    """Whether a caller's client says that it opens pages for its user."""
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
