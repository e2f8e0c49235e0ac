"""Loads an OpenAPI document from a file, a URL or a mapping, in JSON or YAML."""

import codecs
import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml

from mcp_mount.errors import InvalidDocument

_LARGEST: Final = 64 * 1024 * 1024
"""Bytes; the largest documents known are a quarter of this."""

_LARGEST_BY_ALIASES: Final = 10
"""How often larger than it is written a document may be, once its YAML aliases are followed."""

_PATIENCE: Final = httpx2.Timeout(10.0)
_MOST_REDIRECTS: Final = 5


def load_document(source: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """Return an OpenAPI 3 document.

    Args:
        source: The document itself, a path (``"openapi.yaml"``), or a URL
            (``"http://localhost:9000/openapi.json"``). A URL is asked once, without credentials,
            and redirects are followed on its own host only.

    Raises:
        InvalidDocument: it cannot be read, or is no OpenAPI 3 document.
    """
    if isinstance(source, Mapping):
        return _checked(source, "The document given")
    if is_url(source):
        name = without_secrets(str(source))
        return _checked(_parsed(_fetched(str(source)), name), f"What is at {name!r}")
    name = str(source)
    try:
        with Path(source).open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise InvalidDocument(f"The OpenAPI document {name!r} cannot be read: {reason}.") from None
    if len(data) > _LARGEST:
        message = f"The OpenAPI document {name!r} is larger than {_LARGEST} bytes."
        raise InvalidDocument(message)
    return _checked(_parsed(data, name), repr(name))


def is_url(source: object) -> bool:
    """Whether a document is to be fetched over HTTP."""
    return isinstance(source, str) and re.match(r"https?://", source, re.IGNORECASE) is not None


def _fetched(url: str) -> bytes:
    try:
        with httpx2.Client(timeout=_PATIENCE) as client:
            request = client.build_request("GET", url)
            for _ in range(1 + _MOST_REDIRECTS):
                with contextlib.closing(client.send(request, stream=True)) as response:
                    if response.is_success:
                        return _received(response)
                    following = response.next_request
                if following is None:
                    raise httpx2.RequestError(f"it is answered with HTTP {response.status_code}")
                if following.url.host != request.url.host:
                    # Whoever named the first host did not name that one.
                    raise httpx2.RequestError(f"it leads to another host, {following.url.host!r}")
                request = following
            raise httpx2.RequestError("it leads from one place to the next, without end")
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        # What is wrong with a URL may quote its password. The last is about the name of its host.
        is_known = isinstance(error, httpx2.HTTPError)
        reason = str(error).rstrip(".") if is_known else "it is no URL"
        message = (
            f"The OpenAPI document cannot be fetched from {without_secrets(url)!r}: "
            f"{reason or type(error).__name__}. Is the service running? A file will do as well."
        )
        raise InvalidDocument(message) from None


def without_secrets(url: str) -> str:
    """Return a URL as it may be shown: without user, password, query and fragment."""
    scheme, _, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest)[0].partition("/")
    host = host.rpartition("@")[2]
    if "@" in rest and not re.search(r"(^[^:]*|\])(:\d*)?$", host):
        # What seems to be the port is the beginning of a password.
        return f"{scheme}://…"
    return f"{scheme}://{host}{slash}{path}"


def _received(response: httpx2.Response) -> bytes:
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > _LARGEST:
            raise httpx2.RequestError(f"it is larger than {_LARGEST} bytes")
    return bytes(data)


def _parsed(data: bytes, name: str) -> object:
    text = _text(data, name)
    if text.lstrip().startswith("<"):
        message = f"{name!r} is a web page or XML. Name the document itself, in JSON or YAML."
        raise InvalidDocument(message)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidDocument(f"{name!r} is nested too deeply.") from None
    except ValueError as error:
        wrong = error
    try:
        return _yaml(text)
    except (RecursionError, _TooLarge) as error:
        what = (
            "is nested too deeply" if isinstance(error, RecursionError) else str(error).rstrip(".")
        )
        raise InvalidDocument(f"{name!r} {what}.") from None
    except (yaml.YAMLError, ValueError, LookupError) as error:
        # The last is what PyYAML makes of `!!bool maybe`.
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        if text.lstrip().startswith("{") and isinstance(wrong, json.JSONDecodeError):
            line = wrong.lineno
        where = f" (line {line})" if line is not None else ""
        raise InvalidDocument(f"{name!r} is neither JSON nor YAML{where}.") from None


def _text(data: bytes, name: str) -> str:
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{name!r} is not in UTF-8 (line {line}). Save it in that encoding."
        raise InvalidDocument(message) from None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _yaml(text: str) -> object:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        nodes, expanded = _sizes(root)
        if expanded > _LARGEST_BY_ALIASES * nodes + 100_000:
            raise _TooLarge("is small, but its aliases make it enormous")
        return loader.construct_document(root)
    finally:
        loader.dispose()


class _TooLarge(Exception):
    """The aliases of a document make it larger than anybody meant. The message says how."""


def _sizes(root: yaml.Node) -> tuple[int, int]:
    """Return how many nodes a document has as written, and with its aliases followed."""
    sizes: dict[int, int] = {}
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    while waiting:
        node, is_counted = waiting.pop()
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            inner = node.value
        elif isinstance(node, yaml.MappingNode):
            inner = [each for pair in node.value for each in pair]
        if is_counted:
            sizes[id(node)] = 1 + sum(sizes[id(each)] for each in inner)
        elif id(node) not in sizes:
            # Until it is counted: an alias inside of what it stands for would find this.
            sizes[id(node)] = -1
            waiting.append((node, True))
            waiting += [(each, False) for each in inner if id(each) not in sizes]
            if any(sizes.get(id(each)) == -1 for each in inner):
                raise _TooLarge("has an alias inside of what it stands for, which has no end")
    return len(sizes), sizes[id(root)]


def _checked(document: object, what: str) -> dict[str, Any]:
    if isinstance(document, Mapping) and str(document.get("openapi", "")).startswith("3."):
        return dict(document)
    if isinstance(document, Mapping) and "swagger" in document:
        message = (
            f"{what} is Swagger {str(document['swagger'])[:9]}. Convert it to OpenAPI 3 first, for "
            "example at https://converter.swagger.io or with `npx swagger2openapi`."
        )
        raise InvalidDocument(message)
    raise InvalidDocument(f"{what} is no OpenAPI 3 document: it has no 'openapi: 3.…'.")


class _Loader(yaml.SafeLoader):
    """Reads YAML 1.2 with JSON's types alone, as OpenAPI does (§4.4): ``no`` is a word."""

    # PyYAML's own are those of YAML 1.1, where `12:30` is the number 750.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's, for the whole class

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """Make every key a string, as in JSON: a status is often written as a number."""
        # First, so that the keys that are merged in are made strings, too.
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                key.tag = f"{_TAG}str"
        return super().construct_mapping(node, deep)


_TAG: Final = "tag:yaml.org,2002:"
_KNOWN: Final = ("null", "bool", "int", "float", "str", "seq", "map")
# Without dates, sets and bytes, which JSON cannot write; whoever asks for one is refused.
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag in {_TAG + known for known in _KNOWN}
}
for _type, _pattern, _beginnings in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+", [*"-+0123456789"]),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _type, re.compile(rf"(?:{_pattern})\Z"), _beginnings)
