"""Who makes a request: by a checked subject, the credentials that are shown, or the address."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import principal_components
from starlette.requests import Request

_PLACES: Final = (("header", "authorization"), ("header", "x-api-key"))
"""Where credentials are looked for, whatever the app's document says."""


def subject_of(request: Request) -> str | None:
    """Return the authenticated caller, e.g. ``"alice"``; None where none is known."""
    user = request.scope.get("user")
    if isinstance(user, AuthenticatedUser):
        # Several people may use one client: its id alone would make them one caller.
        return "/".join(part for part in principal_components(user.access_token) if part)
    # Whatever the app's middleware put there; only Starlette's form says who it is.
    if not getattr(user, "is_authenticated", False):
        return None
    for attribute in ("identity", "display_name"):
        try:
            name = getattr(user, attribute, None)
        except NotImplementedError:
            # Starlette's `BaseUser` leaves both to its subclasses.
            continue
        if name:
            return str(name)
    return None


def credentials_of(request: Request, places: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Return what tells a caller from others: the authenticated subject, or else what is shown.

    E.g. ``["subject:alice"]``, or ``["key:…"]`` with a hash for each credential; nothing where none
    is shown. `places` are where the app's document looks for keys (see `Operation`).
    """
    user = request.scope.get("user")
    if isinstance(user, AuthenticatedUser):
        # Each part may hold a slash, and some be missing.
        return [f"token:{json.dumps(principal_components(user.access_token))}"]
    if (subject := subject_of(request)) is not None:
        return [f"subject:{subject}"]
    # A store, and whoever reads it, has no need to know the credentials themselves.
    return [
        f"key:{hashlib.sha256(shown.encode()).hexdigest()}" for shown in _shown(request, places)
    ]


def principals_of(request: Request, places: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Return what `credentials_of` does; the client's address where that is nothing."""
    if found := credentials_of(request, places):
        return found
    return [f"address:{request.client.host if request.client else 'unknown'}"]


def _shown(request: Request, places: Iterable[tuple[str, str]]) -> Iterator[str]:
    for where, name in sorted({*_PLACES, *places}):
        if where == "header":
            values = request.headers.getlist(name)
        else:
            query = where == "query"
            pairs = request.query_params.multi_items() if query else request.cookies.items()
            # The names of places are in lower case, those of a request as its sender wrote them.
            values = [value for key, value in pairs if key.lower() == name]
        if name == "authorization":
            # One token in one way: apps take ``bearer  t`` for ``Bearer t`` (RFC 9110 §11.1).
            parts = (value.partition(" ") for value in values)
            values = [f"{scheme.lower()} {token.strip()}" for scheme, _, token in parts]
        yield from (f"{where} {name}={value}" for value in dict.fromkeys(values) if value)
