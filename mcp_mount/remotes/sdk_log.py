"""Keeps what the SDK logs of our sessions to a line a minute.

It writes a traceback for each event of a server that is no message, and the ids of sessions. What
it logs of clients that the application itself has is logged as it always was.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

logger = logging.getLogger("mcp_mount.remotes")

_LOGGERS: Final = (
    "client",
    "mcp.client.session",
    "mcp.client.streamable_http",
    "mcp.shared.dispatcher",
    "mcp.shared.jsonrpc_dispatcher",
)

_MINUTE: Final = 60.0

_remote: ContextVar[str | None] = ContextVar("mcp_mount_remote", default=None)

_told: Final[dict[str, float]] = {}
"""When there was a line for each server."""


class _Filter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if _remote.get() is None or record.levelno < logging.INFO:
            return True
        if record.levelno > logging.INFO:
            tell_of_junk()
        return False


_FILTER: Final = _Filter()


def tell_of_junk() -> None:
    """Tell once a minute that the current server sends what is not valid MCP."""
    name, now = _remote.get() or "?", time.monotonic()
    if now - _told.get(name, -_MINUTE) >= _MINUTE:
        _told[name] = now
        logger.warning("The remote %r sends what is not valid MCP; it is dropped.", name)


def belongs_to(name: str) -> None:
    """Have what is logged in this task belong to the server of that name."""
    _remote.set(name)


@contextmanager
def talking_to(name: str) -> Iterator[None]:
    """Have what is logged meanwhile, and in tasks that begin, belong to the server of that name."""
    # Each time, because an application may set up its loggers anew.
    for each in _LOGGERS:
        logging.getLogger(each).addFilter(_FILTER)
    token = _remote.set(name)
    try:
        yield
    finally:
        _remote.reset(token)
