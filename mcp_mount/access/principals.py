"""Who makes a request: by a checked subject, the credentials that are shown, or the address."""

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import principal_components
from starlette.requests import Request

from mcp_mount.errors import Busy

_PLACES: Final = (("header", "authorization"), ("header", "x-api-key"))
"""Where credentials are looked for, whatever the app's document says."""

_ESCAPED: Final = re.compile(r"\\(?:([0-3][0-7][0-7])|(.))")
"""A character of a cookie between quotes, as `http.cookies` writes it."""

_MOST_SHOWN: Final = 4
"""Each is counted, and whoever calls chooses how many headers there are."""


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


def callers_of(request: Request, places: Iterable[tuple[str, str]] = ()) -> list[str]:
    """Return whom a request counts against: each of `principals_of`, and not all as one.

    Only the app knows which of them it looks at. So each must have room, lest a made-up key beside
    a real one makes a new caller.

    Raises:
        Busy: more credentials are shown than are counted.
    """
    callers = principals_of(request, places)
    if len(callers) > _MOST_SHOWN:
        raise Busy(f"Too many credentials are shown: {len(callers)}. Show one.")
    return callers


def _shown(request: Request, places: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield what is shown, in an order that whoever calls has no part in."""
    looked_at = {*_PLACES, *places}
    kinds = {where for where, _ in looked_at}
    # The names of places are in lower case, those of a request as its sender wrote them.
    sent = [("header", name, value) for name, value in request.headers.items()]
    if "query" in kinds:
        pairs = request.query_params.multi_items()
        sent += [("query", name.lower(), value) for name, value in pairs]
    if "cookie" in kinds:
        sent += [("cookie", name.lower(), value) for name, value in _cookies(request).items()]
    shown = {
        (where, name, _as_read(value) if name == "authorization" else value)
        for where, name, value in sent
        if value and (where, name) in looked_at
    }
    yield from (f"{where} {name}={value}" for where, name, value in sorted(shown))


def _cookies(request: Request) -> dict[str, str]:
    """Return cookies as Starlette reads them.

    Its own reader takes four seconds for 64 KiB of backslashes in Python up to 3.11.9 and 3.12.5
    (CVE-2024-7592).
    """
    found = {}
    for pair in ";".join(request.headers.getlist("cookie")).split(";"):
        before, equals, after = pair.partition("=")
        name, value = (before, after.strip()) if equals else ("", before.strip())
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = _ESCAPED.sub(_unescape, value[1:-1])
        found[name.strip()] = value
    return found


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match[1], 8)) if match[1] else match[2]


def _as_read(value: str) -> str:
    """Return a credential in one way, e.g. for ``bearer  t`` and ``Bearer t`` (RFC 9110 §11.1)."""
    scheme, _, token = value.partition(" ")
    scheme, token = scheme.lower(), token.strip()
    if scheme == "basic":
        # FastAPI's own reader leaves out what is no Base64, so there are many ways to write it.
        with suppress(ValueError):
            token = repr(b64decode(token))
    return f"{scheme} {token}"
