"""Large answers of other servers, read beside the event loop's work.

The SDK parses a message in one go, and writes out each that comes as an event, whether its log is
wanted or not. So a large result is kept beside its request, and the SDK is given an empty one.
"""

import json
import re
from functools import partial
from itertools import islice
from typing import Any, Final

from mcp_mount.conversion.structure import SLICE
from mcp_mount.halves import ESCAPED, mend
from mcp_mount.loops import LARGE, in_thread
from mcp_mount.remotes.bounds import MAX_UNASKED
from mcp_mount.remotes.events import values_of
from mcp_mount.remotes.outgoing import OutgoingRequest

_MESSAGE: Final = 10_000
"""Characters of a large error's message."""

_HALF: Final = re.compile(ESCAPED.encode())
_HALF_SIZE: Final = len(rb"\ud8")

_MOST_LINES: Final = 1_000
"""Lines of a large event's data; what is pretty-printed has fewer than a large message."""

_NO_MESSAGE: Final = b"{"
"""What the SDK refuses at once. Of what is large and no message it would write all into errors."""


async def without_large_result(message: bytes, outgoing: OutgoingRequest) -> bytes:
    """Return a message, or an empty result for a large one whose own is kept.

    What is no message is the SDK's to refuse. Of a large error its data is left out.
    """
    if len(message) <= LARGE:
        return message
    try:
        read = await in_thread(partial(_read, message))
    except (ValueError, RecursionError):
        return _NO_MESSAGE
    request_id = read.get("id") if isinstance(read, dict) else None
    if not isinstance(request_id, int | str):
        is_notice = isinstance(read, dict) and "method" in read and len(message) <= MAX_UNASKED
        return message if is_notice else _NO_MESSAGE
    said: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id}
    if isinstance(error := read.get("error"), dict):
        said["error"] = {"code": error.get("code"), "message": str(error.get("message"))[:_MESSAGE]}
    elif isinstance(result := read.get("result"), dict):
        outgoing.large_result, said["result"] = (request_id, result), {}
    else:
        said["result"] = None
    return json.dumps(said).encode()


async def event_without_large_result(event: bytes | bytearray, outgoing: OutgoingRequest) -> bytes:
    """Do so for an event, whose data may be in several lines."""
    if len(event) <= LARGE:
        return bytes(event)
    lines = [*islice(values_of(event, b"data:"), _MOST_LINES)]
    if not lines:
        return bytes(event)
    if len(lines) == _MOST_LINES:
        data = _NO_MESSAGE
    else:
        # No line ends within a string, so that a blank is as good in JSON.
        data = b" ".join(memoryview(event)[begin:end] for begin, end in lines)
    message = await without_large_result(data, outgoing)
    return b"".join((event[: lines[0][0]], message, event[lines[-1][1] :]))


def _read(message: bytes) -> Any:
    # Of bytes it would guess that they are UTF-16, of which no value has been counted.
    read = json.loads(str(message, "utf-8"))
    # Half a character alone could not be sent on.
    return mend(read) if _has_half(message) else read


def _has_half(message: bytes) -> bool:
    # Part by part: one step would hold up the process.
    steps = range(0, len(message), SLICE)
    return any(_HALF.search(message, each, each + SLICE + _HALF_SIZE) for each in steps)


def take_large_result(request: OutgoingRequest, request_id: Any) -> dict[str, Any] | None:
    """Return the result that was kept of the answer to a request, once."""
    (answered, result), request.large_result = request.large_result, (None, None)
    return result if answered == request_id else None
