"""Addresses of another server's resources: which are offered, and under which of ours. Pure."""

import re
from typing import Final
from urllib.parse import unquote

MAX_URI: Final = 2_000

_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*://[\x21-\x7e]*")
# At most one variable between two slashes, so that a template matches in one way or not at all.
_SEGMENT: Final = r"[^{}/?#]*(?:\{\w+\}[^{}/?#]*)?"
_TEMPLATE: Final = re.compile(
    rf"[a-z][a-z0-9+.-]*://{_SEGMENT}(?:/{_SEGMENT})*(?:/\{{\w+\*\}})?(?:\{{\?\w+(?:,\w+)*\}})?",
    re.ASCII,
)


def is_uri(uri: str) -> bool:
    """Whether an address can be offered, e.g. ``data://parts/1``."""
    return len(uri) <= MAX_URI and _URI.fullmatch(uri) is not None


def is_template(template: str) -> bool:
    """Whether a template can be offered, e.g. ``data://parts/{number}/text{?language}``."""
    return len(template) <= MAX_URI and _TEMPLATE.fullmatch(template) is not None


def add_prefix(uri: str, name: str) -> str:
    """Return the address under which we offer another one: ``data://wiki/parts``."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{name}/{rest}"


def has_prefix(uri: str, name: str) -> bool:
    """Whether an address is one of ours for something of the server of that name."""
    return is_uri(uri) and uri.partition("://")[2].startswith(f"{name}/")


def remove_prefix(uri: str, name: str) -> str:
    """Return the other server's own address for one of ours: ``data://parts``."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.removeprefix(f'{name}/')}"


def match_template(template: str, uri: str) -> dict[str, str] | None:
    """Return the values of a template's variables in an address; None if it does not match.

    It takes time in proportion to the address.
    """
    path, _, query = template.partition("{?")
    segments, given = path.split("/"), (uri.partition("?")[0] if query else uri).split("/")
    values: dict[str, str] = {}
    for number, segment in enumerate(segments):
        before, _, rest = segment.partition("{")
        name, _, after = rest.partition("}")
        if name.endswith("*"):
            left = "/".join(given[number:])
            return {**values, name[:-1]: unquote(left)} if left else None
        part = given[number] if number < len(given) else ""
        value = part[len(before) : len(part) - len(after)]
        if part != f"{before}{value if name else ''}{after}" or bool(name) != bool(value):
            return None
        if name:
            values[name] = unquote(value)
    return values if len(segments) == len(given) else None
