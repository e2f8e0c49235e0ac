"""Files of this machine as arguments of a tool."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from mcp_mount.errors import MountError

_UNIONS = ("anyOf", "oneOf")


def read_upload(schema: Mapping[str, Any], path: str) -> Any:
    """Return the file at `path` as a schema takes one; where it takes none, the file's text.

    Raises:
        MountError: it cannot be read, or is no text where a text is needed.
    """
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise MountError(
            f"The file {path!r} cannot be read: {error.strerror}. A value that begins with '@' "
            f"names a file; write '@@{path}' for the text itself."
        ) from None
    for option in options_of(schema):
        parts = option.get("properties")
        if isinstance(parts, Mapping) and {"base64", "text"} <= parts.keys():
            found = {"filename": Path(path).name, "base64": b64encode(content).decode()}
            kind = guess_type(path)[0]
            return {**found, "media_type": kind} if kind is not None else found
        if option.get("contentEncoding") == "base64":
            return b64encode(content).decode()
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise MountError(f"The file {path!r} is no text, and the argument takes no file.") from None


def options_of(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema, and those that it has to choose from, whatever else a server has written."""
    yield schema
    for key in _UNIONS:
        options = schema.get(key)
        for option in options if isinstance(options, list) else ():
            if isinstance(option, Mapping):
                yield from options_of(option)
