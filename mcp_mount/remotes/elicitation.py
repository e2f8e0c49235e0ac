"""What another server asks of a user, passed on so that the user sees who asks.

Nothing is passed on that the client does not say it can do. Questions, pages to open and what the
client's model is to complete are cleaned and bounded like what the server says of its tools. No
form asks for a secret (MCP "Elicitation"), and no completion gets what the client knows of others.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple
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

from mcp_mount.remotes.outgoing import Caller
from mcp_mount.remotes.schemas import without_expressions
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

_SECRET: Final = re.compile(
    r"pass ?(?:word|wd|phrase|code|wort)|\bsecrets?\b|\b(?:api|private) ?keys?\b|\bcredentials?\b"
    r"|(?<!\bmax )(?<!\bof )\btokens?\b(?! (?:count|limit|budget|usage)\b)"
)
_CODE: Final = re.compile(r"\b(?:pins?|otp|cvv|cvc|bearer)\b")
"""What is asked for so by the name of a field alone: a description may speak of other pins."""

_WITHIN: Final = frozenset({"anyOf", "oneOf", "allOf", "items"})
"""Where a schema holds others that are of the same field."""

_BETWEEN_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|[^a-zA-Z]+")
_SPACED: Final = re.compile(r"\b[a-z](?: [a-z]\b){2,}")
_LOOKALIKES: Final = str.maketrans("аеорсухіјѕԁкмтнαορνικτ", "aeopcyxijsdkmthaopvikt")


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
        message=f"The server {name!r} asks: {error.message}",
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
    # No line of it looks like another server's question.
    lines = clean_text(params.message, _MAX_MESSAGE).splitlines()
    message = "\n> ".join([f"The server {name!r} asks: {''.join(lines[:1])}", *lines[1:]])
    can = said.elicitation if said is not None else None
    if isinstance(params, ElicitRequestFormParams):
        # A client that names no kind opens forms (MCP "Elicitation", "Capabilities").
        has_forms = can is not None and (can.form is not None or can.url is None)
        if not has_forms or not fits(params.requested_schema, _MAX_FORM):
            return None
        form = without_expressions(clean_json(params.requested_schema))
        if len(json.dumps(form)) > _MAX_FORM or _asks_for_secret(form):
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


def _clean_sampling(params: CreateMessageRequestParams, name: str) -> CreateMessageRequest | None:
    """Return a request for a completion, the server's name before it; None if it is too large."""
    said = params.model_dump(by_alias=True, exclude_none=True, mode="json")
    if not fits(said, _MAX_STATE):
        return None
    plain = clean_json(said)
    prompt = plain.get("systemPrompt", "Complete this.")
    plain["systemPrompt"] = f"The server {name!r} asks: {prompt}"
    # The client would add what it has of all that we offer, whosever it is.
    plain["includeContext"] = "none"
    for tool in plain.get("tools", ()):
        tool["inputSchema"] = without_expressions(tool["inputSchema"])
    return CreateMessageRequest(params=CreateMessageRequestParams.model_validate(plain))


def _asks_for_secret(form: Mapping[str, Any]) -> bool:
    """Whether a field of a form is for what only a page of the server itself may ask.

    A form has no fields in fields (MCP "Elicitation"), but a client may show them.
    """
    # A field may have thousands of schemas: what it is called is read once.
    look = cache(_look)
    return any(_is_secret(key, field, look) for key, field in _schemas_in(form))


def _schemas_in(value: object, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each schema in one, with the name of the field that it belongs to."""
    if isinstance(value, list):
        for each in value:
            yield from _schemas_in(each, key)
    elif isinstance(value, Mapping):
        yield key, value
        for name, each in value.items():
            yield from _schemas_in(each, key if name in _WITHIN else name)
    elif value is True:  # As a schema it accepts anything, a secret too.
        yield key, {}


class _Look(NamedTuple):
    """What a text asks for."""

    is_code: bool
    is_secret: bool


def _is_secret(key: str, field: Mapping[str, Any], look: Callable[[str], _Look]) -> bool:
    kind = field.get("type", "string")
    kinds = kind if isinstance(kind, list) else [kind]
    if field.get("format") == "password":
        return True
    if "string" not in kinds or field.get("enum"):
        return False
    said = [field.get(each, "") for each in ("title", "description")]
    if any(isinstance(each, list) for each in said):
        return True  # No title, but what a client may show as one.
    # What has fields is one that is called so, and looked at by itself.
    title, description = (each if isinstance(each, str) else "" for each in said)
    names = [*map(look, (key, title))]
    is_code = any(each.is_code for each in names)
    return is_code or any(each.is_secret for each in (*names, look(description)))


def _look(text: str) -> _Look:
    words = _words_of(text)
    return _Look(bool(_CODE.search(words)), bool(_SECRET.search(words)))


def _words_of(text: str) -> str:
    """Return a text in small Latin letters, its words apart, however they are written."""
    plain = unicodedata.normalize("NFKC", text).translate(_LOOKALIKES)
    words = " ".join(_BETWEEN_WORDS.split(plain)).lower().strip()
    return _SPACED.sub(lambda found: found[0].replace(" ", ""), words)


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
