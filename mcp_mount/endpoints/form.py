"""Refuses a POST that is no message of JSON-RPC, in one sentence that says what to send."""

from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError
from pydantic_core import from_json
from starlette.responses import Response
from starlette.types import Scope

from mcp_mount.endpoints.guard import MOST_SAID, refuse

_JSON = "application/json"


def reject_form(scope: Scope, body: bytes) -> Response | None:
    """Return a 400 response, or None if there is a message, or what the SDK calls a parse error."""
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"content-type"]
    if not given or given[0].partition(";")[0].strip().lower() != _JSON:
        found = f"is {given[0][:MOST_SAID]!r}" if given else "is missing"
        return refuse(400, f"The Content-Type {found}: send {_JSON}.")
    try:
        is_one = is_message(body)
    except ValueError:
        return None
    if is_one:
        return None
    return refuse(
        400,
        "The body is no message: send one JSON-RPC object such as "
        '{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}.',
    )


def is_message(body: bytes) -> bool:
    """Whether JSON is a message of JSON-RPC.

    Raises:
        ValueError: it is no JSON.
    """
    # Of what pydantic reads itself, each of up to eleven errors would have a copy.
    message = from_json(body)
    try:
        jsonrpc_message_adapter.validate_python(message, by_name=False)
    except ValidationError:
        return False
    return True
