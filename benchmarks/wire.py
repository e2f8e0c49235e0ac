"""A client of bytes on sockets, so that what is measured is the server."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.messages import Message

_LONGEST_WAIT = 300.0
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reception:
    """How an answer arrived: seconds after the request was sent, and bytes.

    Attributes:
        first: When the text that was waited for had arrived.
        last: When everything had.
        size: Bytes, with the head and whatever frames the body.
        tail: The last of them.
    """

    first: float
    last: float
    size: int
    tail: bytes


def receive(port: int, message: Message, *, until: bytes = b"") -> Reception:
    """Send a request on a new connection and read its answer to the end.

    Args:
        port: Of the local server.
        message: What to send.
        until: The text that `Reception.first` is about.

    Raises:
        RuntimeError: the answer is no success, or `until` is not in it.
    """
    with _connected(port) as connection:
        begin = time.perf_counter()
        connection.sendall(message.encode(keep_alive=False))
        first, size, tail, seen = 0.0, 0, b"", b""
        for piece in _pieces(connection):
            if not first:
                seen += piece
                if until in seen:
                    first = time.perf_counter() - begin
            size += len(piece)
            tail = (tail + piece[-_TAIL:])[-_TAIL:]
        last = time.perf_counter() - begin
    if not seen.startswith(b"HTTP/1.1 200 ") or not first:
        raise RuntimeError(f"{message.path} was answered {seen[:1000]!r}")
    return Reception(first, last, size, tail)


_TAIL = 1_000


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_WAIT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def _pieces(connection: socket.socket) -> Iterator[bytes]:
    while piece := connection.recv(_PIECE):
        yield piece
