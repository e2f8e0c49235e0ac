r"""Tells whether JavaScript compiles a regular expression with its ``u`` flag.

Clients compile the patterns of a schema (JSON Schema 2020-12 §6.4), and one that does not compile
costs them the whole tool list. Pydantic's patterns are those of Rust or Python, which take ``\z``,
``(?i)``, ``[\w-.]`` and a bare ``{``; ECMA-262 §22.2.1 does not. In doubt the answer is no.
"""

import re
from functools import lru_cache

_ESCAPE = r"""
    \\(?: [\^$\\.*+?()\[\]{}|/dDsSwWnrtfv]     # a syntax character, a class, a control character
        | 0(?![0-9]) | x[0-9A-Fa-f]{2} | u[0-9A-Fa-f]{4} | c[A-Za-z]
        | [pP]\{(?: C[cfnos]? | L[lmotu]? | M[cen]? | N[dlo]? | P[cdefios]? | S[ckmo]? | Z[lps]? )\}
    )"""
# One character of a class, which may begin or end a range.
_SINGLE = r"(?: [^\\\]\[-] | \\(?: [\^$\\.*+?()\[\]{}|/nrtfvb-] | x[0-9A-Fa-f]{2} ) )"
# A class is read in one way only, as is a pattern: trying others would take exponential time.
_CLASS = rf"""(?>
    \[ \^? -? (?: {_SINGLE}-{_SINGLE} | {_SINGLE}(?!-[^\]]) | \\[dDsSwW](?!-[^\]]) )* -? \] )"""
_PATTERN = re.compile(
    rf"""(?:
        (?: [^\\^$.*+?()\[\]{{}}|] | \. | {_ESCAPE} | {_CLASS} | \) )   # what can be repeated
        (?: (?: [*+?] | \{{[0-9]+(?:,[0-9]*)?\}} ) \?? )?
      | [\^$|] | \\[bB]
      | \( (?: \?: | \?<?[=!] )?
    )*+""",
    re.VERBOSE | re.ASCII,
)
_PROPERTY = re.compile(r"\\[pP]\{\w+\}")
# Python warns of set notation, which a later version will read in another way.
_SET_NOTATION = re.compile(r"--|&&|~~|\|\|")
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_COUNT = re.compile(r"[{,]([0-9]+)(?=[,}])")
_MAX_LENGTH = 1_000
# Go and RE2 repeat nothing more often, and Rust refuses what becomes large.
_MAX_COUNT = 1_000


@lru_cache(maxsize=4096)
def is_ecmascript(pattern: str) -> bool:
    r"""Whether clients can compile the pattern, e.g. ``^\w+$``, but not ``(?i)^\w+\Z``."""
    if len(pattern) > _MAX_LENGTH or not _PATTERN.fullmatch(pattern):
        return False
    look = _LOOK_AROUND.search(pattern)
    # JavaScript repeats no look-around; which group it is that is repeated, nobody has to know.
    is_repeated = look is not None and _REPEATED_GROUP.search(pattern, look.end()) is not None
    is_long = any(int(count) > _MAX_COUNT for count in _COUNT.findall(pattern))
    if is_repeated or is_long or _SET_NOTATION.search(pattern):
        return False
    try:
        # What is left is balance and order, in which Python agrees; it does not know `\p`.
        re.compile(_PROPERTY.sub(".", pattern))
    except (re.error, OverflowError, RecursionError):
        return False
    return True
