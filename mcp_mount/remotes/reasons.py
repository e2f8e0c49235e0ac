"""Why another server is down, in a word or two: never its own, nor those of an exception."""

from collections.abc import Iterator
from typing import Final

import httpx2
import mcp_types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from mcp_mount.remotes.connection import TooLarge, Unreachable
from mcp_mount.remotes.program import TOO_LARGE

_DEEPEST: Final = 10
_CATEGORIES: Final = (
    (TooLarge, "too large"),
    ((FileNotFoundError, PermissionError, NotADirectoryError), "cannot be started"),
    ((httpx2.ConnectError, ConnectionError), "unreachable"),
    ((TimeoutError, httpx2.TimeoutException), "timeout"),
    (Unreachable, "ended"),
    (ValidationError, "invalid answer"),
)


def category(error: BaseException, refused: int | None) -> str:
    """Say in a word or two why a server is down; never in its own words, nor in an exception's.

    Args:
        error: What was raised.
        refused: The HTTP status with which the server has refused its last request.
    """
    kinds = [*causes(error)]
    for kind, words in _CATEGORIES:
        if any(isinstance(each, kind) for each in kinds):
            return words
    codes = {each.code for each in kinds if isinstance(each, MCPError)}
    if TOO_LARGE in codes:
        return "too large"
    if refused in {401, 403}:
        return "not authorized"
    if refused is not None:
        return f"HTTP {refused}"
    return "ended" if mcp_types.CONNECTION_CLOSED in codes else "no MCP server"


def causes(error: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    """Yield an error, what it groups, and what it came of."""
    if error is None or depth > _DEEPEST:
        return
    yield error
    for each in getattr(error, "exceptions", ()):
        yield from causes(each, depth + 1)
    yield from causes(error.__cause__ or error.__context__, depth + 1)


def alone(error: BaseException) -> BaseException:
    """Return the error that a group holds, if it holds one: a session's tasks make groups."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
