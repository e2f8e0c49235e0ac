"""Reads of a message what decides where it goes, and builds no more of it than that.

Every message is read so, whatever it is made of: to build all of a large one takes many times as
long as to read over it.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

_NOTHING = msgspec.Raw(b"")


class _Params(msgspec.Struct, frozen=True):
    name: Any = None
    uri: Any = None
    arguments: msgspec.Raw = _NOTHING
    meta: Any = msgspec.field(name="_meta", default=None)
    state: Any = msgspec.field(name="requestState", default=None)


class Outline(msgspec.Struct, frozen=True):
    """What of a JSON-RPC message is read; whatever is missing, or no message at all, is None."""

    id: Any = None
    method: Any = None
    params: _Params = _Params()

    @property
    def tool(self) -> str | None:
        """The tool that it calls; None where it calls none."""
        return self._text(self.params.name) if self.method == "tools/call" else None

    @property
    def address(self) -> str | None:
        """The address that it reads a resource at; None where it reads none."""
        return self._text(self.params.uri) if self.method == "resources/read" else None

    @property
    def repeated(self) -> int:
        """The characters of what answers repeat: the id, the token of progress, the name."""
        meta = self.params.meta
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        return sum(
            len(each) for each in (self.id, token, self.params.name) if isinstance(each, str)
        )

    @property
    def state(self) -> object:
        """What of a question comes back with the answer to it."""
        return self.params.state

    @property
    def meta(self) -> Mapping[str, Any]:
        """The ``_meta`` of its parameters."""
        return self.params.meta if isinstance(self.params.meta, dict) else {}

    @property
    def arguments(self) -> bytes:
        """The arguments of a call as they stand in it, where it is JSON to the letter."""
        return bytes(self.params.arguments) if self.method == "tools/call" else b""

    @staticmethod
    def _text(value: object) -> str | None:
        return value if isinstance(value, str) else None


_decode = msgspec.json.Decoder(Outline).decode


def read_outline(body: bytes) -> Outline:
    """Return the outline of a message as the SDK would read it, which takes more than JSON."""
    return read_strict_outline(body) or _read_all(body)


def read_strict_outline(body: bytes) -> Outline | None:
    """Return the outline of a message that is JSON to the letter; None of another one."""
    try:
        return _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _read_all(body: bytes) -> Outline:
    try:
        # Of bytes it would guess that they are UTF-16, of which no value has been counted.
        message: Any = json.loads(str(body, "utf-8-sig"))
    except (ValueError, RecursionError):
        # What cannot be read here cannot be read further down the stack, which says so.
        return Outline()
    if not isinstance(message, dict):
        return Outline()
    params = message.get("params")
    if not isinstance(params, dict):
        return Outline(message.get("id"), message.get("method"))
    given = _Params(params.get("name"), params.get("uri"), meta=params.get("_meta"))
    return Outline(message.get("id"), message.get("method"), given)
