"""TLS with servers that nobody vouches for, and what it may cost.

A server chooses the group in which keys are exchanged. One of 10,000 bits takes 0.8 seconds of a
processor; the largest of TLS 1.3, which cannot be left out, 0.2. So hands are shaken in a thread,
two at a time with each server, and of TLS 1.2 there is neither such a group nor a second handshake.

A server can also fill its records with what is no data: 64 KB of new keys take 50 ms. So they are
read in smaller pieces, and after one that was slow the connection rests.
"""

import ssl
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final, TypeVar

import anyio
import httpcore2
import httpx2

from mcp_mount.turns import Turns

_AT_ONCE: Final = 2
"""Handshakes of one pool of connections."""

_PIECE: Final = 32_768
"""Bytes that are read at once."""

_SLOW: Final = 0.0005
"""Seconds of a processor for a piece; with data in it, it takes a tenth of that."""

_REST: Final = 9
"""So many times as long as a slow piece has taken, nothing more is read."""

Value = TypeVar("Value")


@cache
def usual_tls() -> ssl.SSLContext:
    """Trust whom the system trusts; to read who that is takes twenty milliseconds each time."""
    return harden(httpx2.create_ssl_context())


def harden(context: ssl.SSLContext) -> ssl.SSLContext:
    """Leave out of a context what lets a server choose what takes long; return it."""
    # As browsers do: a group of DHE is one that a server makes up.
    names = [each["name"] for each in context.get_ciphers() if each["kea"] != "kx-dhe"]
    context.set_ciphers(":".join(names))
    # Else a server could ask for one handshake after the other.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


class Network(httpcore2.AnyIOBackend):
    """Connections whose hands are shaken in a thread."""

    def __init__(self) -> None:
        self._threads = anyio.CapacityLimiter(_AT_ONCE)

    async def connect_tcp(self, *where: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        """Connect: see `httpcore2.AsyncNetworkBackend`."""
        return _Stream(await super().connect_tcp(*where, **options), self._threads)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(
        self, stream: httpcore2.AsyncNetworkStream, threads: anyio.CapacityLimiter
    ) -> None:
        self._stream = stream
        self._threads = threads
        self._turns = Turns(0)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        piece = await self._stream.read(max_bytes, timeout)
        # A server may answer hundreds of requests at once.
        await self._turns.take()
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            secured = _Secured(self, self._threads, ssl_context, server_hostname)
            with anyio.fail_after(timeout):
                await secured.shake_hands()
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await self.aclose()
            if isinstance(error, TimeoutError):
                raise httpcore2.ConnectTimeout from error
            if isinstance(error, ssl.SSLError | httpcore2.NetworkError):
                raise httpcore2.ConnectError(str(error)) from error
            raise
        return secured


class _Secured(_Stream):
    """What is read and written in TLS."""

    def __init__(
        self,
        stream: _Stream,
        threads: anyio.CapacityLimiter,
        context: ssl.SSLContext,
        hostname: str | None,
    ) -> None:
        super().__init__(stream, threads)
        self._received, self._written = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._written, server_hostname=hostname)
        self._spent = 0.0

    async def shake_hands(self) -> None:
        is_done = False
        while not is_done:
            # What it has to say where it fails is told by the connection's end.
            is_done = await anyio.to_thread.run_sync(self._go_on, limiter=self._threads)
            await self._send(None)
            if not is_done:
                await self._receive(None)

    def _go_on(self) -> bool:
        """Go on with the handshake; return whether it is over."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return await self._run(partial(self._read, max_bytes), timeout)
        except ssl.SSLEOFError:
            return b""
        except ssl.SSLError as error:
            raise httpcore2.ReadError(str(error)) from error

    def _read(self, max_bytes: int) -> bytes:
        begun = time.thread_time()
        try:
            return self._tls.read(max_bytes)
        finally:
            self._spent += time.thread_time() - begun

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._run(partial(self._tls.write, buffer), timeout)
        except ssl.SSLError as error:
            raise httpcore2.WriteError(str(error)) from error

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._tls
        # What has come and is not read is in no socket any more.
        waits = info == "is_readable" and (self._received.pending or self._tls.pending())
        return bool(waits) or super().get_extra_info(info)

    async def _run(self, step: Callable[[], Value], timeout: float | None) -> Value:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                await self._send(timeout)
                await self._receive(timeout)
            else:
                await self._send(timeout)
                return result

    async def _send(self, timeout: float | None) -> None:
        if self._written.pending:
            await self._stream.write(self._written.read(), timeout)

    async def _receive(self, timeout: float | None) -> None:
        spent, self._spent = self._spent, 0.0
        if spent > _SLOW:
            await anyio.sleep(_REST * spent)
        piece = await self._stream.read(_PIECE, timeout)
        if piece:
            self._received.write(piece)
        else:
            self._received.write_eof()
