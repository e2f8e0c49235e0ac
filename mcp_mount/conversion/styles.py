"""Writes the values of parameters in their styles: path, query, headers and cookies. Pure.

A value arrives at the route exactly as it was given, or the call is refused: nothing is cut,
cleaned or replaced. `null`, which only JSON can write, is left out.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote

from mcp_mount.conversion.texts import (
    SCALAR,
    Given,
    delimited,
    document_of,
    quoted,
    write_compact,
    write_text,
)
from mcp_mount.errors import InvalidArguments
from mcp_mount.openapi.media import FORM

# What `allowReserved` leaves as it is. The rest of RFC 3986 §2.2 ends a value, or a query, or reads
# as a space; a `%` is one that the value holds.
_RESERVED = ":/?@!$'()*,;="
_DEEPEST = 30
_SEPARATORS: Mapping[str, str] = {"spaceDelimited": " ", "pipeDelimited": "|"}


def write_path(template: str, given: Iterable[Given]) -> tuple[str, dict[str, str]]:
    """Fill ``"/users/{id}"``; return the percent-encoded path, and the values in it.

    Each value stays in its segment: ``../admin`` is ``..%2Fadmin``.
    """
    values: dict[str, str] = {}
    written: dict[str, str] = {}
    for each in given:
        parameter = each.parameter
        if isinstance(each.value, SCALAR) and parameter.style == "simple":
            text = write_text(each.argument, each.value)
            written[parameter.name] = quoted(text)
        else:
            text = _in_path(each, str)
            written[parameter.name] = _in_path(each, quoted)
        if text in {"", ".", ".."} or "\0" in text:
            message = f"{each.argument!r} is part of a path: it cannot be {text!r}."
            raise InvalidArguments(message)
        values[parameter.name] = text
    filled = [*_template_parts(template)]
    for index in range(1, len(filled), 2):
        # A name that has no value is no parameter, and stays as it is.
        name = filled[index]
        filled[index] = written[name] if name in written else quoted(f"{{{name}}}")
    path = "".join(filled)
    if "/." in path and not {".", ".."}.isdisjoint(path.split("/")):
        message = f"The path would be {path!r}, which leads elsewhere."
        raise InvalidArguments(message)
    return path, values


def _in_path(each: Given, write: Callable[[str], str]) -> str:
    """Write a value in its style (OpenAPI 3.1 §4.8.12.4), each of its texts with `write`."""
    value, parameter = each.value, each.parameter
    if value in ([], {}):
        return ""
    is_exploded = isinstance(value, list | Mapping) and parameter.explode
    if parameter.style == "label":
        return "." + delimited(each, "." if is_exploded else ",", write)
    if parameter.style != "matrix":
        return delimited(each, ",", write)
    name = write(parameter.name)
    if is_exploded and isinstance(value, list):
        items = [delimited(each._replace(value=[item]), ";", write) for item in value]
        return "".join(f";{name}={item}" for item in items)
    if is_exploded:
        return ";" + delimited(each, ";", write)
    text = delimited(each, ",", write)
    return f";{name}={text}" if text else f";{name}"


@lru_cache(maxsize=4096)
def _template_parts(template: str) -> tuple[str, ...]:
    """Split ``"/users/{id}/x"`` into text and names in turn: ``("/users/", "id", "/x")``."""
    texts = re.split(r"\{([^{}]+)\}", template)
    texts[::2] = [quote(text, safe="/{}:@!$&'()*+,;=~%") for text in texts[::2]]
    return tuple(texts)


def write_query(given: Iterable[Given]) -> str:
    """Write ``"q=a%20b&tag=x&tag=y"``, each value in its style (OpenAPI 3.1 §4.8.12.2)."""
    return "&".join(text for each in given for text in _query_texts(each))


def _query_texts(each: Given) -> Iterator[str]:
    parameter, value = each.parameter, each.value
    if parameter.is_whole and not (parameter.media_type == FORM and isinstance(value, Mapping)):
        yield quoted(document_of(each))
        return
    safe = _RESERVED if parameter.allow_reserved else ","
    for name, text in _form_pairs(each) if parameter.is_whole else query_pairs(each):
        yield f"{quoted(name)}={quoted(text, safe)}"


def _form_pairs(each: Given) -> Iterator[tuple[str, str]]:
    """Yield the fields of a form; what is neither text nor number is JSON."""
    for name, value in each.value.items():
        for item in value if isinstance(value, list) else [value]:
            is_text = isinstance(item, SCALAR)
            if item is not None:
                yield name, write_text(each.argument, item) if is_text else write_compact(item)


def query_pairs(each: Given) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of one parameter, as they stand in a query or in a form."""
    parameter, value = each.parameter, each.value
    if parameter.media_type is not None:
        yield parameter.name, document_of(each)
    elif isinstance(value, SCALAR):
        yield parameter.name, write_text(each.argument, value)
    elif isinstance(value, Mapping | list) and parameter.style == "deepObject":
        yield from _deep_pairs(each.argument, parameter.name, value)
    elif isinstance(value, Mapping) and parameter.explode:
        for key, item in value.items():
            # A list in it is written like one beside it: Spring's `Pageable` has one of these.
            items = item if isinstance(item, list) else [] if item is None else [item]
            for each_item in items:
                yield write_text(each.argument, key), write_text(each.argument, each_item)
    elif isinstance(value, list) and parameter.explode:
        for item in value:
            yield parameter.name, write_text(each.argument, item)
    elif value not in ([], {}):
        yield parameter.name, delimited(each, _SEPARATORS.get(parameter.style, ","))


