"""Takes a call through the search for a call of the tool that it names.

From there on it is nothing else: scopes, limits, the question, the log and the errors are those of
that tool. What is in any way unusual is left as it is, and refused by the tool of the search.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, Final

import msgspec
from fastmcp.tools import Tool
from mcp.shared.inbound import encode_header_value, mcp_param_headers, x_mcp_header_map
from pydantic_core import from_json, to_json
from starlette.types import Scope

from mcp_mount.errors import InvalidArguments
from mcp_mount.fastpath.messages import CallMessage, HotRequest
from mcp_mount.search.answering import CallArguments, is_half, read_arguments
from mcp_mount.search.provider import SearchProvider
from mcp_mount.search.reading import is_read_only
from mcp_mount.search.snapshot import NAMES

_NAME: Final = b"mcp-name"
_PARAMETER: Final = b"mcp-param-"

_LONGEST_NAME: Final = 1_000


@dataclass(frozen=True, slots=True)
class InnerCall:
    """The call that stands in a call of the search."""

    name: str
    arguments: Mapping[str, Any]
    tool: Tool | None
    """The tool; None where it is not known here, which FastMCP says."""

    def hot(self, request: HotRequest | None) -> HotRequest | None:
        """Return a request that was read as a request of the inner call."""
        if request is None:
            return None
        message = request.message
        if not isinstance(message, CallMessage):
            return request
        params = msgspec.structs.replace(
            message.params, name=self.name, arguments=dict(self.arguments)
        )
        return HotRequest(msgspec.structs.replace(message, params=params), request.version)

    def body(self, body: bytes) -> bytes:
        """Return the body of a request with the inner call in it."""
        try:
            # Python's own reader takes five times as long for fractions.
            message = from_json(body)
            message["params"] |= {"name": self.name, "arguments": self.arguments}
            return to_json(message, inf_nan_mode="constants")
        except ValueError:
            # Half a character is in it, which the SDK refuses.
            return body

    def scope(self, scope: Scope, body: bytes) -> Scope:
        """Return the scope of a request with the headers that mirror the inner call."""
        mirrored = {_NAME: encode_header_value(self.name).encode()}
        own = x_mcp_header_map(self.tool.parameters) if self.tool is not None else {}
        headers = [
            (name, mirrored.get(name, value))
            for name, value in scope["headers"]
            if not name.startswith(_PARAMETER) and name != b"content-length"
        ]
        # What no header can hold is missing among them, which the SDK refuses.
        sent = {name: value for name, value in self.arguments.items() if not is_half(value)}
        headers += [
            (name.lower().encode(), value.encode())
            for name, value in mcp_param_headers(own, sent).items()
        ]
        headers.append((b"content-length", b"%d" % len(body)))
        return {**scope, "headers": headers}


async def unwrap(
    search: SearchProvider, outer: str | None, scope: Scope, body: bytes, hot: HotRequest | None
) -> InnerCall | None:
    """Return the call that stands in a call of the search; None for every other request.

    `outer` is the tool that the request calls, and `hot` the request, unless it is unusual.
    """
    if outer is None or not outer.endswith(NAMES) or not await search.surface.is_search():
        return None
    snapshot = await search.surface.snapshot()
    names = snapshot.names
    if outer not in {names.call, names.call_read}:
        return None
    # Where header and body disagree, that is to be refused.
    if any(value != outer.encode() for name, value in scope["headers"] if name == _NAME):
        return None
    try:
        asked = read_arguments(CallArguments, _read_arguments(body, hot))
    except (InvalidArguments, ValueError, RecursionError):
        # Only the outline of an unusual request was read until now.
        return None
    if len(asked.name) > _LONGEST_NAME:
        return None
    tool = snapshot.tools.get(asked.name)
    if outer == names.call_read and (tool is None or not is_read_only(tool)):
        return None
    return None if asked.name in astuple(names) else InnerCall(asked.name, asked.arguments, tool)


def _read_arguments(body: bytes, hot: HotRequest | None) -> Mapping[str, Any]:
    if hot is not None and isinstance(hot.message, CallMessage):
        return hot.message.params.arguments
    arguments = from_json(body)["params"].get("arguments")
    return arguments if isinstance(arguments, dict) else {}
