"""Keeps what FastMCP logs of its own tools, prompts and resources short, and of refused tokens.

It logs what they raise with a handler that draws frames and colours, which takes seconds for each
megabyte; and what is raised often repeats an argument, as `KeyError` does.
"""

import logging
import time
from traceback import format_exception
from typing import Final

_LONGEST: Final = 2_000
"""Characters of what a record, or one exception, says."""

_COLOURED: Final = 500
"""The same, where it is coloured: the patterns for that take longer with its square."""

_LONGEST_TRACEBACK: Final = 4_000
"""The same of the beginning, and of the end, of a traceback in which one says more."""


_REFUSING: Final = "fastmcp.server.auth.middleware"
_PAUSE: Final = 1.0
"""The logger of refusals, and seconds between two lines in it: strangers make them."""


class _Filter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.msg, str) and not record.args:
            record.msg = record.msg[:_LONGEST]
        if record.exc_info and record.exc_info[1] is not None:
            text = short_traceback(record.exc_info[1])
            if text is not None:
                record.exc_info, record.exc_text = None, text
        if record.exc_text or len(record.getMessage()) > _COLOURED:
            # What rich's handler looks for.
            record.highlighter = None
        return True


def short_traceback(error: BaseException) -> str | None:
    """Return a traceback of no more than that; None where it is short as it is."""
    parts = format_exception(error)
    if max(map(len, parts)) <= _COLOURED:
        return None
    text = "".join(f"{each[:_LONGEST].rstrip()}\n" for each in parts)
    if len(text) > 2 * _LONGEST_TRACEBACK:
        text = f"{text[:_LONGEST_TRACEBACK]}\n…\n{text[-_LONGEST_TRACEBACK:]}"
    return text


class _Refusals(logging.Filter):
    """Lets one refusal in a second through, which says how many there were since the last."""

    def __init__(self) -> None:
        super().__init__()
        self._ends, self._left_out = 0.0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        if time.monotonic() < self._ends:
            self._left_out += 1
            return False
        if self._left_out:
            record.msg = f"{record.msg}, and {self._left_out} more before"
        self._ends, self._left_out = time.monotonic() + _PAUSE, 0
        return True


_FILTER: Final = _Filter()
_REFUSALS: Final = _Refusals()


def shorten_log() -> None:
    """Keep what FastMCP's own handlers write short."""
    logging.getLogger(_REFUSING).addFilter(_REFUSALS)
    for handler in logging.getLogger("fastmcp").handlers:
        handler.addFilter(_FILTER)
