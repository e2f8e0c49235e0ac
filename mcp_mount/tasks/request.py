"""The request of a caller in a form that can be kept, from which its call is made later."""

from collections.abc import Mapping
from typing import Any, Final, TypedDict

from starlette.types import Scope

_TEXTS: Final = ("http_version", "scheme", "root_path", "path", "method")


class KeptRequest(TypedDict):
    """An MCP request that has called a tool, as JSON, with the caller's credential in its scope.

    `granted` are the scopes of the caller; None where nothing tells them.
    """

    scope: dict[str, Any]
    tool: str
    arguments: dict[str, Any]
    trace: dict[str, str]
    client: str | None
    granted: list[str] | None


def keep_scope(scope: Scope) -> dict[str, Any]:
    """Return what HTTP said in a scope; what is around the app put other things there."""
    return {
        **{key: scope[key] for key in _TEXTS if key in scope},
        "query_string": scope.get("query_string", b"").decode("latin-1"),
        "headers": [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ],
        "client": scope.get("client"),
        "server": scope.get("server"),
    }


def restore_scope(kept: Mapping[str, Any], state: Mapping[str, Any] | None) -> Scope:
    """Return a scope as a server would make it; `state` is that of the app's lifespan here."""
    scope: Scope = {
        **kept,
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "query_string": kept["query_string"].encode("latin-1"),
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in kept["headers"]
        ],
        "client": tuple(kept["client"]) if kept["client"] else None,
        "server": tuple(kept["server"]) if kept["server"] else None,
    }
    if state is not None:
        scope["state"] = dict(state)
    return scope
