"""Streams over HTTP: when the first chunk arrives, how many a second, and what memory they take."""

from collections.abc import Iterator
from typing import Final

from benchmarks.application import FIRST_CHUNK
from benchmarks.contending import LEGACY, MODERN, REST, THEIRS, Contender, ask, served
from benchmarks.figures import Figure, Measure, alternate
from benchmarks.servers import Server
from benchmarks.wire import Reception, receive

FIRST = "Milliseconds to the first chunk of a stream that takes 100"
CHUNKS = "Chunks per second"
MEMORY = "MB of memory for a streamed body, over what the server takes at rest"
SECONDS = "Seconds for a streamed body"

UNLIMITED: Final = Contender("mcp_mount, limits raised", "mounted_unlimited", "modern")
DEFAULT: Final = Contender("mcp_mount, default limit of 10 MiB", "mounted", "modern")

_MB: Final = 1_000_000
_SIZES = {"10 MB": 10 * _MB, "100 MB": 100 * _MB, "1 GB": 1_000 * _MB}
_CHUNK: Final = 50_000
_TOKENS: Final = 5_000
_TOKEN: Final = 20
# Long enough to tell a stream from an answer that comes at its end.
_PAUSE: Final = 0.1
# It holds the whole body four times.
_MOST_OF_PEER: Final = 100 * _MB


def measure(*, quick: bool) -> Iterator[Figure]:
    """Read streams from REST, from `mcp_mount` with progress notifications, and from the peer."""
    everyone = (REST, MODERN, LEGACY, THEIRS)
    with served((*everyone, UNLIMITED)) as servers:
        firsts = {who.name: _first(who, servers[who.name]) for who in everyone}
        for name, values in alternate(firsts, 5 if quick else 25).items():
            yield Figure.of(FIRST, name, "", values, "ms")
        # The peer sends no chunks, only the whole.
        streaming = (REST, MODERN, LEGACY)
        rates = {who.name: _rate(who, servers[who.name]) for who in streaming}
        for name, values in alternate(rates, 1 if quick else 5).items():
            yield Figure.of(CHUNKS, name, "", values, "chunks/s")
        for column, size in _SIZES.items():
            if quick and size > 10 * _MB:
                break
            for who in (REST, UNLIMITED, DEFAULT, THEIRS):
                if who is not THEIRS or size <= _MOST_OF_PEER:
                    server = servers[MODERN.name if who is DEFAULT else who.name]
                    yield from _body(who, server, column, size)


def _first(who: Contender, server: Server) -> Measure:
    message = ask(who, server, "first", {"pause": _PAUSE}, progress=True)

    def measured() -> float:
        return receive(server.port, message, until=FIRST_CHUNK.encode()).first * 1e3

    return measured


def _rate(who: Contender, server: Server) -> Measure:
    arguments = {"chunks": _TOKENS, "size": _TOKEN}
    message = ask(who, server, "stream", arguments, progress=True)

    def measured() -> float:
        received = receive(server.port, message)
        _see_that_it_is_whole(who, received, _TOKENS * _TOKEN)
        return _TOKENS / received.last

    return measured


def _body(who: Contender, server: Server, column: str, size: int) -> Iterator[Figure]:
    arguments = {"chunks": size // _CHUNK, "size": _CHUNK}
    # So that what is imported on first use is not counted.
    receive(server.port, ask(who, server, "stream", {"chunks": 1, "size": 1}, progress=True))
    message = ask(who, server, "stream", arguments, progress=True)
    at_rest = server.reset_peak()
    received = receive(server.port, message)
    grown = (server.peak() - at_rest) / _MB
    if who is not DEFAULT:
        _see_that_it_is_whole(who, received, size)
    yield Figure.of(MEMORY, who.name, column, [grown], "MB")
    yield Figure.of(SECONDS, who.name, column, [received.last], "s")


def _see_that_it_is_whole(who: Contender, received: Reception, size: int) -> None:
    """See that all of a stream has come.

    Raises:
        RuntimeError: it has not.
    """
    failed = who.era is not None and b'"isError":true' in received.tail.replace(b" ", b"")
    if failed or received.size < size:
        raise RuntimeError(f"{who.name}: {received.size} bytes of {size}: {received.tail!r}")
