"""Splits names and sentences into words, and brings each to its stem. Pure."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

# "getHTTPStatus2" is "get", "HTTP", "Status" and "2".
_BORDERS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PARTS: Final = re.compile(r"[^\W\d_]+|\d+")
_LONGEST: Final = 40
"""Characters of a word that anybody has written; what is longer is data."""

_STOP_WORDS: Final = """
    a an and any are as at be been but by can could did do does for from had has have he her here
    him his i if in into is it its just let like may me might must my need of on or our out
    please she should so some than that the their them then there these they this those to too
    up us was we were what when where which while who whom whose why will with would you your
    about after again all also am before being between both during each few how more most not
    now off only other over own same such under until very want wants wanted within using via
    still often already every something anything thing things really
    one two three four five six seven eight nine ten
"""

STOP_WORDS: Final = frozenset(_STOP_WORDS.split())
"""Words that say nothing of what a tool is for."""

_UNSPLIT: Final = re.compile(
    r"\b(?:OAuth|GitHub|GitLab|YouTube|IPv\d|WebHook|DevOps|GraphQL)", re.IGNORECASE
)

# Each part begins where a word does, and is not tried again shorter: a caller writes what it reads.
_VALUES: Final = re.compile(
    r"""
    https?://\S+                               # URLs
    | (?<!\S)(?=\S[^\s@]*@\S+\.\w)\S+          # addresses
    | "[^"]*" | `[^`]*`                         # what is quoted
    | \b[\w-]++(?:\.[\w-]++)*\.(?:com|org|net|io|dev|example)\b
    | \b(?=[\w.:-]*\d)\w++(?:[.:-]\w++)+       # ABC-12, 10.0.0.1, 2026-11-21, web-1
    | [\#+]?\b\d+\b                            # 3, #12
    """,
    re.VERBOSE,
)


def split(text: str) -> Iterator[str]:
    """Yield the words of a name or a sentence, in lower case.

    ``"list_userGroups by-ID"`` gives ``list``, ``user``, ``groups``, ``by`` and ``id``.
    """
    for word in _PARTS.findall(separate(text.replace("'s ", " "))):
        if len(word) <= _LONGEST:
            yield word.lower()


def separate(text: str) -> str:
    """Return a text with spaces between the words of a name: ``"get User"`` for ``"getUser"``."""
    return _BORDERS.sub(" ", _UNSPLIT.sub(lambda found: found[0].lower(), text))


def without_values(query: str) -> str:
    """Return a request without what are values of arguments: they say nothing of the tool."""
    return _VALUES.sub(" ", query)


def stems(text: str) -> list[str]:
    """Return the stems of the words that say something, in their order."""
    return [stem(word) for word in split(text) if word not in STOP_WORDS]


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """Return what the forms of an English word have in common, e.g. ``creat`` for ``creating``.

    It need not be a word; it is enough that few unrelated words have the same.
    """
    if len(word) < 4 or not word.isascii() or word.isdigit():
        return word
    word = _without_inflection(_without_plural(word))
    for ending, shortest in _DERIVED:
        if word.endswith(ending) and len(word) - len(ending) >= shortest:
            word = word[: -len(ending)]
            break
    if word.endswith("e") and len(word) > 4:
        return word[:-1]
    return word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word


_DERIVED: Final = (
    *(("ization", 3), ("isation", 3), ("ize", 4), ("ise", 4), ("ement", 4), ("ment", 3)),
    *(("ation", 4), ("ition", 4), ("ness", 4), ("able", 4), ("ee", 4), ("er", 5), ("or", 5)),
    *(("ly", 4),),
)
"""Endings that make another word of one, and how much must be left for that to be likely."""


def _without_plural(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _without_inflection(word: str) -> str:
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) > 2 and re.search("[aeiouy]", root):
            # "running", but not "calling".
            is_doubled = root[-1] == root[-2] and root[-1] not in "lsz"
            return root[:-1] if is_doubled else root
    if word.endswith("ion") and word[-4:-3] in {"s", "t"} and len(word) > 6:
        # "creation" as "creating"
        return word[:-3]
    return word
