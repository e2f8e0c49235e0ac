"""The page, as one document: nothing is fetched for it, and a strict policy holds it to that.

It is the same for everyone and tells nothing of the server, so that a stranger may see it: what it
shows, its script asks the endpoint for, as the caller whose key was entered.
"""

import secrets
from functools import cache
from pathlib import Path
from typing import Final

from starlette.responses import Response

_FOLDER: Final = Path(__file__).parent
_SCRIPTS: Final = (
    *("dom", "endpoint", "schema", "form", "result", "call"),
    *("findings", "tool", "others", "overview", "sidebar", "main"),
)
"""In this order; each uses only what stands above it."""

_NONCE: Final = b"{nonce}"


def page_response() -> Response:
    """Return the page, with a policy under which only its own script and style count."""
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return Response(
        nonce.encode().join(_document()),
        media_type="text/html",
        headers={
            "content-security-policy": policy,
            # The nonce is for one response.
            "cache-control": "no-store",
            "vary": "accept",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
        },
    )


@cache
def _document() -> list[bytes]:
    """Return the document in parts, between which the nonce belongs."""
    script = "\n".join(_read(f"{name}.js") for name in _SCRIPTS)
    document = _read("shell.html")
    document = document.replace("{style}", _read("style.css")).replace("{script}", script)
    return document.encode().split(_NONCE)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
