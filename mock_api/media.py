"""What a file is and what it may be called: told from its bytes, never from the uploader's word."""

import re
import unicodedata
from typing import Final
from urllib.parse import quote

SIGNATURES: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
}
SHOWN_IN_PLACE: Final = frozenset(SIGNATURES.values())
BINARY: Final = "application/octet-stream"
TEXT: Final = "text/plain; charset=utf-8"


def media_type(data: bytes) -> str:
    """Name the type of a file: `"image/png"`.

    Text of any kind is plain text, so that no browser runs it.
    """
    for signature, name in SIGNATURES.items():
        if data.startswith(signature):
            return name
    if b"\0" in data:
        return BINARY
    try:
        data.decode()
    except UnicodeDecodeError:
        return BINARY
    return TEXT


_LONGEST = 1_000
"""Characters of an uploaded name that are looked at, from its end."""


def safe_filename(name: str | None) -> str:
    r"""Reduce an uploaded name to one that is safe in a path and a header.

    `"C:\\temp\\Réseau 1.png"` becomes `"Réseau 1.png"`, `"../../.bashrc"` becomes `"bashrc"`.
    """
    # To normalize a long one takes seconds.
    last = re.split(r"[\\/]", unicodedata.normalize("NFC", (name or "")[-_LONGEST:]))[-1]
    cleaned = re.sub(r"[^\w.\- ]+", "-", last).strip(" .-")
    return cleaned[-100:].strip(" .-") or "attachment"


def content_disposition(filename: str, media: str) -> str:
    """Render the header of a download, for any name (RFC 6266 §4.1, RFC 8187 §3.2)."""
    kind = "inline" if media in SHOWN_IN_PLACE else "attachment"
    fallback = re.sub(r"[^A-Za-z0-9._\- ]", "_", filename)
    return f"{kind}; filename=\"{fallback}\"; filename*=UTF-8''{quote(filename, safe='')}"
