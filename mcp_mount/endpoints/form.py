"""Refuses a POST that is no message of JSON-RPC, in one sentence that says what to send."""

from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError
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
        jsonrpc_message_adapter.validate_json(body)
    except ValidationError as error:
        if (
            error.errors(include_url=False, include_context=False, include_input=False)[0]["type"]
            != "json_invalid"
        ):
            return refuse(
                400,
                "The body is no message: send one JSON-RPC object such as "
                '{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}.',
            )
    return None
