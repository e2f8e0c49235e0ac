"""What the package needs of the operating system is in one place."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mcp_mount"
DIFFERS = re.compile(
    r"\b(sys\.platform|os\.name|platform\.system|os\.kill(pg)?|os\.fork|os\.set[a-z]*id"
    r"|signal\.SIG(?!INT|TERM|_)\w+|add_signal_handler|/bin/|/dev/|/proc/|/tmp"
    r"|(?m:^)import (fcntl|grp|pty|pwd|resource|select|syslog|termios|tty))\b"
)


def test_the_package_works_without_what_windows_lacks() -> None:
    """Every module is imported, and a tool called, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.windows"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "It is all there.\n", done.stderr


def test_what_differs_between_systems_is_in_one_module() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if DIFFERS.search(file.read_text(encoding="utf-8"))
    }
    assert found == {"system.py"}
