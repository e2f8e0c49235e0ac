"""What another server sends, without the parts that would cost more than themselves.

* An entry of a list that is not of MCP is left out; the rest of the list stays.
* A request of the other server is dropped where too many of its requests wait for their answers: it
  may never read them.
"""

from collections.abc import Mapping
from typing import Any, Final

from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.dispatcher import CallOptions
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.message import SessionMessage
from mcp.shared.transport_context import TransportContext
from mcp_types import JSONRPCError, JSONRPCRequest, JSONRPCResponse
from mcp_types.methods import parse_server_result
from mcp_types.version import LATEST_HANDSHAKE_VERSION, MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

RequestContext = SessionMessage | Exception

_MOST_WAITING: Final = 100
"""Requests of the other server that wait for their answers."""

_MOST_ENTRIES: Final = 2_000
"""Of a page that are looked at: more than are offered, and few enough to be read one by one."""

_LISTS: Final = {
    "tools/list": ("tools", "tool"),
    "resources/list": ("resources", "resource"),
    "resources/templates/list": ("resourceTemplates", "resource template"),
    "prompts/list": ("prompts", "prompt"),
}
_MODERN_RESULT: Final = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


class Sieve(JSONRPCDispatcher[TransportContext]):
    """The messages of a session. A class because the SDK's session takes one in place of its own.

    Attributes:
        left_out: What has been left out of lists, e.g. ``"the tool 'find'"``.
    """

    def __init__(self, read: Any, write: Any) -> None:
        """Take the streams of a transport."""
        waiting = _Waiting()
        super().__init__(_Reading(read, waiting), _Writing(write, waiting))
        self.left_out: list[str] = []

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Send a request, and return its result as the other server wrote it, but for bad entries.

        Raises:
            MCPError: as the SDK's.
        """
        result = await super().send_raw_request(method, params, opts, **more)
        key, kind = _LISTS.get(method, ("", ""))
        entries = result.get(key)
        if not isinstance(entries, list):
            return result
        entries = entries[:_MOST_ENTRIES]
        headers = (opts or {}).get("headers") or {}
        version = headers.get(MCP_PROTOCOL_VERSION_HEADER, LATEST_HANDSHAKE_VERSION)
        if _is_valid(method, version, entries):
            return {**result, key: entries}
        kept = []
        for entry in entries:
            if _is_valid(method, version, [entry]):
                kept.append(entry)
            else:
                name = entry.get("name") if isinstance(entry, dict) else entry
                self.left_out.append(f"the {kind} {str(name)[:100]!r}")
        return {**result, key: kept}


def _is_valid(method: str, version: str, entries: list[Any]) -> bool:
    """Whether the session will take a list with these entries."""
    beside = _MODERN_RESULT if version in MODERN_PROTOCOL_VERSIONS else {}
    try:
        parse_server_result(method, version, {**beside, _LISTS[method][0]: entries})
    except ValidationError:
        return False
    except (KeyError, ValueError):
        # A version without such a list: the session says so itself.
        return True
    return True


class _Waiting:
    """How many requests of the other server wait. A class because two streams count them."""

    count = 0


class _Reading(ObjectReceiveStream[RequestContext]):
    def __init__(self, stream: Any, waiting: _Waiting) -> None:
        self._stream = stream
        self._waiting = waiting

    async def receive(self) -> RequestContext:
        while True:
            item: RequestContext = await self._stream.receive()
            if not (isinstance(item, SessionMessage) and isinstance(item.message, JSONRPCRequest)):
                return item
            if self._waiting.count < _MOST_WAITING:
                self._waiting.count += 1
                return item

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Writing(ObjectSendStream[SessionMessage]):
    def __init__(self, stream: Any, waiting: _Waiting) -> None:
        self._stream = stream
        self._waiting = waiting

    async def send(self, item: SessionMessage) -> None:
        await self._stream.send(item)
        if isinstance(item.message, JSONRPCResponse | JSONRPCError):
            self._waiting.count -= 1

    async def send_eof(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._stream.aclose()
