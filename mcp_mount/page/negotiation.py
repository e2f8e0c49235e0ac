"""What a GET of the endpoint asks for: the page, what the page shows, or neither. Pure."""

from typing import Final, Literal

from starlette.types import Scope

DETAILS_TYPE: Final = "application/vnd.mcp-mount.details+json"
"""What the page's own script asks for. No MCP client does, so all of them keep their answers."""

Wanted = Literal["page", "details"]


def wanted(scope: Scope) -> Wanted | None:
    """Return what a request is after; None where it is not the page's.

    A browser accepts ``text/html``. Whoever also accepts ``text/event-stream`` is an MCP client,
    and whoever accepts anything (``*/*``) has asked for nothing in particular.
    """
    if scope["method"] != "GET":
        return None
    accepted = _accepted(scope)
    if "text/event-stream" in accepted:
        return None
    if "text/html" in accepted:
        return "page"
    return "details" if DETAILS_TYPE in accepted else None


def _accepted(scope: Scope) -> set[str]:
    """Return the media types that a request accepts; ``q=0`` accepts none (RFC 9110 §12.5.1)."""
    lines = (value for name, value in scope["headers"] if name == b"accept")
    found = set()
    for item in b",".join(lines).decode("latin-1").lower().split(","):
        media_type, *parameters = (part.strip() for part in item.split(";"))
        weights = [part[2:] for part in parameters if part.startswith("q=")]
        if not weights or weights[0].strip("0.") != "":
            found.add(media_type)
    return found
