"""Loads an OpenAPI document from a file, a URL or a mapping, in JSON or YAML."""

import codecs
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml

from mcp_mount.errors import InvalidDocument
from mcp_mount.halves import ESCAPED, mend, mend_document, mend_text
from mcp_mount.openapi.fetching import MAX_BYTES, Access, Refused, fetch
from mcp_mount.outgoing.log import read_message

_OPEN: Final = Access()
_HALF: Final = re.compile(ESCAPED)


def load_document(source: Mapping[str, Any] | str | Path, access: Access = _OPEN) -> dict[str, Any]:
    """Return an OpenAPI 3 document, without half characters.

    Args:
        source: The document itself, a path (``"openapi.yaml"``), or a URL
            (``"http://localhost:9000/openapi.json"``). A URL is fetched once; redirects are
            followed on its own host only.
        access: What a URL is fetched with.

    Raises:
        InvalidDocument: it cannot be read, or is no OpenAPI 3 document.
    """
    if isinstance(source, Mapping):
        return _check_version(_mended(source), "The document given")
    if is_url(source):
        name = without_secrets(str(source))
        return _check_version(_parse(_fetch(str(source), access), name), f"What is at {name!r}")
    name = str(source)
    try:
        with Path(source).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
        where = (
            f" The folder is {str(Path.cwd())!r}." if isinstance(error, FileNotFoundError) else ""
        )
        message = f"The OpenAPI document {name!r} cannot be read: {reason}.{where}"
        raise InvalidDocument(message) from None
    if len(data) > MAX_BYTES:
        raise InvalidDocument(f"The OpenAPI document {name!r} is larger than {MAX_BYTES} bytes.")
    return _check_version(_parse(data, name), repr(name))


def is_url(source: object) -> bool:
    """Whether a document has to be fetched over HTTP."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def without_secrets(url: str) -> str:
    """Return a URL without user, password, query and fragment, as it may be logged."""
    scheme, _, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest)[0].partition("/")
    host = host.rpartition("@")[2]
    if "@" in rest and not re.search(r"(^[^:]*|\])(:\d*)?$", host):
        # A "#" or "/" in the password: what looks like the port is its beginning.
        return f"{scheme}://…"
    return f"{scheme}://{host}{slash}{path}"


def _fetch(url: str, access: Access) -> bytes:
    try:
        return fetch(url, access)
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        # The other two may quote the password; UnicodeError comes from the host's IDNA form.
        reason = (
            read_message(error).rstrip(".")
            if isinstance(error, httpx2.HTTPError)
            else "it is no URL"
        )
        if not isinstance(error, Refused):
            reason = (
                f"{reason or type(error).__name__}. Is the service running? A file will do as well"
            )
        message = f"The OpenAPI document cannot be fetched from {without_secrets(url)!r}: {reason}."
        raise InvalidDocument(message) from None


def _mended(document: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return mend_document(document)
    except (ValueError, RecursionError):
        message = "The document given holds itself, or is nested too deeply."
        raise InvalidDocument(message) from None


def _parse(data: bytes, name: str) -> object:
    text = _decode(data, name)
    if text.lstrip().startswith("<"):
        message = f"{name!r} is a web page or XML. Name the document itself, in JSON or YAML."
        raise InvalidDocument(message)
    try:
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
            return mend(document) if _HALF.search(text) else document
        except ValueError as error:
            json_error = error
        return _parse_yaml(text, name)
    except RecursionError:
        raise InvalidDocument(f"{name!r} is nested too deeply.") from None
    except InvalidDocument:
        raise
    except (yaml.YAMLError, ValueError, LookupError) as error:
        # PyYAML raises LookupError for `!!bool maybe`.
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        if text.lstrip().startswith("{") and isinstance(json_error, json.JSONDecodeError):
            line = json_error.lineno
        where = f" (line {line})" if line is not None else ""
        raise InvalidDocument(f"{name!r} is neither JSON nor YAML{where}.") from None


def _decode(data: bytes, name: str) -> str:
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{name!r} is not in UTF-8 (line {line}). Save it in that encoding."
        raise InvalidDocument(message) from None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _parse_yaml(text: str, name: str) -> object:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        # Aliases are followed: an expanded document of more nodes than it has characters was made
        # to do harm ("billion laughs"), or holds itself.
        waiting, count = [root], 0
        while waiting:
            node = waiting.pop()
            count += 1
            if count > len(text) + 100_000:
                raise InvalidDocument(f"{name!r} is small, but its aliases make it enormous.")
            if isinstance(node, yaml.SequenceNode):
                waiting += node.value
            elif isinstance(node, yaml.MappingNode):
                waiting += [each for pair in node.value for each in pair]
        return None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _check_version(document: object, what: str) -> dict[str, Any]:
    if isinstance(document, Mapping) and str(document.get("openapi", "")).startswith("3."):
        return dict(document)
    if isinstance(document, Mapping) and "swagger" in document:
        raise InvalidDocument(
            f"{what} is Swagger {str(document['swagger'])[:9]}. Convert it to OpenAPI 3 first, for "
            "example at https://converter.swagger.io or with `npx swagger2openapi`."
        )
    raise InvalidDocument(f"{what} is no OpenAPI 3 document: it has no 'openapi: 3.…'.")


_MOST_NODES: Final = 1_000_000
"""Of YAML, each of which takes 700 bytes and 20 µs when it is read."""
_MOST_MERGES: Final = 1_000
"""Of one YAML object (``<<``): for each of them, all pairs that follow it are moved."""


class _Loader(yaml.SafeLoader):
    """Reads YAML with JSON's types alone, as OpenAPI requires (3.1 §4.4): ``no`` is a word."""

    # PyYAML's own are those of YAML 1.1, where `12:30` is the number 750.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's, for the whole class

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Count the nodes before there are too many of them.

        Raises:
            InvalidDocument: there are.
        """
        self._count(1)
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge, and count what was merged.

        Raises:
            InvalidDocument: it is too much.
        """
        merges = sum(key.tag == f"{_TAG}merge" for key, _ in node.value)
        if merges > _MOST_MERGES:
            raise InvalidDocument(
                f"An object of the document merges more than {_MOST_MERGES:,} others ('<<'). List "
                "them after one '<<', or write the document in JSON."
            )
        before = len(node.value)
        super().flatten_mapping(node)
        self._count(merges + len(node.value) - before)

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > _MOST_NODES:
            raise InvalidDocument(
                f"The document has more than {_MOST_NODES:,} values, which YAML takes too long to "
                "read. Write it in JSON."
            )

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        """Mend half characters here, and not once more for each alias."""
        return mend_text(super().construct_scalar(node))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """Make every key a string, as in JSON: a status is often written as a number."""
        # Merge first, so that merged keys become strings, too.
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                key.tag = f"{_TAG}str"
        return super().construct_mapping(node, deep)


_TAG: Final = "tag:yaml.org,2002:"
_KNOWN: Final = ("null", "bool", "int", "float", "str", "seq", "map")
# Without dates, sets and bytes, which JSON cannot write: their tags are refused.
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag in {_TAG + known for known in _KNOWN}
}
# PyYAML's own read `!!int 1:30` to the base of 60, which takes the square of its length, and
# hexadecimal digits without an end, of which no JSON can be written.
for _name, _number in (("int", int), ("float", float)):
    _Loader.yaml_constructors[_TAG + _name] = lambda loader, node, number=_number: number(
        loader.construct_scalar(node)
    )
for _type, _pattern, _beginnings in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+", [*"-+0123456789"]),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _type, re.compile(rf"(?:{_pattern})\Z"), _beginnings)
