r"""Tells whether a regular expression is one that JavaScript compiles with its ``u`` flag. Pure.

Clients compile the patterns of a schema (JSON Schema 2020-12 §6.4), and one that does not compile
costs them the whole tool list. Pydantic's patterns are of Rust or Python, which take ``\z``,
``(?i)``, ``[\w-.]`` and a bare ``{``; ECMA-262 §22.2.1 does not. In doubt the answer is no.
"""

import re
from functools import lru_cache

_ESCAPE = r"""
    \\(?: [\^$\\.*+?()\[\]{}|/dDsSwWnrtfv]     # a syntax character, a class, a control character
        | 0(?![0-9]) | x[0-9A-Fa-f]{2} | u[0-9A-Fa-f]{4} | c[A-Za-z]
        | [pP]\{(?: C[cfnos]? | L[lmotu]? | M[cen]? | N[dlo]? | P[cdefios]? | S[ckmo]? | Z[lps]? )\}
    )"""
# What stands for one character, so that it may begin or end a range.
_SINGLE = r"(?: [^\\\]\[-] | \\(?: [\^$\\.*+?()\[\]{}|/nrtfvb-] | x[0-9A-Fa-f]{2} ) )"
_CLASS = rf"""
    \[ \^? -? (?: {_SINGLE}-{_SINGLE} | {_SINGLE}(?!-[^\]]) | \\[dDsSwW](?!-[^\]]) )* -? \]"""
_PATTERN = re.compile(
    rf"""(?:
        (?: [^\\^$.*+?()\[\]{{}}|] | \. | {_ESCAPE} | {_CLASS} | \) )   # what can be repeated
        (?: (?: [*+?] | \{{[0-9]+(?:,[0-9]*)?\}} ) \?? )?
      | [\^$|] | \\[bB]
      | \( (?: \?: | \?<?[=!] )?
    )*""",
    re.VERBOSE | re.ASCII,
)
_PROPERTY = re.compile(r"\\[pP]\{\w+\}")
# A look-around that is repeated, and what Python warns of: a later set notation.
_DOUBTFUL = re.compile(r"\(\?<?[=!].*\)[*+?{]|--|&&|~~|\|\|", re.DOTALL)
_LONGEST = 1_000
# Go and RE2 repeat nothing more often than a thousand times, and Rust refuses what becomes large.
_MOST_TIMES = 1_000
_COUNT = re.compile(r"[{,]([0-9]+)(?=[,}])")


@lru_cache(maxsize=4096)
def is_ecmascript(pattern: str) -> bool:
    r"""Whether clients can compile the pattern, e.g. ``^\w+$``, but not ``(?i)^\w+\Z``."""
    if len(pattern) > _LONGEST or _DOUBTFUL.search(pattern) or not _PATTERN.fullmatch(pattern):
        return False
    if any(int(count) > _MOST_TIMES for count in _COUNT.findall(pattern)):
        return False
    try:
        # What is left is balance and order, in which Python agrees; it knows no `\p`.
        re.compile(_PROPERTY.sub(".", pattern))
    except (re.error, OverflowError, RecursionError):
        return False
    return True
