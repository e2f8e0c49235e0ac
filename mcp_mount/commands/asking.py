"""Asks a server that nobody vouches for: what is read of it, and what of it reaches a terminal."""

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx2
from fastmcp import Client
from fastmcp.client.logging import LogMessage

from mcp_mount.commands.output import note, one_line
from mcp_mount.conversion.structure import Meter
from mcp_mount.http_bounds import CheckedStream, TooMuch, reading_at_most
from mcp_mount.remotes.text import count_values

MOST_BYTES: Final = 32 * 1024 * 1024
MOST_VALUES: Final = 2_000_000
"""Of one response, as `Meter` counts them: 10 MB of a usual list, which takes 200 MB when read."""

MOST_OF_A_LIST: Final = 16 * 1024 * 1024
MOST_VALUES_OF_A_LIST: Final = 500_000
MOST_PAGES: Final = 250
"""Bytes, values and pages of a whole list; one of a thousand tools has some 2 MB."""


def http_client(**options: Any) -> httpx2.AsyncClient:
    """Return a client that waits as the SDK's own does: a stream may be silent for minutes."""
    client = httpx2.AsyncClient(**{"timeout": httpx2.Timeout(30.0, read=300.0), **options})
    client.headers["accept-encoding"] = "identity"
    client.event_hooks["response"].append(_bound)
    return client


async def _bound(response: httpx2.Response) -> None:
    # Of a stream of events the SDK bounds each.
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        await reading_at_most(MOST_BYTES)(response)
        response.stream = CheckedStream(response.stream, _count(Meter(math.inf)))


def _count(meter: Meter) -> Callable[[bytes], None]:
    def count(chunk: bytes) -> None:
        meter.add(chunk)
        if meter.values > MOST_VALUES:
            raise TooMuch("The answer has too many JSON values.")

    return count


def telling(who: str) -> Callable[[LogMessage], Awaitable[None]]:
    """Return what writes the log messages of a server on stderr, each on a line."""

    async def tell(message: LogMessage) -> None:
        if message.level != "debug":
            data = message.data
            text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
            about = f"{message.level}, {message.logger}" if message.logger else message.level
            note(f"{who} logs ({one_line(about)}): {one_line(text)}")

    return tell


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
