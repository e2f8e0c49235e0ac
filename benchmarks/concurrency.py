"""A thousand calls in flight, of a route that sleeps for a second."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.contending import (
    LEGACY,
    MODERN,
    REST,
    THEIR_SESSIONS,
    THEIRS,
    Contender,
    ask,
    served,
)
from benchmarks.figures import Figure
from benchmarks.messages import ID
from benchmarks.servers import Server

SECONDS = "Seconds for 1,000 calls at once of a route that sleeps for one"
MEMORY = "MB of memory for those"

_CALLS: Final = 1_000
_MB: Final = 1_000_000


def measure(*, quick: bool) -> Iterator[Figure]:
    """Make the calls of each contender, the contenders in turn."""
    everyone = (REST, MODERN) if quick else (REST, MODERN, LEGACY, THEIRS, THEIR_SESSIONS)
    with served(everyone) as servers:
        seconds: dict[str, list[float]] = {who.name: [] for who in everyone}
        memory: dict[str, list[float]] = {who.name: [] for who in everyone}
        for _ in range(1 if quick else 3):
            for who in everyone:
                server = servers[who.name]
                at_rest = server.reset_peak()
                seconds[who.name].append(asyncio.run(_all_at_once(who, server)))
                memory[who.name].append((server.peak() - at_rest) / _MB)
    for name, values in seconds.items():
        yield Figure.of(SECONDS, name, "", values, "s")
    for name, values in memory.items():
        # Later rounds find what the first has left to them.
        yield Figure.of(MEMORY, name, "", values[:1], "MB")


async def _all_at_once(who: Contender, server: Server) -> float:
    template = ask(who, server, "wait", {"seconds": 1}).encode(keep_alive=False)
    # In a session every request has an id of its own.
    messages = [
        template.replace(str(ID).encode(), str(ID + number).encode()) for number in range(_CALLS)
    ]
    begin = time.perf_counter()
    await asyncio.gather(*(_one(server.port, message) for message in messages))
    return time.perf_counter() - begin


async def _one(port: int, message: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(message)
        answer = await reader.read()
    finally:
        writer.close()
    if b" 200 " not in answer[:20] or b"waited 1" not in answer:
        raise RuntimeError(f"Port {port} answered {answer!r}.")
