"""A Redis for a test, which several processes could share."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None,
    reason="redis-server is not installed; on Debian or Ubuntu: apt install redis-server",
)
PASSWORD = "a-secret-of-the-store"


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[str]:
    """Run a Redis of our own on a loopback port, in memory only; yield its URL."""
    with socket.create_server(("127.0.0.1", port)) as probe:
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD]
    options += ["--save", "", "--appendonly", "no", "--dir", str(folder), "--maxclients", "64"]
    server = subprocess.Popen(
        ["redis-server", *options],  # noqa: S607 - Debian's package
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with server:
        assert server.stdout is not None
        try:
            assert any("Ready to accept connections" in line for line in server.stdout)
            yield f"redis://:{PASSWORD}@127.0.0.1:{port}"
        finally:
            server.terminate()
