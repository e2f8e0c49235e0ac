"""What stands in the place of a message of another server that is too large.

The SDK parses a message in one step, which holds the event loop: how large one may be is counted
while it arrives, with a `mcp_mount.conversion.structure.Meter`.
"""

from typing import Final

from mcp_types import ErrorData

TOO_LARGE: Final = -32098
"""The code of the error that stands for an answer which was dropped."""


CONTAINER: Final = 8
"""For how many values a list or an object counts: the SDK makes several of each, one by one."""


def too_large_error() -> ErrorData:
    """Return what a request is answered with in place of a message that was dropped."""
    return ErrorData(code=TOO_LARGE, message="The answer is too large.")
