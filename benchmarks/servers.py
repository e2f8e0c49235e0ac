"""Starts one uvicorn process for each contender, and reads how much memory it takes.

All have the same settings: one worker, uvloop and httptools (what `fastapi[standard]` installs), no
access log. Where there are two processors or more, servers have the last one to themselves, and the
load generator and everything else the others.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PEERS: Final = Path(".venv-peers/bin/python")
"""The Python that fastapi-mcp runs on."""

_PROCESSORS: Final = sorted(os.sched_getaffinity(0))
_START_UP: Final = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running contender."""

    port: int
    pid: int

    def reset_peak(self) -> int:
        """Forget the largest memory so far; return what is taken now, in bytes."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")
        return self._status("VmRSS")

    def peak(self) -> int:
        """Return the largest memory since `reset_peak`, in bytes."""
        return self._status("VmHWM")

    def _status(self, key: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return int(value.split()[0]) * 1024
        raise RuntimeError(f"/proc/{self.pid}/status does not tell {key}.")


def reserve_processor() -> None:
    """Leave the last processor to the servers. What this process starts inherits it."""
    if len(_PROCESSORS) > 1:
        os.sched_setaffinity(0, _PROCESSORS[:-1])


@contextmanager
def serving(contender: str, *, python: Path = Path(sys.executable)) -> Iterator[Server]:
    """Serve ``benchmarks.contenders.<contender>`` until the block ends."""
    port = free_port()
    options = "--loop uvloop --http httptools --ws none --no-access-log --log-level warning"
    app = f"benchmarks.contenders.{contender}:app"
    process = subprocess.Popen(  # noqa: S603 - our own module
        [python, "-m", "uvicorn", app, "--port", str(port), *options.split()]
    )
    try:
        os.sched_setaffinity(process.pid, _PROCESSORS[-1:])
        wait_for_port(port, process)
        yield Server(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            # A server with sessions may wait for its clients for ever.
            process.kill()
            process.wait()


def free_port() -> int:
    """Return a port of loopback at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for_port(port: int, process: "subprocess.Popen[Any]") -> None:
    """Wait until a server listens.

    Raises:
        RuntimeError: it has ended, or does not listen in time.
    """
    end = time.monotonic() + _START_UP
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"The server did not start: {process.args!r}")
