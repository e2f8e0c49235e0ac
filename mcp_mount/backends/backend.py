"""What a backend is: it knows where the operations are, and how to get there."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mcp_mount.backends.app_call import AppCall
from mcp_mount.backends.request import OperationRequest, Sink
from mcp_mount.openapi.operations import Operation


class ToolIndex(Protocol):
    """Which operations are tools, for backends that must not be led to others."""

    @property
    def routes(self) -> object:
        """Stands for the app's routes when its tools were read; another object: other routes."""

    def may_lead_to(self, method: str, template: str) -> bool:
        """Whether a redirect or rewrite may lead the caller to an operation.

        It does if the operation is a tool that the caller may use, needs no confirmation, and
        has no limit of its own on the calls that run at once.
        """


class Backend(Protocol):
    """Sends requests to operations."""

    def prepare(self, request: OperationRequest, sink: Sink, *, tool: str) -> AppCall:
        """Return the call that sends a request on behalf of the current MCP request.

        Raises:
            InvalidArguments: the request would reach another operation than the one it is for.
        """

    def encode_slashes(self, operation: Operation) -> None:
        """Allow slashes in the path values of an operation, which are sent as ``%2F``.

        Raises:
            MountError: that cannot be, or is told in two ways.
        """

    def connected(self) -> AbstractAsyncContextManager[object]:
        """Keep what calls need, such as connections, as long as the server runs."""

    def follow(
        self, request: OperationRequest, status: int, location: str
    ) -> OperationRequest | None:
        """Return the request that a redirect asks for; None where it leads elsewhere."""
