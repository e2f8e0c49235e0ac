"""Converts what a call has read into its result, off the event loop where it is large."""

from collections.abc import Callable
from functools import partial
from typing import Final

from mcp_mount.backends.request import ResponseEnd
from mcp_mount.conversion.content import Result, to_result
from mcp_mount.conversion.fields import Tree
from mcp_mount.conversion.reader import ResponseReader
from mcp_mount.conversion.shortening import shorten_result
from mcp_mount.loops import LARGE, run_apart
from mcp_mount.tools.binding import ToolBinding
from mcp_mount.turns import Turns

_SMALL: Final = 2 * 1024
"""Bytes of a body that takes no time: a thousand calls may be answered at once."""


async def convert(
    binding: ToolBinding, reader: ResponseReader, outcome: ResponseEnd, fields: Tree | None
) -> Result:
    """Convert a response into the result; a large one in a thread."""
    limits, output = binding.limits, binding.output
    timeout = limits.timeout
    run = partial(to_result, reader, output, outcome=outcome, timeout=timeout, fields=fields)
    if limits.max_result_chars is not None:
        run = partial(_shorten, run, limits.max_result_chars, binding, reader)
    # Most are small, and a call costs.
    if _SMALL < reader.size <= LARGE:
        await Turns().begin()
    return await run_apart(reader.size, run)


def _shorten(
    run: Callable[[], Result], most: int, binding: ToolBinding, reader: ResponseReader
) -> Result:
    return shorten_result(
        run(),
        binding.output,
        most,
        are_lines=reader.items is not None,
        arguments=binding.arguments.schema["properties"],
    )
