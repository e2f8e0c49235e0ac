"""Reads an API in a gateway's file of servers."""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Final

from mcp_mount.apis import API
from mcp_mount.backends.token import ClientCredentials
from mcp_mount.backends.upstream import Upstream
from mcp_mount.environment import expand_variables
from mcp_mount.errors import MountError

_OF_API: Final = {each.name for each in fields(API)} - {"name", "upstream"}
_OF_UPSTREAM: Final = {
    *("headers", "forward_headers", "slashes", "encoded_slashes", "base_path", "strict")
}
_NEEDED_OF_TOKEN: Final = {"token_url", "client_id", "client_secret"}
_OF_TOKEN: Final = {*_NEEDED_OF_TOKEN, "scope"}


def read_api(name: str, entry: Mapping[str, Any], where: str) -> API:
    """Read ``{"openapi": "…", "upstream": "…"}`` with more keys of `API` and `Upstream`.

    Raises:
        MountError: a key is not known, or the API cannot be used.
    """
    known = _OF_API | _OF_UPSTREAM | {"upstream", "auth", "disabled"}
    for key in entry.keys() - known:
        near = ", ".join(get_close_matches(key, sorted(known), n=3) or sorted(known))
        raise MountError(f"{where} has the key {key!r}, which is not known. Near: {near}.")
    given = expand_variables(dict(entry), where)
    auth = given.get("auth")
    if auth is not None and not (
        isinstance(auth, dict) and _NEEDED_OF_TOKEN <= auth.keys() <= _OF_TOKEN
    ):
        raise MountError(
            f"{where} has an auth that is none: write the token_url, client_id and client_secret "
            "of the API's tokens, or a key in headers."
        )
    upstream = Upstream(
        given.get("upstream") or "",
        auth=ClientCredentials(**auth) if auth is not None else None,
        **{key: given[key] for key in _OF_UPSTREAM & given.keys()},
    )
    return API(name, upstream=upstream, **{key: given[key] for key in _OF_API & given.keys()})
