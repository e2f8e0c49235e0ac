"""Sends the requests of a session, and bounds what comes back.

The entries of lists are handed over as they came, to be read one by one: a bad one costs no other.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import anyio
from mcp.shared.dispatcher import CallOptions, OnRequest
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from mcp_types import CLIENT_CAPABILITIES_META_KEY, LOG_LEVEL_META_KEY

from mcp_mount.remotes.bounds import MAX_DATA
from mcp_mount.remotes.large import take_large_result
from mcp_mount.remotes.outgoing import OutgoingRequest, current_request
from mcp_mount.remotes.results import LISTS, check_result
from mcp_mount.remotes.streams import Inbound, Outbound, Waiting
from mcp_mount.remotes.text import fits


class Dispatcher(JSONRPCDispatcher[TransportContext]):
    """Sends requests and bounds what comes back.

    Attributes:
        ended: Set when nothing comes any more.
    """

    def __init__(
        self,
        read: Any,
        write: Any,
        *,
        ids: Iterator[int],
        max_blocks: int,
        ends_by_closing: bool,
    ) -> None:
        """Take the streams, ids for requests, and what bounds the results.

        `ends_by_closing` is whether a modern request is cancelled by the end of its connection.
        """
        self._waiting = Waiting()
        super().__init__(Inbound(read, self._waiting), Outbound(write, self._waiting))
        self.ended = anyio.Event()
        self._entries: list[Any] | None = None
        self._ids = ids
        self._max_blocks = max_blocks
        self._ends_by_closing = ends_by_closing

    async def run(self, on_request: OnRequest, *arguments: Any, **options: Any) -> None:
        """Take what comes, until the end."""

        async def answer(context: Any, *said: Any) -> dict[str, Any]:
            try:
                return await on_request(context, *said)
            finally:
                # The server has taken its question back, and gets no answer.
                self._waiting.count -= context.cancel_requested.is_set()

        try:
            await super().run(answer, *arguments, **options)
        finally:
            self.ended.set()

    def take_entries(self) -> list[Any] | None:
        """Return those of the list that came last, as the server wrote them, once.

        None if it is no list.
        """
        entries, self._entries = self._entries, None
        return entries

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,
        opts: CallOptions | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Send a request; return its result without the entries of a list.

        Raises:
            MCPError: as the SDK's, or of `check_result`.
        """
        # A session may last as long as a call, and ids must not come again (MCP "input_required").
        options: CallOptions = {"request_id": next(self._ids), **(opts or {})}
        request = current_request()
        if request is not None and CLIENT_CAPABILITIES_META_KEY in (params or {}).get("_meta", {}):
            # The modern era: each request says for itself what its caller's client can do.
            options["headers"] = {**options.get("headers", {}), **request.param_headers}
            params = _declare(params or {}, request)
            # The SDK's way waits for all that is sent in this session; `abandon` does not.
            options["cancel_on_abandon"] = not self._ends_by_closing
        try:
            result = await super().send_raw_request(method, params, options, **more)
        except MCPError as error:
            if not fits(error.error.data, MAX_DATA):
                error.error.data = None
            raise
        finally:
            self._waiting.is_over(options["request_id"])
        if request is not None:
            result = take_large_result(request, options["request_id"]) or result
        check_result(result, method, self._max_blocks)
        if method not in LISTS:
            return result
        entries = result.get(LISTS[method])
        self._entries = entries if isinstance(entries, list) else None
        return result if self._entries is None else {**result, LISTS[method]: []}


def _declare(params: Mapping[str, Any], request: OutgoingRequest) -> dict[str, Any]:
    """Return the parameters of a modern request with what its own caller's client can do."""
    meta = {**params["_meta"], CLIENT_CAPABILITIES_META_KEY: {**request.capabilities}}
    asked: Mapping[str, Any] = (request.caller.meta or {}) if request.caller is not None else {}
    if LOG_LEVEL_META_KEY in asked:
        meta[LOG_LEVEL_META_KEY] = asked[LOG_LEVEL_META_KEY]
    return {**params, "_meta": meta}
