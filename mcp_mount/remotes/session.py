"""An MCP session with another server, and the version on which the two agree."""

from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any, TypeVar

from mcp import ClientSession
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    UNSUPPORTED_PROTOCOL_VERSION,
    CallToolResult,
    DiscoverResult,
    Implementation,
)
from pydantic import ValidationError

from mcp_mount.remotes.bounds import ASKS_TOO_MUCH, TOO_LARGE
from mcp_mount.remotes.dispatcher import Dispatcher
from mcp_mount.remotes.failures import ServerError
from mcp_mount.version import __version__

Answer = TypeVar("Answer")


class Session(ClientSession):
    """A session whose results are not validated against their schemas: the client does that."""

    ends_by_closing = False
    """Whether a modern request is cancelled by the end of its connection."""

    def __init__(
        self,
        read: Any,
        write: Any,
        *,
        ids: Iterator[int] | None = None,
        max_blocks: int,
        **callbacks: Any,
    ) -> None:
        self.dispatcher = Dispatcher(
            read,
            write,
            ids=ids or count(1),
            max_blocks=max_blocks,
            ends_by_closing=self.ends_by_closing,
        )
        client_info = Implementation(name="mcp-mount", version=__version__)
        super().__init__(dispatcher=self.dispatcher, client_info=client_info, **callbacks)

    async def validate_tool_result(self, name: str, result: CallToolResult) -> None:
        """Leave it to the client that gets the result."""

    async def connect(self, known: DiscoverResult | None, *, is_handshake: bool = False) -> None:
        """Agree on a protocol version.

        `known` is what the server has said of itself before, in the modern era.

        Raises:
            MCPError: the server speaks no version that we know.
        """
        if self.protocol_version is not None:
            return
        if known is not None:
            self.adopt(known)
        elif is_handshake:
            await self.initialize()
        else:
            await self._negotiate()

    async def _negotiate(self) -> None:
        try:
            await self.discover()
        except (MCPError, ValidationError, RuntimeError):
            try:
                await self.initialize()
            except MCPError as error:
                if error.code != UNSUPPORTED_PROTOCOL_VERSION:
                    raise
                # A program that was slow to start has taken the first question, and is modern.
                await self.discover()

    async def attempt(self, send: Callable[["Session"], Awaitable[Answer]]) -> Answer | Exception:
        """Send a request, and return its result, or what to raise where it was made."""
        try:
            return await send(self)
        except MCPError as error:
            is_own = error.code not in {TOO_LARGE, ASKS_TOO_MUCH} and self.was_said(error)
            return ServerError(error.error) if is_own else error
        except Exception as error:  # noqa: BLE001 - it is raised where the request was made
            return error

    def was_said(self, error: MCPError) -> bool:
        """Whether the server wrote an error, and not our client in its place."""
        return not (error.code == CONNECTION_CLOSED and error.message == "Connection closed")