def _deep_pairs(
    argument: str, name: str, value: object, depth: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield ``("color[R]", "100")``, and what is inside of that as most servers read it.

    What OpenAPI leaves open is written as by PHP, Rails, Express and the API of Stripe:
    ``a[b][c]=1``, ``a[b][]=1`` for each item, and ``a[b][0][c]=1`` for items that hold others.
    """
    if depth > _DEEPEST:
        raise InvalidArguments(f"{argument!r} is nested too deeply for a query.")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if item is not None:
                inner = f"{name}[{write_text(argument, key)}]"
                yield from _deep_pairs(argument, inner, item, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            inner = f"{name}[{index if isinstance(item, Mapping | list) else ''}]"
            yield from _deep_pairs(argument, inner, item, depth + 1)
    else:
        yield name, write_text(argument, value)


def write_headers(given: Iterable[Given]) -> Iterator[tuple[bytes, bytes]]:
    """Yield header lines; a list without a style is one line for each item (RFC 9110 §5.3)."""
    for each in given:
        value, parameter = each.value, each.parameter
        if isinstance(value, list) and not parameter.style:
            items = value
        else:
            items = [] if value in ([], {}) else [delimited(each, ",")]
        for item in items:
            text = write_text(each.argument, item)
            yield parameter.name.lower().encode("latin-1"), _field_value(each.argument, text)


def write_cookies(given: Iterable[Given]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the one ``Cookie`` header (RFC 6265 §4.2.1), if there is anything for it."""
    pairs = [
        name.encode("latin-1") + b"=" + _field_value(each.argument, text)
        for each in given
        for name, text in _cookie_pairs(each)
    ]
    if pairs:
        yield b"cookie", b"; ".join(pairs)


def _cookie_pairs(each: Given) -> Iterator[tuple[str, str]]:
    value, parameter = each.value, each.parameter
    if parameter.media_type is not None:
        # A JSON document has quotation marks, which no cookie can hold.
        yield parameter.name, quoted(document_of(each))
        return
    is_styled = isinstance(value, list | Mapping) and parameter.style != ""
    if is_styled and parameter.explode:
        pairs = [*query_pairs(each)]
        _check_cookie(each.argument, [text for pair in pairs for text in pair], ";,&=")
        if parameter.style == "form" and pairs:
            # By the letter of OpenAPI 3.1, where a cookie is in the form of a query (appendix D).
            (name, text), *others = pairs
            pairs = [(name, "&".join([text, *("=".join(pair) for pair in others)]))]
        yield from pairs
    elif value not in ([], {}):
        text = delimited(each, ",")
        _check_cookie(each.argument, [text], ";" if is_styled else ";,")
        yield parameter.name, text


def _check_cookie(argument: str, texts: Iterable[str], separators: str) -> None:
    if any(re.search(rf'[{separators}"\\\s]', text) for text in texts):
        known = " ".join(separators)
        message = f'{argument!r} is a cookie: it cannot hold spaces or any of {known} " \\.'
        raise InvalidArguments(message)


def _field_value(argument: str, text: str) -> bytes:
    """Write a header's value (RFC 9110 §5.5): Latin-1, and nothing that a reader would drop."""
    try:
        value = text.encode("latin-1")
    except UnicodeEncodeError:
        message = f"{argument!r} is a header: it can hold Latin-1 characters only."
        raise InvalidArguments(message) from None
    if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]\Z", value):
        message = f"{argument!r} is a header: no control characters, no spaces around it."
        raise InvalidArguments(message)
    return value
