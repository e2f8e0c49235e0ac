"""Addresses of resources, and the templates that stand for many of them (RFC 6570). Pure."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import prod
from typing import Final
from urllib.parse import parse_qs, unquote

MAX_URI: Final = 2_000

MAX_ASKED: Final = 16 * 1024
_MOST_FIELDS: Final = 1_000
"""Characters of an address that is asked for, and fields of its query: each is read several times,
and 32,000 took 0.1 to 0.3 s."""

SHORT_URI: Final = 100
"""Characters of an address that is soon compared with any template."""

_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*://[\x21-\x7e]*")
# At most one variable between two slashes, so that a template matches in one way or not at all.
_SEGMENT: Final = r"[^{}/?#]*(?:\{\w+\}[^{}/?#]*)?"
_TEMPLATE: Final = re.compile(
    rf"[a-z][a-z0-9+.-]*://{_SEGMENT}(?:/{_SEGMENT})*(?:/\{{\w+\*\}})?(?:\{{\?\w+(?:,\w+)*\}})?",
    re.ASCII,
)
_VARIABLE: Final = re.compile(r"\{([^{}]+)\}")
_MOST_STEPS: Final = 2_000_000
"""Of the templates' expressions, which FastMCP tries twice with each way to divide an address; some
30 ms."""

_VARIABLES: Final = re.compile(r"\{\??([\w,]+)\*?\}", re.ASCII)


def is_uri(uri: str) -> bool:
    """Whether an address can be offered, e.g. ``data://parts/1``."""
    return len(uri) <= MAX_URI and _URI.fullmatch(uri) is not None


def is_template(template: str) -> bool:
    """Whether a template can be offered, e.g. ``data://parts/{number}/text{?language}``."""
    # Line breaks and what turns text are no part of an address (RFC 6570, 2.1).
    is_shown = len(template) <= MAX_URI and template.isprintable()
    return is_shown and _TEMPLATE.fullmatch(template) is not None


def scheme_of(name: str) -> str:
    """Return a scheme for the resources of a server, e.g. ``"parts-api"`` for ``"Parts API"``."""
    scheme = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return scheme if scheme[:1].isalpha() else f"api-{scheme}".rstrip("-")


def variables_of(template: str) -> list[str]:
    """Return the names of a template's variables, those of its query last."""
    return [name for found in _VARIABLES.findall(template) for name in found.split(",")]


def add_query(template: str, names: Iterable[str]) -> str:
    """Return a template with variables in its query: ``"data://parts{?q,limit}"``."""
    query = ",".join(names)
    return f"{template}{{?{query}}}" if query else template


def is_readable(uri: str) -> bool:
    """Whether an address is looked for; none has a tenth of so much."""
    return len(uri) <= MAX_ASKED and uri.count("&") < _MOST_FIELDS


def read_query(template: str, uri: str) -> dict[str, list[str]]:
    """Return the values in the query of an address, of those variables that the template has."""
    _, _, names = template.rstrip("}").partition("{?")
    given = parse_qs(uri.partition("?")[2], keep_blank_values=True)
    return {name: given[name] for name in names.split(",") if name in given}


def match_template(template: str, uri: str) -> dict[str, str] | None:
    """Return the values of a template's variables in an address; None if it does not match.

    It takes time in proportion to the address.
    """
    path, _, query = template.partition("{?")
    segments = path.split("/")
    # One more than there are says enough: there may be thousands of templates.
    given = (uri.partition("?")[0] if query else uri).split("/", len(segments))
    values: dict[str, str] = {}
    for number, segment in enumerate(segments):
        before, _, rest = segment.partition("{")
        name, _, after = rest.partition("}")
        if name.endswith("*"):
            values[name[:-1]] = "/".join(given[number:])
            return _decoded(values) if values[name[:-1]] else None
        part = given[number] if number < len(given) else ""
        value = part[len(before) : len(part) - len(after)]
        if part != f"{before}{value if name else ''}{after}" or bool(name) != bool(value):
            return None
        if name:
            values[name] = value
    return _decoded(values) if len(segments) == len(given) else None


def _decoded(values: Mapping[str, str]) -> dict[str, str]:
    # Of an address that matches alone: it may be compared with thousands of templates.
    return {name: unquote(value) for name, value in values.items()}


def is_soon_matched(templates: Iterable[str], uri: str) -> bool:
    """Whether expressions made of templates, as FastMCP's, soon tell whether an address is theirs.

    Those with several variables between two slashes may not: ``parts://{name}.{kind}``.
    """
    if len(uri) <= SHORT_URI:
        return True
    shown = unquote(uri)

    def ways(dividers: tuple[str, ...]) -> int:
        return prod(max(1, uri.count(each), shown.count(unquote(each))) for each in dividers)

    found = filter(None, map(_dividers, templates))
    return len(uri) * sum(map(ways, found)) <= _MOST_STEPS


@lru_cache(maxsize=4096)
def _dividers(template: str) -> tuple[str, ...]:
    """Return what stands between variables where an address could be divided among them.

    Those of all segments: one that does not fit is tried with each way to divide those before it.
    """
    _, *rest = _VARIABLE.split(template.partition("{?")[0])
    found: list[str] = []
    has_slashes = False
    for name, literal in zip(rest[::2], rest[1:-1:2], strict=False):
        has_slashes = has_slashes or name.endswith("*")
        if has_slashes or "/" not in literal:
            found.append(literal)
    return tuple(found)
