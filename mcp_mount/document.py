"""Loads an OpenAPI document from a file, a URL or a mapping, in JSON or YAML."""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx2
import yaml

from mcp_mount.errors import InvalidDocument

_LARGEST: Final = 64 * 1024 * 1024
"""Bytes; the largest documents known are a quarter of this."""

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
    path = Path(source)
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"The OpenAPI document {str(source)!r} cannot be read: {error.strerror}."
        raise InvalidDocument(message) from None
    return _checked(_parsed(data, str(source)), f"{str(source)!r}")


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
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        message = (
            f"The OpenAPI document cannot be fetched from {without_secrets(url)!r}: {error}. "
            "Is the service running? A file can be given as well."
        )
        raise InvalidDocument(message) from None


def without_secrets(url: str) -> str:
    """Return a URL as it may be shown: without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _received(response: httpx2.Response) -> bytes:
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > _LARGEST:
            raise httpx2.RequestError(f"it is larger than {_LARGEST} bytes")
    return bytes(data)


def _parsed(data: bytes, name: str) -> object:
    text = data.decode("utf-8-sig", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" (line {place.line + 1})" if place is not None else ""
        message = f"{name!r} is neither JSON nor YAML{where}."
        raise InvalidDocument(message) from None


def _checked(document: object, what: str) -> dict[str, Any]:
    if isinstance(document, Mapping) and str(document.get("openapi", "")).startswith("3."):
        return dict(document)
    if isinstance(document, Mapping) and "swagger" in document:
        message = f"{what} is Swagger {document['swagger']}. Convert it to OpenAPI 3 first."
        raise InvalidDocument(message)
    raise InvalidDocument(f"{what} is no OpenAPI 3 document: it has no 'openapi: 3.…'.")


class _Loader(yaml.SafeLoader):
    """Reads YAML 1.2 with JSON's types alone, as OpenAPI does (§4.4): ``no`` is a word."""

    # PyYAML's own are those of YAML 1.1, where `12:30` is the number 750.
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's, for the whole class

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """Make every key a string, as in JSON: a status is often written as a number."""
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                key.tag = f"{_TAG}str"
        return super().construct_mapping(node, deep)


_TAG: Final = "tag:yaml.org,2002:"
for _type, _pattern, _beginnings in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+", [*"-+0123456789"]),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _type, re.compile(rf"(?:{_pattern})\Z"), _beginnings)
