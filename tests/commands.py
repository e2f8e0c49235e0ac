"""Runs the commands of the package, as a shell does."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.others import free_port

COMMANDS = Path(sys.executable).parent
MCP_MOUNT = (sys.executable, "-m", "mcp_mount")
"""``mcp-mount``, also in a checkout that is not installed."""


def environment(**variables: str) -> dict[str, str]:
    return {
        "PATH": f"{COMMANDS}:/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108 - nothing is written there
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "FASTMCP_CHECK_FOR_UPDATES": "off",
        **variables,
    }


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command, *rest = words
    program = MCP_MOUNT if command == "mcp-mount" else (str(COMMANDS / command),)
    return subprocess.run(
        [*program, *rest],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env=environment(**variables),
    )


@contextmanager
def running(*words: str, **variables: str) -> Iterator[tuple[str, list[str]]]:
    """Run ``mcp-mount``; yield its URL, and what it says, which is whole after the block."""
    port = str(free_port())
    lines: list[str] = []
    with subprocess.Popen(
        [*MCP_MOUNT, *words],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PORT=port, **variables),
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                lines.append(line)
                if "Uvicorn running" in line:
                    break
            assert process.poll() is None, lines
            yield f"http://127.0.0.1:{port}", lines
        finally:
            process.send_signal(signal.SIGTERM)
            lines += process.stderr
    assert process.returncode in {0, -signal.SIGTERM}, lines
    assert "Traceback" not in "".join(lines), lines
