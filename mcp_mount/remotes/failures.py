"""Why another server is down, in a word or two, and the errors that it wrote itself."""

import json
import logging
from collections.abc import Iterator
from typing import Any, Final

import httpx2
import mcp_types
from fastmcp.exceptions import FastMCPError
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from mcp.shared.exceptions import MCPError
from mcp_types import ErrorData
from pydantic import ValidationError

from mcp_mount.backends.token import NoToken
from mcp_mount.openapi.sizes import fits
from mcp_mount.remotes.bounds import MAX_DATA, MAX_INTEGER, TOO_LARGE
from mcp_mount.remotes.text import clean_json, clean_text

_MAX_DEPTH: Final = 10
_MAX_MESSAGE: Final = 2_000


class Ended(Exception):
    """The program has ended."""


class InvalidLists(Exception):
    """What a server answers to a question for a list is not of MCP."""


class ServerError(FastMCPError):
    """An `error` that another server wrote for its caller, cleaned, without what is too large."""

    def __init__(self, error: ErrorData) -> None:
        message = clean_text(error.message, _MAX_MESSAGE) or "The request is refused."
        super().__init__(message, log_level=logging.DEBUG)
        code = error.code if abs(error.code) <= MAX_INTEGER else mcp_types.INTERNAL_ERROR
        self.error = ErrorData(code=code, message=message, data=_clean_data(error.data))


class ServerErrorMiddleware(Middleware):
    """Answers with the error that another server wrote, as it would answer itself."""

    async def on_request(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> object:
        """Raise the server's error as a protocol error.

        Raises:
            MCPError: the code, message and data are the server's.
        """
        try:
            return await call_next(context)
        except ServerError as refused:
            error = refused.error
            raise MCPError(code=error.code, message=error.message, data=error.data) from None


def _clean_data(data: Any) -> Any:
    if not fits(data, MAX_DATA):
        return None
    clean = clean_json(data)
    return clean if len(json.dumps(clean)) <= MAX_DATA else None


_CATEGORIES: Final = (
    (FileNotFoundError, "cannot be started: no such program, or cwd"),
    (PermissionError, "cannot be started: not allowed"),
    (NotADirectoryError, "cannot be started: cwd is no folder"),
    ((httpx2.ConnectError, ConnectionError), "unreachable"),
    ((TimeoutError, httpx2.TimeoutException), "timeout"),
    (Ended, "ended"),
    (NoToken, "not authorized"),
    ((ValidationError, InvalidLists), "invalid answer"),
)


def describe_failure(error: BaseException, refused: int | None) -> str:
    """Say in a word or two why a server is down; never in its own words, nor in an exception's.

    `refused` is the HTTP status with which it has refused its last request.
    """
    causes = [*find_causes(error)]
    for kind, words in _CATEGORIES:
        if any(isinstance(each, kind) for each in causes):
            return words
    codes = {each.code for each in causes if isinstance(each, MCPError)}
    if TOO_LARGE in codes:
        return "too large"
    if refused in {401, 403}:
        return "not authorized"
    if refused is not None:
        return f"HTTP {refused}"
    return "ended" if mcp_types.CONNECTION_CLOSED in codes else "no MCP server"


def find_causes(error: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    """Yield an error, what it groups, and what it came of."""
    if error is None or depth > _MAX_DEPTH:
        return
    yield error
    for each in getattr(error, "exceptions", ()):
        yield from find_causes(each, depth + 1)
    yield from find_causes(error.__cause__ or error.__context__, depth + 1)
