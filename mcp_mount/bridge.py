"""Carries messages between a client on standard input and output and an endpoint over HTTP.

Each message is the same there as here; what HTTP wants said in headers is taken from the message.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import anyio
import httpx2
from anyio.abc import TaskGroup
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
)
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params
from mcp.shared.message import ClientMessageMetadata, SessionMessage
from mcp_types import (
    HEADER_MISMATCH,
    PARSE_ERROR,
    PROTOCOL_VERSION_META_KEY,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from mcp_mount.cancelling import CANCELLED
from mcp_mount.headers import describe_refused
from mcp_mount.mirroring import Mirroring
from mcp_mount.stdio import StandardStreams

logger = logging.getLogger("mcp_mount")

LAST: Final = 5.0
"""Seconds for the answers to a client that has written its last: a shell, or one that is gone."""

_CALL: Final = "tools/call"
_LIST: Final = "tools/list"
_REFUSED: Final = (401, 403)


async def carry(
    streams: StandardStreams, url: str, client: httpx2.AsyncClient, most: int | None = None
) -> None:
    """Carry messages to the endpoint at `url` and back, until the client closes its end.

    What still runs then has `LAST` seconds to be answered. An event of more than `most` bytes ends
    the request that it belongs to.
    """
    await _Bridge(streams, most).run(url, client)


@dataclass(slots=True)
class _Question:
    """A request of our own."""

    is_answered: anyio.Event = field(default_factory=anyio.Event)
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Bridge:
    """One client, and what it waits for; `questions` are ours, by their ids."""

    streams: StandardStreams
    most: int | None
    version: str | None = None
    waiting: dict[RequestId, JSONRPCRequest] = field(default_factory=dict)
    questions: dict[RequestId, _Question] = field(default_factory=dict)
    idle: anyio.Event = field(default_factory=anyio.Event)
    send: Callable[[SessionMessage], Awaitable[None]] = field(init=False)
    mirroring: Mirroring = field(init=False)

    def __post_init__(self) -> None:
        self.mirroring = Mirroring(self._list_tools)

    async def run(self, url: str, client: httpx2.AsyncClient) -> None:
        async with (
            streamable_http_client(url, http_client=client, max_sse_event_size=self.most) as (
                answers,
                requests,
            ),
            anyio.create_task_group() as tasks,
        ):

            async def write_answers() -> None:
                async for answer in answers:
                    # The transport tells of its own failures so; the log has them.
                    if isinstance(answer, SessionMessage):
                        await self._answer(answer.message)

            self.send = requests.send
            tasks.start_soon(write_answers)
            # Sending may wait for the endpoint, and the end of the input is to be seen meanwhile.
            into, unsent = anyio.create_memory_object_stream[JSONRPCMessage](math.inf)
            all_sent = anyio.Event()

            async def send_all() -> None:
                async with unsent, anyio.create_task_group() as calls:
                    async for message in unsent:
                        await self._pass_on(message, calls)
                all_sent.set()

            tasks.start_soon(send_all)
            with into:
                async for line in self.streams.lines():
                    message = await self._read(line)
                    if message is not None:
                        into.send_nowait(message)
            with anyio.move_on_after(LAST):
                await all_sent.wait()
                while self.waiting:
                    self.idle = anyio.Event()
                    await self.idle.wait()
            tasks.cancel_scope.cancel()

    async def _read(self, line: bytes) -> JSONRPCMessage | None:
        """Return what the client has written; a line that is no message is answered as such."""
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValidationError:
            said = "This line is no message of MCP: write one JSON-RPC 2.0 object on each line."
            error = ErrorData(code=PARSE_ERROR, message=said)
            await self._write(JSONRPCError(jsonrpc="2.0", id=None, error=error))
            return None
        if isinstance(message, JSONRPCRequest):
            self.waiting[message.id] = message
        elif isinstance(message, JSONRPCNotification) and message.method == CANCELLED:
            self._forget(cancelled_request_id_from_params(message.params))
        return message

    async def _pass_on(self, message: JSONRPCMessage, calls: TaskGroup) -> None:
        """Send a message; a call that needs the list of tools first keeps no other back."""
        method: str | None = getattr(message, "method", None)
        params: Mapping[str, Any] = getattr(message, "params", None) or {}
        headers = self._headers(method, params)
        if isinstance(message, JSONRPCRequest) and method == _CALL and MCP_METHOD_HEADER in headers:
            calls.start_soon(self._call, message, params, headers)
        else:
            await self._send(message, headers)

    async def _call(
        self, message: JSONRPCRequest, params: Mapping[str, Any], headers: dict[str, str]
    ) -> None:
        mirrored = await self.mirroring.headers(params)
        # It may have been cancelled meanwhile, and its id be another's.
        if self.waiting.get(message.id) is message:
            await self._send(message, headers | mirrored)

    async def _send(self, message: JSONRPCMessage, headers: dict[str, str]) -> None:
        await self.send(SessionMessage(message, ClientMessageMetadata(headers=headers)))

    async def _list_tools(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask for the list of tools, as the client would."""
        question, id_ = _Question(), f"mcp-mount-{uuid4()}"
        request = JSONRPCRequest(jsonrpc="2.0", id=id_, method=_LIST, params=dict(params))
        self.questions[id_] = question
        with anyio.move_on_after(LAST):
            await self._send(request, self._headers(_LIST, params))
            await question.is_answered.wait()
        self.questions.pop(id_, None)
        return question.result

    def _headers(self, method: str | None, params: Mapping[str, Any]) -> dict[str, str]:
        meta = params.get("_meta")
        asked = meta.get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, dict) else None
        if method is None or not isinstance(asked, str):
            # A version with a handshake, which says it once.
            version = self.version if method != "initialize" else None
            return {MCP_PROTOCOL_VERSION_HEADER: version} if version is not None else {}
        headers = {
            MCP_PROTOCOL_VERSION_HEADER: encode_header_value(asked),
            MCP_METHOD_HEADER: encode_header_value(method),
        }
        name = params.get(NAME_BEARING_METHODS.get(method, ""))
        if isinstance(name, str):
            headers[MCP_NAME_HEADER] = encode_header_value(name)
        return headers

    async def _answer(self, message: JSONRPCMessage) -> None:
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            if (question := self.questions.get(message.id)) is not None:
                question.result = getattr(message, "result", {})
                question.is_answered.set()
                return
            request = self.waiting.get(message.id)
            if request is None:
                # It was cancelled: nobody waits (MCP "Cancellation").
                return
            method = request.method
            if method == "initialize" and isinstance(message, JSONRPCResponse):
                version = message.result.get("protocolVersion")
                self.version = encode_header_value(version) if isinstance(version, str) else None
            if method == _LIST and isinstance(message, JSONRPCResponse):
                self.mirroring.read(message.result)
            if isinstance(message, JSONRPCError) and message.error.code == HEADER_MISMATCH:
                self.mirroring.forget()
            await self._write(message)
            self._forget(message.id)
            return
        await self._write(message)

    def _forget(self, request: RequestId | None) -> None:
        if request is not None:
            self.waiting.pop(request, None)
        if not self.waiting:
            self.idle.set()

    async def _write(self, message: JSONRPCMessage) -> None:
        await self.streams.write(
            message.model_dump_json(by_alias=True, exclude_unset=True).encode()
        )


async def tell_of_refusal(response: httpx2.Response) -> None:
    """Tell the log where the endpoint wants to know who calls; an event hook of the client."""
    if response.status_code in _REFUSED:
        refused = describe_refused(response.request.headers)
        logger.warning(
            "The endpoint answered %d: %s.",
            response.status_code,
            refused or "say who calls, such as with --header 'X-Api-Key: ${KEY}'",
        )
