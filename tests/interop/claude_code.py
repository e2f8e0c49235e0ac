"""Whether Claude Code's own ``mcp add`` connects to an app on standard input and output.

It needs no account, since it only asks whether the server answers, and gets a home of its own.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.interop.environments import Client

CLAUDE_CODE: Final = Client("Claude Code", "npm", ("@anthropic-ai/claude-code@2.1.197",))
_ROOT: Final = Path(__file__).parents[2]
_SERVED: Final = ("run", "tests.interop.app:interop_app", "--app-dir", str(_ROOT), "--stdio")
_SECONDS: Final = 120


@dataclass(frozen=True)
class Connection:
    """What a client says of a server that it was told of."""

    client: Client
    said: str = ""
    not_tried: str = ""

    @property
    def is_expected(self) -> bool:
        """Whether it is connected."""
        return "Connected" in self.said

    @property
    def summary(self) -> str:
        """What to print."""
        return f"not tried: {self.not_tried}" if self.not_tried else self.said


def connect(client: Client) -> Connection:
    """Add the app as the client's documentation says, and ask what has become of it."""
    with TemporaryDirectory() as home:
        server = [sys.executable, "-m", "mcp_mount", *_SERVED]
        _run(home, "add", "interop", "--", *server)
        said = _run(home, "list").splitlines()
    lines = (line for line in reversed(said) if line.startswith("interop:"))
    return Connection(client, next(lines, "\n".join(said)))


def _run(home: str, *words: str) -> str:
    done = subprocess.run(
        [str(CLAUDE_CODE.folder / "node_modules/.bin/claude"), "mcp", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": str(_ROOT)},
    )
    return done.stdout + done.stderr
