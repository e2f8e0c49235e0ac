"""Asks a server that nobody vouches for: what is read of it, and what of it reaches a terminal."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx2
from fastmcp import Client
from fastmcp.client.logging import LogMessage

from mcp_mount.answers import EVENTS, TooManyEvents, counting, is_stream
from mcp_mount.commands.output import note, one_line
from mcp_mount.outgoing.bodies import CheckedStream, TooMuch, reading_at_most, refuse_compressed
from mcp_mount.outgoing.heads import BoundedClient
from mcp_mount.outgoing.tls import usual_tls
from mcp_mount.remotes.events import Events, values_of
from mcp_mount.remotes.text import count_values

MOST_SECONDS: Final = 300.0
MOST_OF_A_CALL: Final = 3600.0
"""For a list, and for a call with the list before it; one that sends a byte now and then is never
silent."""

MOST_BYTES: Final = 32 * 1024 * 1024
"""Of one response that is no stream of events, of which the SDK bounds each."""

MOST_OF_STREAMS: Final = 256 * 1024 * 1024
MOST_EVENTS: Final = 10_000
"""Bytes of all streams of events; and events that tell of no progress, which `call` counts. For
each request of a server, the SDK has a task that answers it."""

MOST_CHUNKS: Final = 4_000_000
"""Of all responses. HTTP has a chunk of one byte cost as much to read as one of 64 KB."""

MOST_OF_A_LIST: Final = 16 * 1024 * 1024
MOST_VALUES_OF_A_LIST: Final = 500_000
MOST_PAGES: Final = 250
"""Bytes, values and pages of a whole list; one of a thousand tools has some 2 MB."""

MOST_LINES: Final = 1_000
_MOST_OF_A_LINE: Final = 10_000
"""Of what a server logs, and characters of each."""


def http_client(**options: Any) -> httpx2.AsyncClient:
    """Return a client that waits as the SDK's own does: a stream may be silent for minutes."""
    timeout = httpx2.Timeout(30.0, read=300.0)
    client = BoundedClient(**{"timeout": timeout, "verify": usual_tls(), **options})
    client.headers["accept-encoding"] = "identity"
    client.event_hooks["response"].append(_Bounds().bound)
    return client


class _Bounds:
    """How much a client has read of a server, in all of its responses."""

    def __init__(self) -> None:
        self._size = self._chunks = self._events = 0

    async def bound(self, response: httpx2.Response) -> None:
        if is_stream(response):
            refuse_compressed(response)
            response.headers["content-type"] = EVENTS
            response.stream = CheckedStream(response.stream, self._counting_events())
            return
        await reading_at_most(MOST_BYTES)(response)
        response.stream = CheckedStream(response.stream, self._count_chunk)
        response.stream = CheckedStream(response.stream, counting())

    def _count_chunk(self, _: bytes) -> None:
        self._chunks += 1
        if self._chunks > MOST_CHUNKS:
            raise TooMuch("The answers come in too many parts.")

    def _counting_events(self) -> Callable[[bytes], None]:
        events = Events()

        def count(chunk: bytes) -> None:
            self._chunks += 1
            self._size += len(chunk)
            dropped = events.dropped
            self._events += sum(not _is_progress(each) for each in events.add(chunk))
            self._events += events.dropped - dropped
            if (
                self._chunks > MOST_CHUNKS
                or self._size > MOST_OF_STREAMS
                or self._events > MOST_EVENTS
            ):
                raise TooManyEvents("it has too many bytes or messages")

        return count


def _is_progress(event: bytearray) -> bool:
    if b"progress" not in event:
        return False
    try:
        said = json.loads(b"\n".join(event[begin:end] for begin, end in values_of(event, b"data:")))
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("method") == "notifications/progress"


def telling(who: str) -> Callable[[LogMessage], Awaitable[None]]:
    """Return what writes the log messages of a server on stderr, each on a line."""
    lines = 0

    async def tell(message: LogMessage) -> None:
        nonlocal lines
        if message.level == "debug" or lines > MOST_LINES:
            return
        lines += 1
        if lines > MOST_LINES:
            note(f"{who} logs more, which is not shown.")
            return
        data = message.data
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        about = f"{message.level}, {message.logger}" if message.logger else message.level
        note(f"{who} logs ({_beginning(about)}): {_beginning(text)}")

    return tell


def _beginning(text: str) -> str:
    line = one_line(text[:_MOST_OF_A_LINE])
    return line if len(text) <= _MOST_OF_A_LINE else f"{line}…"


async def listed_tools(client: Client[Any]) -> list[dict[str, Any]]:
    """Return all tools, as the server lists them.

    Raises:
        TooMuch: it lists more than anybody reads.
    """
    tools: list[dict[str, Any]] = []
    size = values = 0
    cursor: str | None = None
    seen: set[str | None] = set()
    for _ in range(MOST_PAGES):
        page = await client.list_tools_mcp(cursor=cursor)
        wire = page.model_dump(mode="json", by_alias=True, exclude_none=True)
        size += len(json.dumps(wire, ensure_ascii=False))
        values += count_values(wire)
        if size > MOST_OF_A_LIST or values > MOST_VALUES_OF_A_LIST:
            break
        tools += wire["tools"]
        seen.add(cursor)
        cursor = page.next_cursor
        if cursor is None or cursor in seen:
            return tools
    raise TooMuch(
        f"The list of tools is too large: it has more than {MOST_OF_A_LIST // 2**20} MiB, "
        f"{MOST_VALUES_OF_A_LIST:,} JSON values or {MOST_PAGES} pages."
    )
