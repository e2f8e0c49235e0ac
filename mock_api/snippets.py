"""The passage of a text that has most of the words of a search.

FTS5 has `snippet()` for it, which compares each word that it has found with each other one: a text
that repeats the query takes it many seconds.
"""

import re
from itertools import islice
from typing import Final

OPENING, CLOSING = "\x02", "\x03"
"""What FTS5's `highlight()` puts around words that were found."""

LENGTH: Final = 240
"""Characters from the first word that was found, its marks included."""

LEAD: Final = 80
"""Characters before it, at the most: its sentence begins there, if it is no longer."""

MOST_FOUND: Final = 64
"""Words that are looked at; what one article takes does not depend on what is written in it."""

_FOUND: Final = re.compile(f"{OPENING}([^{CLOSING}]*)")
_BEGINNING: Final = re.compile(rf"{CLOSING}|(?<=[.!?:])\s+|\n+")


def best_part(highlighted: str) -> str:
    """Return the part with most of the words, each in `**`, or the beginning if there are none."""
    found = list(islice(_FOUND.finditer(highlighted), MOST_FOUND))
    starts = [hit.start() for hit in found]
    words = [hit[1][:LENGTH].lower() for hit in found]

    def different(at: int) -> int:
        near = zip(starts, words, strict=True)
        return len({word for start, word in near if at <= start < at + LENGTH})

    at = max(starts, key=different, default=0)
    start = _sentence(highlighted, at)
    end = at + LENGTH
    part = highlighted[start:end]
    if end < len(highlighted):
        # Not in the middle of a word, unless there is only one.
        part = part.rpartition(" ")[0] or part
    if part.count(OPENING) > part.count(CLOSING):
        part += CLOSING
    shown = part.strip().replace(OPENING, "**").replace(CLOSING, "**")
    return f"{'…' if start else ''}{shown}{'…' if end < len(highlighted) else ''}"


def _sentence(text: str, at: int) -> int:
    """Return where the sentence begins in which something stands."""
    first = max(0, at - LEAD)
    ends = [first + each.end() for each in _BEGINNING.finditer(text[first:at])]
    if ends or not first:
        return max(ends, default=first)
    # It begins before what is looked at: with the next word then.
    return text.find(" ", first, at) + 1 or at
