"""Text that another server wrote, without what cannot be seen, turns it or colours a terminal."""

import math
import re
import unicodedata
from typing import Any, Final

from mcp_mount.openapi.simplify import shorten

_MAX_DESCRIPTION: Final = 2_000
_MAX_TITLE: Final = 100

_ANSI: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)", re.DOTALL
)

_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]"
    "|(?<![\u00a9\u00ae\u203c-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff])\ufe0f(?!\u20e3)"
)
"""Marks and letters that nobody sees (Unicode's Default_Ignorable_Code_Point, beside category C).
The one after a symbol stays: with it "❤" is the coloured one, as values of an `enum` have it."""


class _Visible(dict[int, int | None]):
    """What stands for each character: itself, or nothing. A class because `translate` asks it."""

    def __missing__(self, code: int) -> int | None:
        is_hidden = unicodedata.category(chr(code))[0] == "C" and chr(code) not in "\n\t"
        found = None if is_hidden else code
        if len(self) < _MAX_KNOWN:
            self[code] = found
        return found


_MAX_KNOWN: Final = 10_000
_VISIBLE: Final = _Visible()


def count_values(value: Any, most: float = math.inf, without: frozenset[str] = frozenset()) -> int:
    """Return how many values there are in a JSON value, itself counted; names are none.

    Beyond `most` it counts no further. What has a name in `without` is not counted.
    """
    count, values = 0, [value]
    while values and count <= most:
        each = values.pop()
        count += 1
        if isinstance(each, dict):
            values += (
                [member for name, member in each.items() if name not in without]
                if without
                else each.values()
            )
        elif isinstance(each, list):
            values += each
    return count


def clean_text(text: str, max_length: int) -> str:
    """Return at most `max_length` characters of a text, all of them visible."""
    # Cut first: nobody has to look at a megabyte. `shorten` adds a character that marks the cut.
    return shorten(_visible(text[: 4 * max_length]), max_length - 1)


def clean_title(text: str | None) -> str | None:
    """Return a title on one line; None if nothing is left of it."""
    return " ".join(clean_text(text or "", _MAX_TITLE).split()) or None


def clean_description(text: str | None) -> str:
    """Return a description that every client shows whole."""
    return clean_text(text or "", _MAX_DESCRIPTION)


def clean_json(value: Any) -> Any:
    """Return a JSON value whose names and texts are all visible; first see whether it `fits`."""
    if isinstance(value, dict):
        return {clean_json(key): clean_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [clean_json(each) for each in value]
    if not isinstance(value, str) or (value.isascii() and value.isprintable()):
        return value
    return _visible(value)


def is_visible(text: str) -> bool:
    """Whether a text on one line is shown whole, for what is sent back and cannot be cleaned."""
    return text.isprintable() and _visible(text) == text


def _visible(text: str) -> str:
    return _UNSEEN.sub("", _ANSI.sub("", text).translate(_VISIBLE))
