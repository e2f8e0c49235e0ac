"""Takes what is the proxy's own out of the addresses that an API answers with.

An API that redirects repeats the query of the request, with the proxy's key in it; or shows in a
query what came in a header.
"""

import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote

from mcp_mount.headers import names_credential

Header = tuple[bytes, bytes]

_ADDRESSES: Final = frozenset(
    (b"location", b"content-location", b"link", b"refresh", b"www-authenticate")
)
_ENDS: Final = r"""(?=[#>"'\s;,]|$)"""
_WORD: Final = r"[A-Za-z0-9_.~-]"
_MOST: Final = 8_192
"""Characters of addresses in one answer: each is searched and decoded several times."""

_TIMES: Final = 3
"""So often an address may be encoded, in the query of another."""

_TELLING: Final = 16
"""Characters of a value in the query that is found without its name."""

_SHORTEST: Final = 8
"""The same of a credential in a header."""


def without_own(headers: list[Header], query: str, sent: Iterable[Header]) -> list[Header]:
    """Return the headers of an answer without our own query, and what else is our own.

    Args:
        headers: Those of the answer.
        query: What goes with every request, percent-encoded.
        sent: Our own headers of the request.

    An address in which it still stands is left out, also where it is in base64, or percent-encoded
    up to three times; and what goes beyond 8,192 characters of addresses.
    """
    if _ADDRESSES.isdisjoint(name.lower() for name, _ in headers):
        return headers
    pairs = [pair for pair in query.split("&") if pair]
    own = [*_patterns(pairs), *_credentials(sent)]
    if not own:
        return headers
    shown, written = re.compile("|".join(own)), _written(pairs)
    kept, left = [], _MOST
    for name, value in headers:
        if name.lower() in _ADDRESSES:
            if len(value) > left:
                continue
            left -= len(value)
            text = _without_pairs(value.decode("latin-1"), written)
            if _is_shown(text, shown):
                continue
            kept.append((name, text.encode("latin-1")))
        else:
            kept.append((name, value))
    return kept


def _written(pairs: list[str]) -> re.Pattern[str] | None:
    """Return what finds pairs in a query, in each form in which they may be written."""
    forms = set(pairs)
    for pair in pairs:
        name, equals, value = pair.partition("=")
        plain = unquote(value)
        forms |= {f"{name}{equals}{each}" for each in (plain, quote(plain), quote(plain, safe=""))}
    longest_first = sorted(filter(None, forms), key=len, reverse=True)
    alternatives = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<=[?&])(?:{alternatives})(?:&|{_ENDS})") if pairs else None


def _without_pairs(text: str, written: re.Pattern[str] | None) -> str:
    if written is None or not written.search(text):
        return text
    return re.sub(rf"[?&]{_ENDS}", "", written.sub("", text))


def _patterns(pairs: list[str]) -> Iterable[str]:
    """Yield what finds pairs, or values that tell by themselves, in an address that is decoded."""
    for pair in map(unquote, pairs):
        yield rf"(?<!{_WORD}){re.escape(pair)}(?!{_WORD})"
        value = pair.partition("=")[2]
        if len(value) >= _TELLING:
            yield from _forms(value)


def _credentials(sent: Iterable[Header]) -> Iterable[str]:
    for name, value in sent:
        # Behind the scheme, where there is one (RFC 9110 §11.4).
        scheme, _, credential = value.decode("latin-1").rpartition(" ")
        if not names_credential(name.decode("latin-1")):
            continue
        for each in (credential, *(_pair(credential) if scheme.lower() == "basic" else ())):
            if len(each) >= _SHORTEST:
                yield from _forms(unquote(each))


def _pair(credential: str) -> tuple[str, ...]:
    """Return user and password, and the password, as RFC 7617 has them in one."""
    try:
        pair = b64decode(credential).decode("utf-8", "replace")
    except ValueError:
        return ()
    return (pair, pair.partition(":")[2])


def _forms(value: str) -> Iterable[str]:
    """Yield what finds a value as it is, and in base64."""
    yield re.escape(value)
    for encode in (b64encode, urlsafe_b64encode):
        yield re.escape(encode(value.encode()).decode().rstrip("="))


def _is_shown(text: str, shown: re.Pattern[str]) -> bool:
    for _ in range(_TIMES):
        if shown.search(text):
            return True
        text = unquote(text)
    return bool(shown.search(text))
