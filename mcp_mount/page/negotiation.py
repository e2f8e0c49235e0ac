"""What a GET of the endpoint asks for: the page, what the page shows, or a word of what it is."""

from typing import Final, Literal

from starlette.types import Scope

DETAILS_TYPE: Final = "application/vnd.mcp-mount.details+json"
"""What the page's own script asks for. No MCP client does, so all of them keep their answers."""

_STREAM: Final = "text/event-stream"
_MOST_READ: Final = 8 * 1024
"""Bytes of what a request accepts; nobody has a tenth of them to say."""

_ABOUT: Final = (
    "This is an MCP endpoint, for clients of the Model Context Protocol: they POST JSON-RPC with "
    "'Content-Type: application/json' and 'Accept: application/json, text/event-stream'.\n"
)
_WITH_PAGE: Final = (
    "To see its tools, open this URL in a browser, or give it to 'mcp-mount list'.\n"
)
_WITHOUT_PAGE: Final = "To see its tools, give this URL to 'mcp-mount list'.\n"

Wanted = Literal["page", "details"]


def wanted(scope: Scope) -> Wanted | None:
    """Return what a request is after; None where it is not the page's.

    A browser accepts ``text/html``. Whoever also accepts ``text/event-stream`` is an MCP client,
    and whoever accepts anything (``*/*``) has asked for nothing in particular.
    """
    if scope["method"] != "GET":
        return None
    accepted = _accepted(scope)
    if _STREAM in accepted:
        return None
    if "text/html" in accepted:
        return "page"
    return "details" if DETAILS_TYPE in accepted else None


def about_endpoint(scope: Scope, *, has_page: bool) -> str | None:
    """Return what a person reads who looks with a GET, as curl does; None for MCP clients."""
    if scope["method"] != "GET" or _STREAM in _accepted(scope):
        return None
    return _ABOUT + (_WITH_PAGE if has_page else _WITHOUT_PAGE)


def _accepted(scope: Scope) -> set[str]:
    """Return the media types that a request accepts; ``q=0`` accepts none (RFC 9110 §12.5.1)."""
    lines = (value for name, value in scope["headers"] if name == b"accept")
    found = set()
    for item in b",".join(lines)[:_MOST_READ].decode("latin-1").lower().split(","):
        media_type, *parameters = (part.strip() for part in item.split(";"))
        weights = [part[2:] for part in parameters if part.startswith("q=")]
        if not weights or weights[0].strip("0.") != "":
            found.add(media_type)
    return found
