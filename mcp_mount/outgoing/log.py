"""Keeps what our own requests ask for out of the HTTP library's log.

At level INFO, httpx2 writes the URL of each request: of ours, that is the key of an API, the token
of another server, and the arguments of a call. What is left is where the request went, and the
beginning of what the other side says of its answer. Requests that the application itself makes are
logged as they always were.
"""

import logging
from typing import Final

import httpx2

_MAX_PHRASE: Final = 100
"""Characters of a reason phrase; another server may send tens of thousands."""

_MAX_QUOTED: Final = 300
"""Characters of an error's own text; the HTTP library quotes a line that is no header as it is."""


class UnloggedURL(httpx2.URL):
    """The URL of a request of ours."""

    @property
    def shown(self) -> str:
        """What the log has of it, e.g. ``"https://api.example"``."""
        return f"{self.scheme}://{self.netloc.decode('ascii')}"


class _Filter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            is_ours = any(isinstance(each, UnloggedURL) for each in record.args)
            record.args = tuple(map(_show, record.args)) if is_ours else record.args
        return True


def _show(argument: object) -> object:
    if isinstance(argument, UnloggedURL):
        return argument.shown
    return argument[:_MAX_PHRASE] if isinstance(argument, str) else argument


_FILTER: Final = _Filter()


def read_message(error: Exception) -> str:
    """Return what an error says, with the beginning of what it quotes of an answer."""
    return str(error)[:_MAX_QUOTED]


def describe(error: Exception) -> str:
    """Return an error for the log."""
    return f"{type(error).__name__}({read_message(error)!r})"


def hide_url(request: httpx2.Request) -> None:
    """Keep the URL of a request out of the log; an event hook of `httpx2.Client`."""
    # Each time, because an application may set up its loggers anew.
    logging.getLogger("httpx2").addFilter(_FILTER)
    request.url = UnloggedURL(request.url)


async def hide_url_async(request: httpx2.Request) -> None:
    """Do the same; an event hook of `httpx2.AsyncClient`."""
    hide_url(request)
