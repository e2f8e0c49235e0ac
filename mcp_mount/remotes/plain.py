"""Texts of others, without what cannot be seen, turns its direction or colours a terminal."""

import re
import unicodedata
from typing import Any, Final

from mcp_mount.openapi.simplify import shorten

_LONGEST_DESCRIPTION: Final = 2_000
_LONGEST_TITLE: Final = 100

_ANSI: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)", re.DOTALL
)


def plain(text: str, longest: int) -> str:
    """Return text without what cannot be seen, turns its direction or colours a terminal."""
    # Cut first: nobody has to look at a megabyte. With its mark, what is cut has a character more
    # than asked for.
    return shorten(_visible(text[: 4 * longest]), longest - 1)


def _visible(text: str) -> str:
    kept = _ANSI.sub("", text)
    return "".join(c for c in kept if c in "\n\t" or unicodedata.category(c)[0] != "C")


def cleaned(value: Any) -> Any:
    """Return a schema without what cannot be seen in any of its texts."""
    if isinstance(value, dict):
        return {cleaned(key): cleaned(each) for key, each in value.items()}
    if isinstance(value, list):
        return [cleaned(each) for each in value]
    # Otherwise as it is: a value of an `enum` is sent back.
    return _visible(value) if isinstance(value, str) and not value.isprintable() else value


def plain_title(text: str | None) -> str | None:
    """Return a title on one line; None where nothing is left of it."""
    return " ".join(plain(text or "", _LONGEST_TITLE).split()) or None


def plain_description(text: str | None) -> str:
    """Return a description that every client shows whole."""
    return plain(text or "", _LONGEST_DESCRIPTION)
