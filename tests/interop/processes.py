"""Real processes on free loopback ports, stopped by their ids."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

import httpx2

_SECONDS: Final = 60
"""How long a process may take until it answers."""


class CannotStart(Exception):
    """A process does not answer; the message says what it said last."""


@contextmanager
def running(
    command: Sequence[str],
    url: str,
    *,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    seconds: float = _SECONDS,
) -> Iterator[None]:
    """Run a command until the end of the block, from when a URL answers, with whichever status.

    Raises:
        CannotStart: it has ended, or does not answer.
    """
    with TemporaryFile() as log:
        # A group of its own, so that what it starts ends with it.
        process = subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            if not _answers(process, url, seconds):
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()
                raise CannotStart(" ".join(said[-3:]) or f"{command[0]} said nothing")
            yield
        finally:
            _stop(process)


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _answers(process: "subprocess.Popen[bytes]", url: str, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        try:
            httpx2.get(url, timeout=5)
        except httpx2.TransportError:
            time.sleep(0.1)  # A foreign process has no other way to say that it listens.
        else:
            return True
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
